"""Picking a config with its best few retrained; Ray and the training stand aside, the ledger does not."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
from fixtures.dataset import build_tiny_dataset, write_prepared
from fixtures.ledger import HandMade
from fixtures.narrowed import of_kind, present
from fixtures.results import KnownResults
from fixtures.store import MakeTable, Store
from rich.console import Console

from adapert.api import pick as pick_through_api
from adapert.config import Config
from adapert.errors import InputError
from adapert.records import TrialStatus
from adapert.results.find import open_study
from adapert.selection import reevaluate as reevaluation
from adapert.selection.decide import count_retrained, pick_reevaluated
from adapert.selection.rank import Pick, pick
from adapert.selection.reevaluate import (
    ReevaluationPlan,
    UnfinishedError,
    add_intervals,
    build_reevaluation,
    expect_retraining,
    pick_config,
)
from adapert.study.engine.events import StudyDefined
from adapert.study.engine.folders import study_folder
from adapert.study.engine.ledger import LEDGER_FILE, Ledger, read_events
from adapert.study.engine.limits import Limits
from adapert.study.engine.runner import Closing
from adapert.study.execution.resources import Resources
from adapert.study.plan.study import Design, Search, Study
from adapert.tracking.store import open_store
from adapert.tracking.tracker import Tracker
from adapert.workspace.session import StudyResult
from search_spaces.adapert import SPACE

Launches = list[tuple[str, Resources]]

Track = Callable[..., StudyResult]

TAUS = (0.9, 0.7, 0.5, 0.3)
SMALL_PLAN = ReevaluationPlan(top=2, n_fresh_seeds=1, n_redraws=1)


def picked_of(n: int = 3, next_seed: int = 4, **changes: Any) -> Pick:
    configs = tuple(Config().with_changes({"model.tau": tau} | changes) for tau in TAUS[:n])
    return Pick(
        config=configs[0], candidates=pd.DataFrame(), n_left_out=0, configs=configs, next_seed=next_seed
    )


def test_the_best_are_trained_on_seeds_that_no_trial_had_and_on_redrawn_splits() -> None:
    study = build_reevaluation(picked_of(), "s", ReevaluationPlan(top=2, n_fresh_seeds=2, n_redraws=2))
    asked = [(each.variant, each.seed) for each in study.plan.assignments]
    assert asked == [
        ("rank_1", 4),
        ("rank_1", 5),
        ("rank_1_split_1", 4),
        ("rank_1_split_2", 4),
        ("rank_2", 4),
        ("rank_2", 5),
        ("rank_2_split_1", 4),
        ("rank_2_split_2", 4),
    ]
    configs = [study.base.with_changes(each.changes) for each in study.plan.assignments]
    assert [(config.model.tau, config.data.split_seed) for config in configs] == [
        (0.9, 0), (0.9, 0), (0.9, 1), (0.9, 2), (0.7, 0), (0.7, 0), (0.7, 1), (0.7, 2)
    ]  # fmt: skip


def test_a_single_candidate_is_retrained_alone() -> None:
    study = build_reevaluation(picked_of(1), "s", ReevaluationPlan())
    assert {name.split("_split")[0] for name in of_kind(Design, study.plan).variants} == {"rank_1"}
    assert study.plan.size == 5


def test_the_split_that_a_study_itself_redrew_is_not_drawn_again() -> None:
    study = build_reevaluation(picked_of(1, **{"data.split_seed": 2}), "s", ReevaluationPlan())
    variants = of_kind(Design, study.plan).variants
    configs = {name: study.base.with_changes(changes) for name, changes in variants.items()}
    assert {name: config.data.split_seed for name, config in configs.items()} == {
        "rank_1": 2,
        "rank_1_split_1": 1,
        "rank_1_split_3": 3,
    }


def plan_of_the_best(*changes: dict[str, Any]) -> Design:
    """Build the re-evaluation of configs with these changes, three seeds and two splits each."""
    configs = tuple(Config().with_changes(each) for each in changes)
    picked = replace(picked_of(), config=configs[0], configs=configs)
    return of_kind(Design, build_reevaluation(picked, "s", ReevaluationPlan()).plan)


def seeds_of_the_best(*changes: dict[str, Any]) -> set[int]:
    """Seeds that such a re-evaluation asks for on the study's own split."""
    asked = plan_of_the_best(*changes).assignments
    return {each.seed for each in asked if "split" not in each.variant}


