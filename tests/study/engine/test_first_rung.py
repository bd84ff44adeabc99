"""Where a search's first rung is learned to be."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.narrowed import present
from fixtures.simulated_study import SPACE, hand_out
from scipy.stats import norm, spearmanr

from adapert.config import Config
from adapert.records import FAILURE, HOST, IS_OVER, MESSAGE, OBJECTIVE, TrialRecord, TrialStatus
from adapert.seeding import numpy_generator
from adapert.study.engine.events import FirstRungDecided
from adapert.study.engine.first_rung import (
    CONFIDENCE_Z,
    Array,
    LearnedEpoch,
    bound_correlation,
    correlate_with_end,
    describe_first_rung,
    learn_first_rung,
)
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.runner import StudyRunner
from adapert.study.engine.state import StudyState
from adapert.study.plan.study import Design, FixedRung, LearnedRung, Plan, Search, Study
from adapert.testing import SimulatedWorkers, begin_study, open_study

N_EPOCHS = 10


def draw_curves(n_trials: int = 8, early: float = 1.0, late_from: int = 4) -> Array:
    """Curves whose order is the final one from epoch `late_from` on, and before with a share of noise."""
    generator = numpy_generator(0, "curves")
    final = np.arange(n_trials, dtype=float)
    noise = np.array([generator.permutation(n_trials) for _ in range(late_from - 1)])
    first = (1 - early) * final[:, None] + early * noise.T
    return np.hstack([first, np.repeat(final[:, None], N_EPOCHS - late_from + 1, axis=1)])


def test_correlations_are_scipy_s() -> None:
    curves = numpy_generator(1, "curves").normal(size=(9, N_EPOCHS)).round(1)  # some are equal
    curves[0, :3] = -np.inf
    expected = [spearmanr(curves[:, epoch], curves[:, -1]).statistic for epoch in range(N_EPOCHS)]
    assert correlate_with_end(curves) == pytest.approx(expected)


def test_what_never_differs_does_not_agree() -> None:
    assert correlate_with_end(np.ones((5, 3))).tolist() == [0, 0, 0]
    assert learn_first_rung(np.ones((8, 3)), np.full(8, 3), LearnedRung()) == LearnedEpoch()


def test_bounds_are_those_of_the_equation() -> None:
    assert norm.cdf(CONFIDENCE_Z) == pytest.approx(0.8, abs=1e-4)
    for r, n in ((0.9, 8), (0.3, 20), (-0.5, 5)):
        z = math.atanh(r) - CONFIDENCE_Z * math.sqrt((1 + r**2 / 2) / (n - 3))
        assert bound_correlation(np.array(r), n) == pytest.approx(math.tanh(z))


@pytest.mark.parametrize("seed", range(3))
def test_a_bound_lies_below_the_truth_as_often_as_it_says(seed: int) -> None:
    # Normal pairs: Spearman's correlation is 6 / pi arcsin(r / 2).
    generator, r, n = numpy_generator(seed, "pairs"), 0.85, 12
    pairs = generator.multivariate_normal([0, 0], [[1, r], [r, 1]], size=(600, n))
    truth = 6 / math.pi * math.asin(r / 2)
    bounds = [bound_correlation(correlate_with_end(each)[:1], n)[0] for each in pairs]
    assert 0.75 < np.mean(np.array(bounds) <= truth) < 0.9


def test_the_first_rung_is_the_earliest_epoch_from_which_on_the_order_agrees() -> None:
    policy, whole = LearnedRung(), np.full(8, N_EPOCHS)
    for early, epoch in ((0.0, 1), (1.0, 4)):
        learned = learn_first_rung(draw_curves(early=early), whole, policy)
        assert learned.epoch == epoch
        assert learned.agreement == pytest.approx(1.0)
    agrees_once = draw_curves()
    agrees_once[:, 0] = agrees_once[:, -1]  # but not at epochs 2 and 3
    assert learn_first_rung(agrees_once, whole, policy).epoch == 4


def test_a_rung_that_leaves_too_few_epochs_is_none() -> None:
    curves = draw_curves(late_from=6)
    assert learn_first_rung(curves, np.full(8, N_EPOCHS), LearnedRung()) == LearnedEpoch()
    assert learn_first_rung(curves, np.full(8, N_EPOCHS), LearnedRung(epochs_left=0.4)).epoch == 6
    # Trials that use up their patience early leave fewer.
    assert learn_first_rung(curves, np.full(8, 7), LearnedRung(epochs_left=0.4)) == LearnedEpoch()


@pytest.mark.parametrize("n_epochs", [1, 2])
def test_few_epochs_are_no_reason_to_fail(n_epochs: int) -> None:
    curves = np.repeat(np.arange(8.0)[:, None], n_epochs, axis=1)
    learned = learn_first_rung(curves, np.full(8, n_epochs), LearnedRung())
    assert learned.epoch == (None if n_epochs == 1 else 1)


def open_search(folder: Path, plan: Plan, max_epochs: int = N_EPOCHS) -> StudyRunner:
    base = Config().with_changes({"training.max_epochs": max_epochs})
    begin_study(Study(name="try", question="?", base=base, plan=plan), folder)
    return open_study(folder)


def report(record: TrialRecord, epoch: int) -> dict[str, Any]:
    """Every second trial is better at all epochs than the one before; the others are worse and worse."""
    value = record.number if record.number % 2 else -record.number
    return {OBJECTIVE: float(value), "epoch": epoch, HOST: "here", IS_OVER: epoch == N_EPOCHS}


def n_epochs(state: StudyState) -> list[int]:
    return [record.n_epochs for record in state.records.values()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.parametrize("n_trials", [3, 8])
def test_a_search_of_few_trials_stops_none(folder: Path, n_trials: int) -> None:
    runner = open_search(folder, Search(space=SPACE, n_trials=n_trials))
    SimulatedWorkers(runner, report, n_workers=2).run()
    assert n_epochs(runner.state) == [N_EPOCHS] * n_trials


def test_trials_are_stopped_once_eight_have_shown_that_early_epochs_tell(folder: Path) -> None:
    runner = open_search(folder, Search(space=SPACE, n_trials=14, sampler="random"))
    assert describe_first_rung(runner.state) == (
        "First rung not known yet: 8 trials must run to their ends before any is stopped."
    )
    SimulatedWorkers(runner, report).run()
    line = present(runner.state.first_rung)
    assert (line.epoch, line.n_trials) == (1, 8)
    assert n_epochs(runner.state) == [10] * 8 + [1, 10] * 3
    assert describe_first_rung(runner.state) == (
        "First rung at epoch 1: from there the order of 8 full trials agrees with their final order "
        "(Spearman at least 1.00)."
    )


def test_trials_that_ran_when_it_was_learned_run_to_their_ends_and_are_learned_from(folder: Path) -> None:
    runner = open_search(folder, Search(space=SPACE, n_trials=14, sampler="random"))

    def misleads(record: TrialRecord, epoch: int) -> Mapping[str, Any]:
        # From the ninth trial on, those that lead at first end last.
        sign = -1 if record.number > 8 and epoch > 7 else 1
        return report(record, epoch) | {OBJECTIVE: sign * record.number + 0.0}

    SimulatedWorkers(runner, misleads, n_workers=4).run()
    lines = [event for event in read_events(folder / LEDGER_FILE) if isinstance(event, FirstRungDecided)]
    assert [(line.epoch, line.n_trials) for line in lines] == [(1, 8), (None, 10)]
    # The eight, the three that ran beside the last of them, and the last, which is compared with none.
    assert [n_epochs(runner.state)[number] for number in (*range(11), 13)] == [10] * 12
    assert describe_first_rung(runner.state).startswith("No rung yet: the order of 10 full trials agrees")


def test_what_failed_was_stopped_or_has_no_objective_is_not_learned_from(folder: Path) -> None:
    runner = open_search(folder, Search(space=SPACE, n_trials=12, sampler="random"))

    def ruin(record: TrialRecord, epoch: int) -> Mapping[str, Any]:
        if record.number == 0:
            return {FAILURE: "error", MESSAGE: "ValueError: no"}
        undefined = {OBJECTIVE: math.nan} if record.number == 1 else {}
        return report(record, epoch) | undefined

    SimulatedWorkers(runner, ruin).run()
    line = present(runner.state.first_rung)
    assert (line.epoch, line.n_trials) == (1, 8)
    assert sorted(runner.state.uncompared) == [f"{n:03d}" for n in range(1, 11)]


def test_a_trial_that_is_stopped_by_hand_is_not_learned_from(folder: Path) -> None:
    plan = Search(space=SPACE, n_trials=6, sampler="random", first_rung=LearnedRung(n_trials=4))
    runner = open_search(folder, plan)
    SimulatedWorkers(runner, report).run(3 * N_EPOCHS)
    record = hand_out(runner)
    runner.state.to_stop.add(record.trial_id)
    assert not runner.reported(record.trial_id, report(record, 1))
    assert (record.status, runner.state.first_rung) == (TrialStatus.STOPPED, None)


def test_only_first_seeds_are_learned_from(folder: Path) -> None:
    plan = Search(
        space=SPACE,
        n_trials=6,
        sampler="random",
        seeds_per_config=3,
        first_rung=LearnedRung(n_trials=4, agreement=0.1),
    )
    runner = open_search(folder, plan)

    def differ(record: TrialRecord, epoch: int) -> Mapping[str, Any]:
        return report(record, epoch) | {OBJECTIVE: record.number + (epoch + record.seed) / 100}

    SimulatedWorkers(runner, differ).run()
    assert present(runner.state.first_rung).n_trials == 4
    assert len(runner.state.uncompared) > 4


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (Search(space=SPACE, first_rung=FixedRung(12)), "First rung at epoch 12, as set."),
        (Search(kind="importance", sampler="random", space=SPACE), ""),
        (Design(kind="ablation", variants={"full": {}}), ""),
    ],
)
def test_a_rung_that_is_not_learned_is_described_or_there_is_none(
    folder: Path, plan: Plan, sentence: str
) -> None:
    assert describe_first_rung(open_search(folder, plan).state) == sentence
