from typing import Any

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present
from fixtures.store import Store

from adapert.config import Config
from adapert.errors import InputError
from adapert.selection.decide import name_reevaluation, pick_reevaluated, pick_retrained
from adapert.selection.rank import Pick, keep_finished

TAUS = (0.5, 0.7, 0.9)
"""Of the candidates, in the order of their rank."""


def picked_of(*values: float, objective: str = "pearson_delta", pds: list[float] | None = None) -> Pick:
    configs = tuple(Config().with_changes({"model.tau": tau}) for tau in TAUS[: len(values)])
    candidates = pd.DataFrame(
        {
            "config_digest": [config.digest() for config in configs],
            "pearson_delta": values,
            "pds": pds or [0.6] * len(values),
        }
    )
    trials = tuple((f"search/{rank}",) for rank in range(1, len(values) + 1))
    return Pick(
        config=configs[0],
        candidates=candidates,
        n_left_out=0,
        objective=objective,
        configs=configs,
        trials=trials[0],
        trials_of=trials,
    )


def trial(
    rank: int, split_seed: int, seed: int, value: float, pds: float = 0.6, status: str = "finished"
) -> dict[str, Any]:
    changes = {"model.tau": TAUS[rank - 1], "data.split_seed": split_seed, "data.path": "/somewhere/else"}
    identity = {"run": f"{rank}/{split_seed}/{seed}", "variant": "v", "seed": seed, "status": status}
    return identity | Config().with_changes(changes).flat() | {"best_pearson_delta": value, "best_pds": pds}


def trials_of(values: dict[int, tuple[list[float], list[float]]]) -> pd.DataFrame:
    """Rank to values: those of seeds 1 and 2 on the study's split, then those of redrawn splits 1, 2, ..."""
    rows = []
    for rank, (fresh, redrawn) in values.items():
        rows += [trial(rank, 0, seed, value) for seed, value in enumerate(fresh, 1)]
        rows += [trial(rank, split, 1, value) for split, value in enumerate(redrawn, 1)]
    return pd.DataFrame(rows)


def test_every_split_has_the_same_weight_and_its_seeds_are_averaged_first() -> None:
    # Over trials rank 1 would win: (0.9 + 0.9 + 0.3 + 0.3) / 4 = 0.6 against 0.55.
    trials = trials_of({1: ([0.9, 0.9], [0.3, 0.3]), 2: ([0.4, 0.4], [0.7, 0.7])})
    chosen = pick_retrained(picked_of(0.95, 0.94), trials)
    assert chosen.config.model.tau == 0.7
    assert chosen.rank == 2
    table = present(chosen.reevaluated).set_index("rank")
    assert table["pearson_delta"].to_dict() == pytest.approx({2: (0.4 + 0.7 + 0.7) / 3, 1: 0.5})
    assert table["n_trials"].to_dict() == {1: 4, 2: 4}