def test_what_no_seed_changes_is_fitted_once_a_split() -> None:
    kernel = {"model.name": "kernel_ridge"}
    penalised = kernel | {"kernel_ridge.penalty": 1.0}
    assert seeds_of_the_best(kernel, penalised) == {4}
    assert seeds_of_the_best({"model.name": "ridge_both", "graph.edges": "rewired"}) == {4}  # reads no graph
    assert count_retrained(plan_of_the_best(kernel, penalised)) == (2, 2)


def test_what_a_seed_changes_is_fitted_with_every_fresh_seed() -> None:
    kernel = {"model.name": "kernel_ridge"}
    assert seeds_of_the_best(kernel, kernel | {"graph.kept_fraction": 0.5}) == {4, 5, 6}
    assert seeds_of_the_best({"graph.top_k": 5}, kernel) == {4, 5, 6}


@pytest.mark.parametrize(
    ("field", "value", "least"), [("top", 0, 1), ("n_fresh_seeds", 0, 1), ("n_redraws", -1, 0)]
)
def test_a_plan_of_less_than_nothing_is_refused(field: str, value: int, least: int) -> None:
    with pytest.raises(InputError, match=f"{field} of a re-evaluation must be at least {least}, but is"):
        ReevaluationPlan(**{field: value})


# over real ledgers and a real store


@pytest.fixture
def base(workspace: Path) -> Config:
    write_prepared(build_tiny_dataset(), workspace / "prepared")
    return Config().with_changes(
        {"data.path": str((workspace / "prepared").resolve()), "data.fingerprint": "tiny"}
    )


@pytest.fixture
def track(workspace: Path) -> Track:
    """Put a study with finished trials (changes, seed, value) into the workspace; say how it was left."""

    def write(
        study: Study, trials: list[tuple[dict[str, float], int, float]], is_killed: bool = False
    ) -> StudyResult:
        made = HandMade(study_folder(workspace, study.name), study)
        made.opened()
        for number, (changes, seed, value) in enumerate(trials):
            made.asked(f"{number:03d}", f"v{number}", seed, changes)
            made.reported(f"{number:03d}", 1, value, best_pds=0.6)
            made.ended(f"{number:03d}")
        if is_killed:
            raise RuntimeError("killed before MLflow was told")
        made.closed()
        ledger = Ledger(made.path)
        store = open_store(workspace)
        tracker = Tracker(study, ledger, made.events, lambda: store)
        assert (tracker.close(), tracker.trouble, tracker.refused) == (0, "", [])
        ledger.close()
        return StudyResult(
            study=study,
            records=list(made.state.records.values()),
            n_asked=len(trials),
            closing=Closing(TrialStatus.FINISHED),
            seconds=0.0,
            trial_hours=0.0,
        )

    return write


@pytest.fixture
def searched(track: Track, base: Config) -> None:
    """A search of four finished configs, best first in `TAUS`."""
    study = Study(name="s", question="Which?", base=base, plan=Search(space=SPACE))
    values = (0.9, 0.8, 0.7, 0.6)
    track(study, [({"model.tau": tau}, 0, value) for tau, value in zip(TAUS, values, strict=True)])


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch, track: Track) -> Launches:
    """Launch nothing: trials end at once, those of a smaller tau with more. What was launched, with what."""
    calls = []

    def launch(study: Study, workspace: Path, resources: Resources, *_: Limits | Console) -> StudyResult:
        calls.append((study.name, resources))
        trials = [
            (dict(each.changes), each.seed, 1 - study.base.with_changes(each.changes).model.tau)
            for each in study.plan.assignments
        ]
        return track(study, trials)

    monkeypatch.setattr(reevaluation, "launch", launch)
    return calls


def test_the_config_that_holds_is_picked_and_not_the_search_s_best(
    workspace: Path, searched: None, launched: Launches
) -> None:
    picked = pick_config(workspace, "s", plan=ReevaluationPlan(n_fresh_seeds=1, n_redraws=1))
    assert [name for name, _ in launched] == ["s_reevaluation"]
    assert picked.config.model.tau == 0.5
    assert present(picked.reevaluated)["rank"].tolist() == [3, 2, 1]
    assert len(picked.trials) == 2


