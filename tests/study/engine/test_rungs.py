import math
import random
from random import Random
from types import SimpleNamespace

import pytest
from fixtures.narrowed import present

from adapert.study.engine.rungs import RungDecision, Rungs


class Bystander:
    """Ray's scheduler, asked as Tune asks it, after each epoch."""

    def __init__(self, min_epochs: int, max_epochs: int, reduction_factor: int) -> None:
        from ray.tune.schedulers import AsyncHyperBandScheduler

        self.scheduler = AsyncHyperBandScheduler(
            time_attr="epoch",
            metric="value",
            mode="max",
            max_t=max_epochs,
            grace_period=min_epochs,
            reduction_factor=reduction_factor,
        )

    def begin(self, trial: str) -> None:
        self.scheduler.on_trial_add(None, SimpleNamespace(trial_id=trial))

    def stops(self, trial: str, epoch: int, value: float) -> bool:
        report = {"epoch": epoch, "value": value}
        decision = self.scheduler.on_trial_result(None, SimpleNamespace(trial_id=trial), report)
        return bool(decision == self.scheduler.STOP)


def draw_value(rng: Random, digits: int) -> float:
    return -math.inf if rng.random() < 0.05 else round(rng.random(), digits)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning:numpy")  # Ray's, of minus infinity
@pytest.mark.parametrize("seed", range(20))
def test_decisions_are_those_of_ray_s_scheduler_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    min_epochs, reduction_factor = rng.randint(1, 4), rng.randint(2, 4)
    max_epochs = min_epochs + rng.randint(1, 60)
    rungs, ray = (
        Rungs(min_epochs, max_epochs, reduction_factor),
        Bystander(min_epochs, max_epochs, reduction_factor),
    )
    left, n_stopped = [f"{n:03d}" for n in range(40)], 0
    at_epoch: dict[str, int] = {}
    while left or at_epoch:
        while left and len(at_epoch) < 5:
            at_epoch[left[0]] = 0
            ray.begin(left.pop(0))
        trial = rng.choice(sorted(at_epoch))
        epoch = at_epoch[trial] = at_epoch[trial] + 1
        if epoch == max_epochs:
            del at_epoch[trial]
            continue
        value = draw_value(rng, digits=seed % 3 + 1)  # few digits, so that some are equal
        decision = rungs.decide(trial, epoch, value)
        is_stopped = decision is not None and decision.is_stopped
        assert is_stopped == ray.stops(trial, epoch, value)
        if is_stopped:
            del at_epoch[trial]
            n_stopped += 1
    assert n_stopped


@pytest.mark.parametrize(
    ("min_epochs", "max_epochs", "reduction_factor", "epochs"),
    [(2, 20, 3, [2, 6, 18]), (1, 8, 2, [1, 2, 4]), (10, 10, 3, []), (10, 4, 3, []), (10, 60, 3, [10, 30])],
)
def test_rungs_lie_below_the_last_epoch(
    min_epochs: int, max_epochs: int, reduction_factor: int, epochs: list[int]
) -> None:
    assert Rungs(min_epochs, max_epochs, reduction_factor).epochs == epochs


def test_a_trial_below_the_best_third_at_a_rung_is_stopped() -> None:
    rungs = Rungs(1, 9, 3)
    assert rungs.decide("a", 1, 0.0) == RungDecision(1, None, is_stopped=False)
    assert rungs.decide("b", 1, 0.75) == RungDecision(1, 0.0, is_stopped=False)
    # Two thirds of the way from 0.0 to 0.75.
    decision = present(rungs.decide("c", 1, 0.5))
    assert decision == RungDecision(1, decision.cutoff, is_stopped=False)
    assert decision.cutoff == pytest.approx(0.5)
    assert present(rungs.decide("d", 1, 0.25)).is_stopped


def test_a_rung_judges_a_trial_once() -> None:
    rungs = Rungs(2, 9, 2)
    assert rungs.decide("a", 1, 0.5) is None
    assert present(rungs.decide("a", 2, 0.5)).rung == 2
    assert rungs.decide("a", 2, 0.5) is None
    assert rungs.decide("a", 3, 0.5) is None
    assert present(rungs.decide("a", 4, 0.5)).rung == 4


def draws(seed: int, n_trials: int = 30) -> list[tuple[str, int, float]]:
    rng = random.Random(seed)
    return [(f"{n:03d}", epoch, draw_value(rng, 2)) for n in range(n_trials) for epoch in (1, 2, 3, 4)]


@pytest.mark.parametrize("size", [0, 4])
def test_rungs_that_are_put_back_decide_as_unbroken_ones(size: int) -> None:
    unbroken, put_back, recorded = Rungs(1, 5, 2), Rungs(1, 5, 2), []
    for trial, epoch, value in draws(0):
        cohort = int(trial) // size if size else None
        decision = unbroken.decide(trial, epoch, value, cohort)
        assert put_back.decide(trial, epoch, value, cohort) == decision
        if decision is not None:
            recorded.append((trial, decision.rung, value, cohort))
        put_back = Rungs(1, 5, 2)
        for each in reversed(recorded):
            put_back.record(*each)


def judge_in_order(cohorts: list[list[tuple[str, float]]]) -> dict[str, RungDecision]:
    rungs = Rungs(1, 2, 2)
    return {
        trial: present(rungs.decide(trial, 1, value, cohort))
        for cohort, trials in enumerate(cohorts)
        for trial, value in trials
    }


@pytest.mark.parametrize("seed", range(5))
def test_order_within_a_cohort_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    trials = [(f"{n:03d}", draw_value(rng, 2)) for n in range(24)]
    cohorts = [trials[first : first + 4] for first in range(0, 24, 4)]
    shuffled = [rng.sample(cohort, len(cohort)) for cohort in cohorts]
    assert judge_in_order(shuffled) == judge_in_order(cohorts)


def test_the_first_cohort_is_compared_with_nobody() -> None:
    decided = judge_in_order([[("a", 1.0), ("b", 0.0)], [("c", 0.25)]])
    assert (decided["a"].cutoff, decided["b"].cutoff) == (None, None)
    assert decided["c"] == RungDecision(1, 0.5, is_stopped=True)


def test_an_undefined_objective_is_the_worst() -> None:
    rungs = Rungs(1, 2, 2)
    rungs.decide("a", 1, 0.5)
    assert rungs.decide("b", 1, -math.inf) == RungDecision(1, 0.5, is_stopped=True)


def test_no_trial_is_stopped_by_undefined_objectives_alone() -> None:
    rungs = Rungs(1, 2, 2)
    rungs.decide("a", 1, -math.inf)
    assert rungs.decide("b", 1, -math.inf) == RungDecision(1, -math.inf, is_stopped=False)
    rungs.decide("c", 1, 0.5)
    # The median of two undefined ones and a number is undefined; between one of each lies no number.
    assert not present(rungs.decide("d", 1, -1.0)).is_stopped
    assert not present(rungs.decide("e", 1, -1.0)).is_stopped