def test_the_table_says_what_a_config_lost_and_how_its_trials_vary() -> None:
    trials = trials_of({1: ([0.5, 0.7], [0.3, 0.5, 0.4])})
    (row,) = present(pick_retrained(picked_of(0.9), trials).reevaluated).to_dict("records")
    assert row["searched"] == 0.9
    assert row["fresh"] == pytest.approx(0.6)
    assert row["fresh_sd"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert row["redrawn"] == pytest.approx(0.4)
    assert row["redrawn_sd"] == pytest.approx(0.1)
    assert row["drop"] == pytest.approx(0.3)


def test_candidates_are_compared_on_what_all_of_them_finished() -> None:
    trials = trials_of({1: ([0.5, 0.9], [0.5]), 2: ([0.6, 0.1], [0.6])})
    trials.loc[(trials["data.split_seed"] == 0) & (trials["seed"] == 2), "status"] = ["finished", "failed"]
    chosen = pick_retrained(picked_of(0.9, 0.8), trials)
    assert chosen.rank == 2
    assert present(chosen.reevaluated)["pearson_delta"].tolist() == pytest.approx([0.6, 0.5])
    assert chosen.n_failed == 1
    assert any("1 of 6 trials of the re-evaluation failed" in note for note in chosen.notes)
    assert any("seed: 1 trial." in note for note in chosen.notes)


def test_a_candidate_that_shares_no_trial_is_left_out_with_a_note() -> None:
    trials = pd.DataFrame([trial(1, 0, 1, 0.5), trial(1, 1, 1, 0.5), trial(2, 0, 2, 0.9)])
    chosen = pick_retrained(picked_of(0.9, 0.8), trials)
    assert chosen.rank == 1
    assert chosen.notes == ("Rank 2 is left out: it finished too few trials to be compared.",)


def test_a_re_evaluation_without_a_finished_trial_is_refused() -> None:
    trials = pd.DataFrame([trial(1, 0, 1, 0.5, status="failed")])
    with pytest.raises(InputError, match="it has none of 1"):
        pick_retrained(picked_of(0.9), trials)


def test_a_trial_that_was_tracked_twice_counts_once() -> None:
    trials = trials_of({1: ([0.5, 0.9], [])})
    twice = pd.concat([trials, trials.iloc[:1]])
    chosen = pick_retrained(picked_of(0.9), twice)
    assert present(chosen.reevaluated)["pearson_delta"].tolist() == pytest.approx([0.7])


def test_trials_of_other_configs_do_not_compete() -> None:
    trials = trials_of({1: ([0.5], []), 3: ([0.9], [])})
    chosen = pick_retrained(picked_of(0.9, 0.8), trials)
    assert present(chosen.reevaluated)["rank"].tolist() == [1]


def test_the_runs_of_the_pick_are_those_on_the_study_s_own_split() -> None:
    trials = trials_of({1: ([0.5, 0.5], [0.5]), 2: ([0.6, 0.6], [0.6])})
    assert pick_retrained(picked_of(0.9, 0.8), trials).trials == ("search/2", "2/0/1", "2/0/2")


def test_another_objective_decides_by_its_own_metric() -> None:
    rows = [trial(1, 0, 1, 0.9, pds=0.5), trial(2, 0, 1, 0.1, pds=0.8)]
    chosen = pick_retrained(picked_of(0.9, 0.8, objective="pds", pds=[0.9, 0.85]), pd.DataFrame(rows))
    assert chosen.rank == 2
    assert present(chosen.reevaluated)["searched"].tolist() == [0.85, 0.9]
    assert chosen.reason.startswith("Rank 2 is picked: its PDS of 0.8000 is the best of 2 over 1 split")


def test_the_front_is_found_again_among_those_retrained() -> None:
    rows = [trial(1, 0, 1, 0.5, pds=0.5), trial(2, 0, 1, 0.6, pds=0.6), trial(3, 0, 1, 0.4, pds=0.7)]
    chosen = pick_retrained(picked_of(0.9, 0.8, 0.7, objective="pareto"), pd.DataFrame(rows))
    assert chosen.rank == 2
    table = present(chosen.reevaluated).set_index("rank")
    assert table["is_on_front"].to_dict() == {1: False, 2: True, 3: True}


def test_the_reason_counts_paired_trials() -> None:
    trials = trials_of({1: ([0.5, 0.4], [0.5]), 2: ([0.6, 0.3], [0.7])})
    assert pick_retrained(picked_of(0.9, 0.8), trials).reason == (
        "Rank 2 is picked: its Pearson-delta of 0.5750 is the best of 2 over 2 splits, 3 trials in all. "
        "Rank 1 is next with 0.4750; the pick is ahead of it in 2 of 3 paired trials."
    )


def test_re_evaluations_are_numbered_from_the_second_on() -> None:
    assert [name_reevaluation("s", n) for n in (1, 2)] == ["s_reevaluation", "s_reevaluation_2"]


def test_a_study_that_was_not_re_evaluated_is_picked_from_itself(store: Store) -> None:
    picked = pick_reevaluated(store.directory, store.study("search_wide"))
    assert picked.reevaluated is None
    assert keep_finished(pd.DataFrame(), "pds").empty
