"""A search's first rung, learned from the trials that no rung could stop, and why it lies where it does."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from adapert.errors import format_count
from adapert.records import TrialRecord, TrialStatus
from adapert.study.engine.events import FirstRungDecided
from adapert.study.engine.state import StudyState
from adapert.study.plan.first_rung import LEAST_TRIALS, FixedRung, LearnedRung, first_rung_from_json
from adapert.study.plan.plans import Plan, Search

CONFIDENCE_Z = 0.8416
"""Standard errors below a correlation at which its one-sided bound of 80 % lies."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LearnedEpoch:
    """What full trials say of early epochs.

    Attributes:
        epoch: First epoch from which on their order agrees with their final one; None where no epoch does, or
            where too few epochs lie beyond it.
        agreement: Least Spearman correlation from that epoch on; None without an epoch.
    """

    epoch: int | None = None
    agreement: float | None = None


def decide_first_rung(plan: Plan, state: StudyState, max_epochs: int) -> FirstRungDecided | None:
    """Look again at where a search's first rung should be, from its ledger alone.

    Returns:
        None where nothing is to be decided: too few trials have run to their ends, or nothing has changed.
    """
    if not isinstance(plan, Search) or plan.is_full_fidelity or isinstance(plan.first_rung, FixedRung):
        return None
    policy = plan.first_rung
    if plan.cohort_size and not _is_between_cohorts(plan, state):
        return None
    full = [
        record
        for record in state.records.values()
        if record.trial_id in state.uncompared
        and record.seed == plan.first_seed
        and record.status == TrialStatus.FINISHED
        and np.isfinite(record.objective)
    ]
    if len(full) < policy.n_trials:
        return None
    curves = np.array([read_curve(record, state, max_epochs) for record in full])
    learned = learn_first_rung(curves, np.array([record.n_epochs for record in full]), policy)
    before = state.first_rung
    if before is not None and before.epoch == learned.epoch:
        return None
    return FirstRungDecided(epoch=learned.epoch, n_trials=len(full), agreement=learned.agreement)


def find_first_rung(plan: Plan, state: StudyState) -> int | None:
    """Epoch of the first rung that a plan gives or its ledger has learned; None where no trial is stopped."""
    if not isinstance(plan, Search) or plan.is_full_fidelity:
        return None
    if isinstance(plan.first_rung, FixedRung):
        return plan.first_rung.epoch
    return None if state.first_rung is None else state.first_rung.epoch


def learn_first_rung(curves: Array, n_epochs: npt.NDArray[np.int_], policy: LearnedRung) -> LearnedEpoch:
    """Find the epoch from which on the order of trials is, with confidence, close to their final order.

    Args:
        curves: Objectives of trials that ran to their ends, (n_trials, max_epochs); after its own end, a
            trial's last. Larger is better, minus infinity where undefined.
        n_epochs: Each trial's own epochs, (n_trials,).
        policy: What counts as agreement.
    """
    correlations = correlate_with_end(curves)[:-1]
    bounds = bound_correlation(correlations, len(curves))
    (short,) = np.nonzero(bounds < policy.agreement)
    epoch = int(short[-1]) + 2 if len(short) else 1
    left = np.clip(n_epochs - epoch, 0, None).sum() / n_epochs.sum()
    if epoch > len(correlations) or left < policy.epochs_left:
        return LearnedEpoch()
    return LearnedEpoch(epoch, float(correlations[epoch - 1 :].min()))


def correlate_with_end(curves: Array) -> Array:
    """Spearman correlation of each epoch's objectives with the last epoch's, (max_epochs,).

    0 where all are equal.
    """
    from scipy.stats import rankdata  # takes half a second, and only this needs it

    ranks = rankdata(curves, axis=0)
    centred = ranks - ranks.mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    products = lengths * lengths[-1]
    together = (centred * centred[:, -1:]).sum(axis=0)
    return np.asarray(np.divide(together, products, out=np.zeros_like(products), where=products > 0))


def bound_correlation(correlations: Array, n_trials: int) -> Array:
    """Lower bound of Spearman correlations, one-sided, 80 %.

    Bonett and Wright (2000), "Sample size requirements for estimating Pearson, Kendall and Spearman
    correlations": tanh(artanh(r) - z sqrt((1 + r^2 / 2) / (n - 3))).

    Args:
        correlations: Of any shape.
        n_trials: Trials that they are of, at least `LEAST_TRIALS`.
    """
    assert n_trials >= LEAST_TRIALS
    inside = np.clip(correlations, -1 + 1e-9, 1 - 1e-9)
    standard_error = np.sqrt((1 + inside**2 / 2) / (n_trials - 3))
    return np.asarray(np.tanh(np.arctanh(inside) - CONFIDENCE_Z * standard_error))


def read_curve(record: TrialRecord, state: StudyState, max_epochs: int) -> list[float]:
    """Objective of a trial after each epoch: its last one before, minus infinity before any."""
    reported = state.curves[record.trial_id]
    curve, value = [], -np.inf
    for epoch in range(1, max_epochs + 1):
        value = reported.get(epoch, value)
        curve.append(value)
    return curve


def describe_first_rung(state: StudyState) -> str:
    """Say from which epoch on a search compares its trials, and why; empty where none is ever compared."""
    # As it was written: a study can be described without the models that its config names.
    plan = state.definition.study.get("plan", {})
    if "first_rung" not in plan or plan.get("kind") == "importance":
        return ""
    policy, line = first_rung_from_json(plan["first_rung"]), state.first_rung
    if isinstance(policy, FixedRung):
        return f"First rung at epoch {policy.epoch}, as set."
    n_trials = plan.get("n_trials", policy.n_trials)
    if line is None and isinstance(n_trials, int) and n_trials <= policy.n_trials:
        return (
            f"No first rung: the first {format_count(policy.n_trials, 'trial')} run to their ends, and there "
            "are no more."
        )
    if line is None:
        return (
            f"First rung not known yet: {format_count(policy.n_trials, 'trial')} must run to their ends "
            "before any is stopped."
        )
    if line.epoch is None:
        return (
            f"No rung yet: the order of {line.n_trials} full trials agrees with their final order too late, "
            "or not at all, to stop any."
        )
    return (
        f"First rung at epoch {line.epoch}: from there the order of {line.n_trials} full trials agrees with "
        f"their final order (Spearman at least {line.agreement:.2f})."
    )


def _is_between_cohorts(plan: Search, state: StudyState) -> bool:
    """Whether all configs of a cohort have ended, and none of the next was asked for."""
    n_configs = len({record.number for record in state.records.values()})
    return not state.running and n_configs % plan.cohort_size == 0
