from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from fixtures.ledger import MakeLedger
from fixtures.store import Store

from adapert.config import Config
from adapert.errors import InputError
from adapert.evaluation.catalogue import find_metric
from adapert.records import EndReason, TrialStatus
from adapert.results.ledger import LedgerResults
from adapert.selection.rank import FRONT, METRICS, OBJECTIVES, find_front, pick, rank_candidates
from adapert.study.plan.study import Search
from search_spaces.adapert import SPACE

StudyOf = Callable[..., LedgerResults]

SEARCH = Search(space=SPACE)
BASE = Config().with_changes(
    {
        "data.path": "/data/prepared here",
        "data.fingerprint": "0012",
        "loss.lambda_align": 1 / 3,  # 17 digits
        "model.self_loops": True,
        "training.weight_decay": 1e-17,
    }
)


@pytest.fixture
def study_of(make_ledger: MakeLedger) -> StudyOf:
    """Make a study of trials (changes, seed, best Pearson-delta, best PDS, status)."""

    def write(
        *trials: tuple[dict[str, float], int, float | None, float | None, TrialStatus],
    ) -> LedgerResults:
        made = make_ledger("try", SEARCH, BASE)
        made.opened()
        for number, (changes, seed, value, pds, status) in enumerate(trials):
            trial = f"{number:03d}"
            made.asked(trial, "search", seed, changes)
            if value is not None:
                made.reported(trial, 1, value, best_pds=pds)
            if status != TrialStatus.INTERRUPTED:
                made.ended(trial, status, EndReason.EPOCHS)
        made.closed(TrialStatus.INTERRUPTED)
        return LedgerResults(made.folder)

    return write


def finished(
    tau: float, seed: int = 0, value: float = 0.5, pds: float | None = 0.8
) -> tuple[dict[str, float], int, float, float | None, TrialStatus]:
    return {"model.tau": tau}, seed, value, pds, TrialStatus.FINISHED


def test_the_best_mean_over_seeds_wins_and_not_the_best_seed(study_of: StudyOf) -> None:
    study = study_of(
        finished(0.5, 0, 0.9, 0.6),
        finished(0.5, 1, 0.1, 0.8),
        finished(0.7, 0, 0.6, 0.9),
        finished(0.7, 1, 0.6, 0.7),
    )
    picked = pick(study)
    assert picked.config.model.tau == 0.7
    rows = picked.candidates[["model.tau", "pearson_delta", "pds", "n_seeds"]].to_numpy().tolist()
    assert rows[0] == pytest.approx([0.7, 0.6, 0.8, 2])
    assert rows[1] == pytest.approx([0.5, 0.5, 0.7, 2])


@pytest.mark.parametrize("status", [TrialStatus.STOPPED, TrialStatus.FAILED, TrialStatus.INTERRUPTED])
def test_a_trial_that_did_not_finish_is_left_out_and_counted(study_of: StudyOf, status: TrialStatus) -> None:
    study = study_of(finished(0.5), ({"model.tau": 0.7}, 0, 0.9, 0.9, status))
    picked = pick(study)
    assert picked.config.model.tau == 0.5
    assert len(picked.candidates) == 1
    assert picked.n_left_out == 1


@pytest.mark.parametrize("order", [1, -1])
def test_ties_go_to_the_smallest_digest_whatever_the_order_of_runs(study_of: StudyOf, order: int) -> None:
    taus = [0.5, 0.7, 0.9][::order]
    study = study_of(*(finished(tau) for tau in taus))
    digests = sorted(BASE.with_changes({"model.tau": tau}).digest() for tau in taus)
    picked = pick(study)
    assert picked.candidates["config_digest"].tolist() == digests
    assert picked.config.digest() == digests[0]


def test_the_picked_config_is_the_trial_s_to_the_last_digit(study_of: StudyOf) -> None:
    study = study_of(finished(0.1 + 0.2))
    config = pick(study).config
    assert config == BASE.with_changes({"model.tau": 0.1 + 0.2})
    assert config.digest() == BASE.with_changes({"model.tau": 0.1 + 0.2}).digest()


def test_candidates_show_the_fields_that_differ_and_no_other(study_of: StudyOf) -> None:
    candidates = pick(study_of(finished(0.5), finished(0.7))).candidates
    assert [column for column in candidates.columns if "." in str(column)] == ["model.tau"]


@pytest.mark.parametrize(
    ("trials", "n_trials"),
    [
        ([], 0),
        ([({}, 0, 0.5, 0.5, TrialStatus.STOPPED), ({}, 1, None, None, TrialStatus.FAILED)], 2),
    ],
)
def test_a_study_without_a_finished_trial_is_refused(
    study_of: StudyOf,
    trials: list[tuple[dict[str, Any], int, float | None, float | None, TrialStatus]],
    n_trials: int,
) -> None:
    with pytest.raises(InputError, match=f"study 'try' has none of its {n_trials} trials finished"):
        pick(study_of(*trials))


