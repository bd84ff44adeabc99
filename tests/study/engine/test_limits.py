import math

import pytest

from adapert.errors import InputError
from adapert.records import OBJECTIVE, TrialRecord, TrialStatus
from adapert.study.engine.limits import Limits
from adapert.study.engine.state import StudyState


def reached(limits: Limits, *trials: tuple[TrialStatus, float], seconds: float = 0.0) -> str:
    records = [
        TrialRecord(str(n), n, "full", 0, {}, status=status, metrics={OBJECTIVE: value}, seconds=1800.0)
        for n, (status, value) in enumerate(trials)
    ]
    state = StudyState(records={record.trial_id: record for record in records})
    return limits.reached(state.records.values(), state.trial_hours, seconds)


FINISHED = TrialStatus.FINISHED


def test_without_limits_none_is_reached() -> None:
    assert reached(Limits(), (FINISHED, 0.9), seconds=1e9) == ""


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [(59.9, ""), (60.0, "The study's time budget of 60 s was used up.")],
)
def test_a_time_budget_is_reached_at_its_last_second(seconds: float, sentence: str) -> None:
    assert reached(Limits(seconds=60), seconds=seconds) == sentence


def test_trial_hours_are_summed_over_all_trials_also_failed_and_running_ones() -> None:
    limits = Limits(trial_hours=1.5)
    two = [(TrialStatus.FAILED, math.nan), (TrialStatus.RUNNING, 0.1)]
    assert reached(limits, *two) == ""
    assert reached(limits, *two, (FINISHED, 0.2)) == "The study's 1.5 trial-hours were used up."


@pytest.mark.parametrize("value", [0.5, 0.6])
def test_a_finished_trial_reaches_the_target(value: float) -> None:
    found = reached(Limits(target=0.5), (FINISHED, 0.1), (FINISHED, value))
    assert found == "A trial reached the target, best_pearson_delta 0.5."


@pytest.mark.parametrize(
    "trial",
    [(FINISHED, 0.49), (FINISHED, math.nan), (TrialStatus.RUNNING, 0.9), (TrialStatus.STOPPED, 0.9)],
)
def test_a_trial_that_is_worse_or_did_not_finish_does_not_reach_the_target(
    trial: tuple[TrialStatus, float],
) -> None:
    assert reached(Limits(target=0.5), trial) == ""


@pytest.mark.parametrize("name", ["seconds", "trial_hours", "target"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_limit_that_is_no_finite_number_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"limit '{name}' must be a finite number, but it is {value}"):
        Limits(**{name: value})
