import math

import pytest

from adapert.records import OBJECTIVE, TrialRecord, TrialStatus
from adapert.study.engine.limits import Limits
from adapert.study.engine.state import StudyState


def state_of(*trials):
    records = [
        TrialRecord(str(n), n, "full", 0, {}, status=status, metrics={OBJECTIVE: value}, seconds=1800.0)
        for n, (status, value) in enumerate(trials)
    ]
    return StudyState(records={record.trial_id: record for record in records})


FINISHED = TrialStatus.FINISHED


def test_without_limits_none_is_reached():
    assert Limits().reached(state_of((FINISHED, 0.9)), 1e9) == ""


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [(59.9, ""), (60.0, "The study's time budget of 60 s was used up.")],
)
def test_a_time_budget_is_reached_at_its_last_second(seconds, sentence):
    assert Limits(seconds=60).reached(state_of(), seconds) == sentence


def test_trial_hours_are_summed_over_all_trials_also_failed_and_running_ones():
    limits = Limits(trial_hours=1.5)
    two = [(TrialStatus.FAILED, math.nan), (TrialStatus.RUNNING, 0.1)]
    assert limits.reached(state_of(*two), 0.0) == ""
    assert limits.reached(state_of(*two, (FINISHED, 0.2)), 0.0) == "The study's 1.5 trial-hours were used up."


@pytest.mark.parametrize("value", [0.5, 0.6])
def test_a_finished_trial_reaches_the_target(value):
    state = state_of((FINISHED, 0.1), (FINISHED, value))
    assert Limits(target=0.5).reached(state, 0.0) == "A trial reached the target, best_pearson_delta 0.5."


@pytest.mark.parametrize(
    "trial",
    [(FINISHED, 0.49), (FINISHED, math.nan), (TrialStatus.RUNNING, 0.9), (TrialStatus.STOPPED, 0.9)],
)
def test_a_trial_that_is_worse_or_did_not_finish_does_not_reach_the_target(trial):
    assert Limits(target=0.5).reached(state_of(trial), 0.0) == ""
