import numpy as np
import optuna
import pandas as pd
import pytest

from adapert import selection
from adapert.config import Config
from adapert.errors import InputError
from adapert.records import EndReason, TrialStatus
from adapert.selection import METRICS, OBJECTIVES, find_front, pick, rank_candidates
from adapert.study.ledger import Ledger
from adapert.study.study import Search
from adapert.tracking.store import open_store, tracking_uri
from adapert.tracking.tracker import Tracker
from search_spaces.adapert import SPACE

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
def track(workspace, make_ledger):
    """Track trials (changes, seed, best Pearson-delta, best PDS, status); give the store's address."""

    def write(*trials, study="try"):
        made = make_ledger(study, SEARCH, BASE, workspace)
        made.opened()
        for number, (changes, seed, value, pds, status) in enumerate(trials):
            trial = f"{number:03d}"
            made.asked(trial, "search", seed, changes)
            if value is not None:
                made.reported(trial, 1, value, best_pds=pds)
            if status != TrialStatus.INTERRUPTED:
                made.ended(trial, status, EndReason.EPOCHS)
        made.closed(TrialStatus.INTERRUPTED)
        ledger = Ledger(made.path)
        store = open_store(workspace)
        tracker = Tracker(made.study, ledger, made.events, lambda: store, made.folder / "trials")
        assert (tracker.close(), tracker.trouble, tracker.refused) == (0, "", [])
        ledger.close()
        return tracking_uri(workspace)

    return write


def finished(tau, seed=0, value=0.5, pds=0.8):
    return {"model.tau": tau}, seed, value, pds, TrialStatus.FINISHED


def test_the_best_mean_over_seeds_wins_and_not_the_best_seed(track):
    uri = track(
        finished(0.5, 0, 0.9, 0.6),
        finished(0.5, 1, 0.1, 0.8),
        finished(0.7, 0, 0.6, 0.9),
        finished(0.7, 1, 0.6, 0.7),
    )
    picked = pick(uri, "try")
    assert picked.config.model.tau == 0.7
    rows = picked.candidates[["model.tau", "pearson_delta", "pds", "n_seeds"]].to_numpy().tolist()
    assert rows[0] == pytest.approx([0.7, 0.6, 0.8, 2])
    assert rows[1] == pytest.approx([0.5, 0.5, 0.7, 2])


@pytest.mark.parametrize("status", [TrialStatus.STOPPED, TrialStatus.FAILED, TrialStatus.INTERRUPTED])
def test_a_trial_that_did_not_finish_is_left_out_and_counted(track, status):
    uri = track(finished(0.5), ({"model.tau": 0.7}, 0, 0.9, 0.9, status))
    picked = pick(uri, "try")
    assert picked.config.model.tau == 0.5
    assert len(picked.candidates) == 1
    assert picked.n_left_out == 1


@pytest.mark.parametrize("order", [1, -1])
def test_ties_go_to_the_smallest_digest_whatever_the_order_of_runs(track, order):
    taus = [0.5, 0.7, 0.9][::order]
    uri = track(*(finished(tau) for tau in taus))
    digests = sorted(BASE.with_changes({"model.tau": tau}).digest() for tau in taus)
    picked = pick(uri, "try")
    assert picked.candidates["config_digest"].tolist() == digests
    assert picked.config.digest() == digests[0]


def test_the_picked_config_is_the_trial_s_to_the_last_digit(track):
    uri = track(finished(0.1 + 0.2))
    config = pick(uri, "try").config
    assert config == BASE.with_changes({"model.tau": 0.1 + 0.2})
    assert config.digest() == BASE.with_changes({"model.tau": 0.1 + 0.2}).digest()


def test_candidates_show_the_fields_that_differ_and_no_other(track):
    candidates = pick(track(finished(0.5), finished(0.7)), "try").candidates
    assert [column for column in candidates if "." in column] == ["model.tau"]


def test_trials_of_other_studies_do_not_compete(track):
    track(finished(0.9, value=0.99), study="other")
    assert pick(track(finished(0.5)), "try").config.model.tau == 0.5


