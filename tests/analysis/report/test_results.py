import statistics
from typing import Any

from fixtures.ledger import MakeLedger
from fixtures.narrowed import of_kind
from fixtures.results import KnownResults
from optuna.distributions import FloatDistribution

from adapert.records import TrialStatus
from adapert.results.study import StudyResults
from adapert.study.plan.study import FixedRung, Search
from analysis.report.elements import PageTable, Paragraph
from analysis.report.results import (
    build_cost_table,
    build_failures,
    build_first_rungs,
    build_leaderboard,
    summarize_leaderboard,
)

VALUES = {"a": [0.4, 0.5, 0.42], "b": [0.6, 0.1, 0.2]}


def trial(digest: str, seed: int, status: TrialStatus, value: float, **said: Any) -> dict[str, Any]:
    shared: dict[str, Any] = {"run": f"{digest}{seed}", "trial": f"{seed:03d}", "host": "", "message": ""}
    shared |= {"variant": "full", "config_digest": digest, "seed": seed, "status": status, "reason": ""}
    return shared | {"best_pearson_delta": value, "epoch": 10.0, "total_seconds": 3.6} | said


def reading(trials: list[dict[str, Any]], design: str = "search") -> StudyResults:
    hours = sum(row["total_seconds"] for row in trials) / 3600
    return KnownResults("tune", trials, design=design, trial_hours=hours)


TUNED = [trial(d, s, TrialStatus.FINISHED, v) for d, values in VALUES.items() for s, v in enumerate(values)]
STOPPED = trial("c", 0, TrialStatus.STOPPED, 0.9, reason="rung", trial="007")
FAILED = trial("d", 0, TrialStatus.FAILED, float("nan"), reason="memory", message="It needs 9 GB.")


def test_the_leaderboard_ranks_by_the_mean_over_seeds() -> None:
    frame = summarize_leaderboard(reading(TUNED)).set_index("config")
    assert list(frame.index) == ["a", "b"]
    for digest, values in VALUES.items():
        assert abs(frame["pearson_delta"][digest] - statistics.mean(values)) < 1e-12
        assert abs(frame["sd_over_seeds"][digest] - statistics.stdev(values)) < 1e-12
    assert list(frame["rank"]) == [1, 2]


def test_a_stopped_config_is_never_ranked_however_good() -> None:
    frame = summarize_leaderboard(reading([STOPPED, FAILED, *TUNED]))
    assert list(frame["config"]) == ["a", "b", "c", "d"]
    assert [rank for rank in frame["rank"] if rank is not None] == [1, 2]


def test_a_config_is_judged_by_its_finished_seeds_alone() -> None:
    frame = summarize_leaderboard(reading([*TUNED, trial("a", 3, TrialStatus.STOPPED, 0.0)]))
    assert frame["n_seeds"][0] == 3


def test_a_study_without_a_trial_says_so() -> None:
    assert of_kind(Paragraph, build_leaderboard(reading([]))[0]).text == "It has no trial yet."
    assert build_cost_table([reading([])]).rows[0][3].text == "0"


def test_costs_are_summed_over_trials() -> None:
    table = build_cost_table([reading(TUNED)])
    costs = dict(zip((column.label for column in table.columns), table.rows[0], strict=True))
    assert costs["trial-hours"].text == "0.006"  # 6 trials of 3.6 s
    assert costs["epochs"].text == "60"
    assert "interrupted" not in costs


def test_a_search_says_where_its_first_rung_is(make_ledger: MakeLedger) -> None:
    search, design = reading(TUNED), reading(TUNED, design="ablation")
    plan = Search(space={"model.tau": FloatDistribution(0.1, 2.0)}, first_rung=FixedRung(12))
    search.state, design.state = make_ledger("tune", plan=plan).state, make_ledger("ablate").state
    (said,) = build_first_rungs([search, design, reading(TUNED)])
    assert of_kind(Paragraph, said).text == "tune: First rung at epoch 12, as set."


def test_failures_are_named_with_their_reason_and_stops_are_counted() -> None:
    table, stopped = build_failures(reading([STOPPED, FAILED, *TUNED]))
    assert [cell.text for cell in of_kind(PageTable, table).rows[0]][2:5] == ["0", "memory", "It needs 9 GB."]
    assert of_kind(Paragraph, stopped).text == "Stopped trials: 1 were behind others at a rung."