def test_a_study_on_several_splits_is_refused(study_of: StudyOf) -> None:
    redrawn = {"model.tau": 0.5, "data.split_seed": 1}, 0, 0.9, 0.9, TrialStatus.FINISHED
    with pytest.raises(InputError, match="compared on one split, but the trials of 'try' have several"):
        pick(study_of(finished(0.5), redrawn))


def test_trials_of_a_version_without_the_split_s_seed_are_read_as_on_the_prepared_split(
    study_of: StudyOf,
) -> None:
    study = study_of(finished(0.5), finished(0.7, value=0.4))
    whole = study.frame
    study.frame = whole.drop(columns="data.split_seed")
    assert pick(study).config == BASE.with_changes({"model.tau": 0.5})
    study.frame = whole.assign(**{"data.split_seed": [np.nan, 0.0]})
    assert pick(study).config == BASE.with_changes({"model.tau": 0.5})


def test_a_seed_is_fresh_that_no_trial_had_whatever_its_end(study_of: StudyOf) -> None:
    failed = {"model.tau": 0.7}, 6, None, None, TrialStatus.FAILED
    assert pick(study_of(finished(0.5, seed=2), failed)).next_seed == 7


def test_the_runs_of_the_pick_are_its_finished_trials(study_of: StudyOf) -> None:
    study = study_of(finished(0.5, 0), finished(0.5, 1), finished(0.7, 0, 0.1))
    picked = pick(study)
    trials = study.frame
    assert list(picked.trials) == trials.loc[trials["model.tau"] == 0.5, "run"].tolist()


def test_another_objective_ranks_by_its_own_metric(study_of: StudyOf) -> None:
    study = study_of(finished(0.5, value=0.9, pds=0.6), finished(0.7, value=0.1, pds=0.8))
    picked = pick(study, "pds")
    assert picked.config.model.tau == 0.7
    assert picked.candidates["pds"].tolist() == [0.8, 0.6]


def test_a_trial_without_the_objective_is_left_out(study_of: StudyOf) -> None:
    study = study_of(finished(0.5, value=0.9, pds=None), finished(0.7, value=0.1, pds=0.8))
    picked = pick(study, "pareto")
    assert (picked.config.model.tau, picked.n_left_out) == (0.7, 1)


def test_an_unknown_objective_is_refused_with_the_nearest(store: Store) -> None:
    with pytest.raises(InputError, match=r"it is 'parto'\. Did you mean 'pareto'\?"):
        pick(store.study("search_wide"), "parto")


def test_the_front_is_optuna_s() -> None:
    generator = np.random.default_rng(0)
    values = generator.integers(0, 8, size=(40, 2)) / 8  # with ties
    study = optuna.create_study(directions=["maximize", "maximize"])
    for row in values:
        study.add_trial(optuna.trial.create_trial(values=row.tolist()))
    assert np.flatnonzero(find_front(values)).tolist() == [trial.number for trial in study.best_trials]


def test_the_front_comes_first_and_the_best_mean_rank_leads_it() -> None:
    # Mean ranks: c (1 + 5) / 2 = 3, b (2 + 2) / 2 = 2, a (5 + 1) / 2 = 3; d and e are dominated by b.
    frame = pd.DataFrame(
        {
            "config_digest": list("abcde"),
            "pearson_delta": [0.1, 0.8, 0.9, 0.7, 0.2],
            "pds": [0.9, 0.8, 0.1, 0.7, 0.2],
        }
    )
    ranked = rank_candidates(frame, "pareto")
    assert ranked["config_digest"].tolist() == ["b", "a", "c", "d", "e"]
    assert ranked["is_on_front"].tolist() == [True, True, True, False, False]


def test_a_metric_of_which_smaller_is_better_ranks_the_smallest_first() -> None:
    frame = pd.DataFrame({"config_digest": list("abc"), "mse": [0.2, 0.1, 0.3], "pds": [0.2, 0.1, 0.3]})
    assert rank_candidates(frame, "mse")["config_digest"].tolist() == ["b", "a", "c"]
    assert rank_candidates(frame, "pds")["config_digest"].tolist() == ["c", "a", "b"]


def test_larger_is_better_in_both_metrics_of_the_front() -> None:
    assert [find_metric(name).better for name in FRONT] == ["larger", "larger"]


def test_every_metric_of_choice_is_an_objective() -> None:
    assert set(OBJECTIVES) == {*METRICS, "pareto"}


def test_an_unknown_study_is_refused_with_the_nearest(store: Store) -> None:
    with pytest.raises(InputError, match=r"no study 'search_wdie'\. Did you mean 'search_wide'"):
        pick(store.study("search_wdie"))