@pytest.mark.parametrize(
    ("trials", "n_trials"),
    [
        ([], 0),
        ([({}, 0, 0.5, 0.5, TrialStatus.STOPPED), ({}, 1, None, None, TrialStatus.FAILED)], 2),
    ],
)
def test_a_study_without_a_finished_trial_is_refused(track, trials, n_trials):
    with pytest.raises(InputError, match=f"study 'try' has none of its {n_trials} trials finished"):
        pick(track(*trials), "try")


def test_a_study_on_several_splits_is_refused(track):
    redrawn = {"model.tau": 0.5, "data.split_seed": 1}, 0, 0.9, 0.9, TrialStatus.FINISHED
    with pytest.raises(InputError, match="compared on one split, but the trials of 'try' have several"):
        pick(track(finished(0.5), redrawn), "try")


def test_trials_of_a_version_without_the_split_s_seed_are_read_as_on_the_prepared_split(track, monkeypatch):
    uri = track(finished(0.5), finished(0.7, value=0.4))
    read = selection.read_trials
    monkeypatch.setattr(selection, "read_trials", lambda *given: read(*given).drop(columns="data.split_seed"))
    assert pick(uri, "try").config == BASE.with_changes({"model.tau": 0.5})

    def with_gap(*given):
        trials = read(*given)
        return trials.assign(**{"data.split_seed": [np.nan, 0.0]})

    monkeypatch.setattr(selection, "read_trials", with_gap)
    assert pick(uri, "try").config == BASE.with_changes({"model.tau": 0.5})


def test_a_seed_is_fresh_that_no_trial_had_whatever_its_end(track):
    failed = {"model.tau": 0.7}, 6, None, None, TrialStatus.FAILED
    assert pick(track(finished(0.5, seed=2), failed), "try").next_seed == 7


def test_the_runs_of_the_pick_are_its_finished_trials(track):
    uri = track(finished(0.5, 0), finished(0.5, 1), finished(0.7, 0, 0.1))
    picked = pick(uri, "try")
    trials = selection.read_trials(uri, "try")
    assert list(picked.run_ids) == trials.loc[trials["model.tau"] == 0.5, "run"].tolist()


def test_another_objective_ranks_by_its_own_metric(track):
    uri = track(finished(0.5, value=0.9, pds=0.6), finished(0.7, value=0.1, pds=0.8))
    picked = pick(uri, "try", "pds")
    assert picked.config.model.tau == 0.7
    assert picked.candidates["pds"].tolist() == [0.8, 0.6]


def test_a_trial_without_the_objective_is_left_out(track):
    uri = track(finished(0.5, value=0.9, pds=None), finished(0.7, value=0.1, pds=0.8))
    picked = pick(uri, "try", "pareto")
    assert (picked.config.model.tau, picked.n_left_out) == (0.7, 1)


def test_an_unknown_objective_is_refused_with_the_nearest(store):
    with pytest.raises(InputError, match=r"it is 'parto'\. Did you mean 'pareto'\?"):
        pick(store.uri, "search_wide", "parto")


def test_the_front_is_optuna_s():
    generator = np.random.default_rng(0)
    values = generator.integers(0, 8, size=(40, 2)) / 8  # with ties
    study = optuna.create_study(directions=["maximize", "maximize"])
    for row in values:
        study.add_trial(optuna.trial.create_trial(values=row.tolist()))
    assert np.flatnonzero(find_front(values)).tolist() == [trial.number for trial in study.best_trials]


def test_the_front_comes_first_and_the_best_mean_rank_leads_it():
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


def test_of_every_metric_of_choice_larger_is_better():
    from analysis.statistics.directions import is_larger_better

    assert all(is_larger_better(metric) for metric in METRICS)
    assert set(OBJECTIVES) == {*METRICS, "pareto"}


def test_an_unknown_study_is_refused_with_the_nearest(store):
    with pytest.raises(InputError, match=r"no study 'search_wdie'\. Did you mean 'search_wide'"):
        pick(store.uri, "search_wdie")
