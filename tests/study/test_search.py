import math

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from adapert.records import IS_OVER, OBJECTIVE
from adapert.study.search import build_sampler, build_search, fail_rest
from adapert.study.study import Search

SPACE = {
    "model.tau": FloatDistribution(0.1, 2.0, log=True),
    "graph.top_k": CategoricalDistribution((5, 10, 20, 50)),
}


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "journal.log"


@pytest.fixture
def search(journal):
    return build_search(Search(space=SPACE, seed=1), "try", journal)


def trials_in(journal):
    """Read what another process would."""
    storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.load_study(study_name="try", storage=storage).trials


def report(search, trial_id, epoch, value):
    result = {OBJECTIVE: value, "epoch": epoch, "training_iteration": epoch}
    search.on_trial_result(trial_id, result)


def complete(search, trial_id, epoch, value, is_over):
    """As Tune does: the last report comes with the end only."""
    search.on_trial_complete(trial_id, {OBJECTIVE: value, "epoch": epoch, IS_OVER: is_over})


def test_a_trial_that_ended_by_its_own_rules_is_complete(search, journal):
    search.suggest("a")
    report(search, "a", 1, 0.3)
    complete(search, "a", 2, 0.4, is_over=True)
    (trial,) = trials_in(journal)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.4)
    assert trial.intermediate_values == {1: 0.3, 2: 0.4}


def test_a_trial_that_the_scheduler_stopped_is_pruned_with_its_last_report(search, journal):
    search.suggest("a")
    for epoch, value in enumerate([0.1, 0.2], start=1):
        report(search, "a", epoch, value)
    complete(search, "a", 3, 0.25, is_over=False)
    (trial,) = trials_in(journal)
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values == {1: 0.1, 2: 0.2, 3: 0.25}


def test_a_failed_trial_has_failed_whatever_it_had_reported(search, journal):
    search.suggest("a")
    report(search, "a", 1, 0.9)
    search.on_trial_complete("a", error=True)
    (trial,) = trials_in(journal)
    assert (trial.state, trial.value) == (TrialState.FAIL, None)


def test_a_trial_that_ended_without_a_report_has_failed(search, journal):
    search.suggest("a")
    search.on_trial_complete("a", None)
    assert trials_in(journal)[0].state == TrialState.FAIL


def test_an_objective_that_was_never_defined_is_the_worst(search, journal):
    search.suggest("a")
    complete(search, "a", 1, -math.inf, is_over=True)
    (trial,) = trials_in(journal)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, -math.inf)


def test_a_second_end_of_a_trial_changes_nothing(search, journal):
    search.suggest("a")
    complete(search, "a", 1, 0.5, is_over=True)
    complete(search, "a", 2, 0.9, is_over=False)
    search.on_trial_complete("a", error=True)
    (trial,) = trials_in(journal)
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.5)


def test_trials_that_stay_open_have_failed_and_ended_ones_stay_as_they_are(search, journal):
    for trial_id in ("a", "b", "c"):
        search.suggest(trial_id)
    complete(search, "b", 1, 0.5, is_over=True)
    fail_rest("try", journal)
    states = [trial.state for trial in trials_in(journal)]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.FAIL]


def test_suggestions_are_of_the_space_under_dotted_names(search):
    suggested = search.suggest("a")
    assert set(suggested) == set(SPACE)
    assert 0.1 <= suggested["model.tau"] <= 2.0
    assert suggested["graph.top_k"] in (5, 10, 20, 50)


def suggestions(directory, sampler, seed, n_trials=8):
    """Ask one trial at a time and tell what it is worth, past the sampler's first random trials."""
    directory.mkdir()
    plan = Search(space=SPACE, sampler=sampler, seed=seed, n_trials=n_trials)
    search = build_search(plan, "try", directory / "journal.log")
    asked = []
    for number in range(n_trials):
        asked.append(search.suggest(str(number)))
        complete(search, str(number), 1, -abs(asked[-1]["model.tau"] - 0.7), is_over=True)
    return asked


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_suggests_the_same_configs_in_the_same_order(tmp_path, sampler):
    first = suggestions(tmp_path / "first", sampler, seed=3)
    assert suggestions(tmp_path / "again", sampler, seed=3) == first
    assert suggestions(tmp_path / "other", sampler, seed=4) != first


def test_samplers_are_what_the_plan_says_with_pinned_options():
    assert isinstance(build_sampler(Search(space=SPACE, sampler="random")), RandomSampler)
    tpe = build_sampler(Search(space=SPACE, sampler="tpe"))
    assert isinstance(tpe, TPESampler)
    assert tpe._multivariate
    assert tpe._constant_liar


@pytest.mark.parametrize(("n_trials", "n_startup"), [(3, 4), (16, 5), (30, 10), (300, 10)])
def test_a_third_of_the_trials_are_random_at_first_within_bounds(n_trials, n_startup):
    assert build_sampler(Search(space=SPACE, n_trials=n_trials))._n_startup_trials == n_startup