def test_picking_again_trains_nothing_where_the_candidates_are_the_same(
    workspace: Path, searched: None, launched: Launches
) -> None:
    first = pick_config(workspace, "s", plan=SMALL_PLAN)
    again = pick_config(workspace, "s", plan=SMALL_PLAN)
    assert len(launched) == 1
    assert again.config == first.config
    pd.testing.assert_frame_equal(present(again.reevaluated), present(first.reevaluated))
    read = pick_reevaluated(workspace, open_study(workspace, "s"))
    assert read.config == first.config
    assert read.reason == first.reason
    expected = expect_retraining(workspace, "s", plan=SMALL_PLAN)
    assert (expected.n_left, expected.picked.config) == (0, first.config)
    assert (expected.picked.reason, expected.picked.reevaluation) == (first.reason, "s_reevaluation")


def test_other_candidates_get_a_further_re_evaluation_and_the_last_one_counts(
    workspace: Path, searched: None, launched: Launches
) -> None:
    two = ReevaluationPlan(top=2, n_fresh_seeds=1, n_redraws=0)
    three = replace(two, top=3)
    assert pick_config(workspace, "s", plan=two).config.model.tau == 0.7
    assert pick_config(workspace, "s", plan=three).config.model.tau == 0.5
    assert [name for name, _ in launched] == ["s_reevaluation", "s_reevaluation_2"]
    assert pick_config(workspace, "s", plan=two).config.model.tau == 0.7
    assert len(launched) == 2  # the first has what two need
    assert pick_reevaluated(workspace, open_study(workspace, "s")).config.model.tau == 0.5


def test_what_is_read_is_the_last_pick(
    workspace: Path, searched: None, launched: Launches, caplog: pytest.LogCaptureFixture
) -> None:
    plan = ReevaluationPlan(n_fresh_seeds=1, n_redraws=0)
    picked = pick_through_api("s", workspace, objective="pds", plan=plan)
    read = pick_reevaluated(workspace, open_study(workspace, "s"))
    assert (read.objective, read.reevaluation) == ("pds", "s_reevaluation")
    assert read.config == picked.config
    assert "replaces a pick" not in caplog.text
    at_once = pick_through_api("s", workspace, is_reevaluated=False)
    assert "This replaces a pick that retrained the best in 's_reevaluation'." in caplog.text
    assert pick_reevaluated(workspace, open_study(workspace, "s")).reevaluated is None
    assert pick_reevaluated(workspace, open_study(workspace, "s")).config == at_once.config


def test_a_pick_at_once_refuses_what_only_retraining_uses(workspace: Path, searched: None) -> None:
    with pytest.raises(InputError, match="but plan and resources came with is_reevaluated=False"):
        pick_through_api(
            "s", workspace, is_reevaluated=False, plan=SMALL_PLAN, resources={"max_concurrent": 2}
        )


def test_a_re_evaluation_that_was_left_is_resumed(
    workspace: Path, searched: None, launched: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    pick_config(workspace, "s", plan=SMALL_PLAN)
    ledger = workspace / "studies" / "s_reevaluation" / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    asked = [index for index, line in enumerate(lines) if json.loads(line)["event"] == "asked"]
    ledger.write_text("\n".join(lines[: asked[-1]]) + "\n")
    resumed = []

    def resume(workspace: Path, name: str, *_: Console | dict[str, Any], data: Path) -> NoReturn:
        resumed.append(name)
        raise UnfinishedError("again", Closing(TrialStatus.INTERRUPTED))

    monkeypatch.setattr(reevaluation, "resume", resume)
    with pytest.raises(UnfinishedError, match="again"):
        pick_config(workspace, "s", plan=SMALL_PLAN)
    assert resumed == ["s_reevaluation"]


def test_what_a_killed_process_had_no_time_to_tell_mlflow_is_told(
    workspace: Path, searched: None, launched: Launches, monkeypatch: pytest.MonkeyPatch, track: Track
) -> None:
    def killed(study: Study, *_: object) -> None:
        trials = [(dict(each.changes), each.seed, 0.5) for each in study.plan.assignments]
        track(study, trials, is_killed=True)

    monkeypatch.setattr(reevaluation, "launch", killed)
    plan = ReevaluationPlan(n_fresh_seeds=1, n_redraws=1)
    with pytest.raises(RuntimeError, match="killed"):
        pick_config(workspace, "s", plan=plan)
    picked = pick_config(workspace, "s", plan=plan)
    assert len(present(picked.reevaluated)) == 3
    assert present(picked.reevaluated)["n_trials"].tolist() == [2, 2, 2]


def test_an_interrupted_re_evaluation_names_no_config(
    workspace: Path, searched: None, launched: Launches, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Callable[..., StudyResult] = vars(reevaluation)["launch"]

    def interrupted(*given: object) -> StudyResult:
        result = run(*given)
        return replace(result, n_asked=result.n_asked + 1)

    monkeypatch.setattr(reevaluation, "launch", interrupted)
    with pytest.raises(UnfinishedError, match=r"left before its end.*adapert pick s .*--no-reevaluation"):
        pick_config(workspace, "s", plan=SMALL_PLAN)


def test_data_that_are_gone_or_others_are_refused_before_any_trial(
    workspace: Path, searched: None, launched: Launches
) -> None:
    manifest = workspace / "prepared" / "manifest.json"
    whole = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(whole | {"fingerprint": "other"}))
    with pytest.raises(InputError, match=r"of fingerprint tiny, but .* now has other"):
        pick_config(workspace, "s")
    manifest.unlink()
    with pytest.raises(InputError, match=r"prepared' is not there, .* --data DIR\. Or pick without .*-reev"):
        pick_config(workspace, "s")
    assert launched == []


def test_a_re_evaluation_is_launched_where_the_data_are_now(
    workspace: Path, searched: None, launched: Launches
) -> None:
    moved = (workspace / "prepared").rename(workspace / "away")
    pick_config(workspace, "s", data=moved, plan=SMALL_PLAN)
    (first, *_) = read_events(study_folder(workspace, "s_reevaluation") / LEDGER_FILE)
    assert of_kind(StudyDefined, first).study["base"]["data.path"] == str(moved)
    assert len(launched) == 1


def test_a_re_evaluation_uses_what_the_study_used_by_default(
    workspace: Path, searched: None, launched: Launches
) -> None:
    ledger = study_folder(workspace, "s") / LEDGER_FILE
    used = {"max_concurrent": 1, "device": "cpu", "gpus_per_trial": 0.0}
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    lines[1]["resources"] = used | {"max_failures": 5, "of_a_later_version": True}
    ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pick_config(workspace, "s", plan=SMALL_PLAN, resources={"max_concurrent": 2, "device": None})
    ((_, resources),) = launched
    assert (resources.max_concurrent, resources.max_failures, resources.device) == (2, 5, "cpu")


# intervals


def test_candidates_have_the_interval_of_their_long_tables(
    monkeypatch: pytest.MonkeyPatch, make_table: MakeTable
) -> None:
    rows = [
        {"config_digest": "a", "perturbation": name, "metric": metric, "value": value}
        for metric, value in (("pearson_delta", 0.25), ("pds", 0.75))
        for name in "ABC"
    ]
    monkeypatch.setattr(reevaluation, "load_per_perturbation", lambda *_: make_table(rows))
    candidates = pd.DataFrame({"config_digest": ["a", "b"], "pearson_delta": [0.25, 0.2]})
    picked = replace(picked_of(2), candidates=candidates)
    bounded = add_intervals(picked, KnownResults("s")).candidates
    # All perturbations are alike: there is nothing to be unsure of.
    assert bounded[["low", "high"]].to_numpy()[0].tolist() == pytest.approx([0.25, 0.25])
    assert bounded[["low", "high"]].iloc[1].isna().all()
    by_pds = add_intervals(replace(picked, objective="pds"), KnownResults("s")).candidates
    assert by_pds["low"][0] == pytest.approx(0.75)


def test_a_missing_table_costs_the_intervals_and_not_the_pick(store: Store) -> None:
    picked = add_intervals(pick(store.study("lost_table")), store.study("lost_table"))
    assert picked.candidates[["low", "high"]].isna().all(axis=None)
    assert picked.notes[0].startswith("No intervals: A run's artifacts must be readable")
