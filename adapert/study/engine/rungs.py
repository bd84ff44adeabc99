"""Which trials continue: asynchronous successive halving over epochs (Li et al., 2020, algorithm 2)."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RungDecision:
    """What a trial's value at a rung meant.

    Attributes:
        rung: Epoch of the rung.
        cutoff: What the value had to reach; None where nothing was there to compare with.
        is_stopped: Whether the trial ends here.
    """

    rung: int
    cutoff: float | None
    is_stopped: bool


class Rungs:
    """Values of trials at epochs ``min_epochs * reduction_factor ** k``, and which of them continue.

    A trial is compared with those that reached the rung before it. Trials of one cohort run side by side:
    where cohorts are given, only earlier cohorts count, so that nothing depends on who came first.
    """

    def __init__(self, min_epochs: int, max_epochs: int, reduction_factor: int) -> None:
        self.epochs: list[int] = []
        epoch = min_epochs
        while epoch < max_epochs:
            self.epochs.append(epoch)
            epoch *= reduction_factor
        self._kept_share = 1 / reduction_factor
        self._values: dict[int, dict[str, tuple[int, float]]] = {epoch: {} for epoch in self.epochs}

    def decide(self, trial: str, epoch: int, value: float, cohort: int | None = None) -> RungDecision | None:
        """Record a trial's value and decide whether it continues.

        Args:
            trial: The trial's id; a rung decides about a trial once.
            epoch: The report's epoch.
            value: Objective, larger is better; minus infinity where it is undefined.
            cohort: Number of the trial's cohort, from 0; None compares with all that came before.

        Returns:
            None where the epoch reaches no new rung.
        """
        # The highest rung reached: one that a report skips cannot be decided by it.
        reached = self.reached(epoch)
        if not reached or trial in self._values[reached[-1]]:
            return None
        rung = reached[-1]
        recorded = self._values[rung]
        before = [other for its, other in recorded.values() if cohort is None or its < cohort]
        with np.errstate(invalid="ignore"):
            cutoff = float(np.percentile(before, 100 * (1 - self._kept_share))) if before else None
        if cutoff is not None and math.isnan(cutoff):
            cutoff = -math.inf  # between minus infinity and a number lies no number: then none is stopped
        self.record(trial, rung, value, cohort)
        return RungDecision(rung, cutoff, cutoff is not None and value < cutoff)

    def reached(self, epoch: int) -> list[int]:
        """Rungs that a trial has reached after an epoch, lowest first."""
        return [rung for rung in self.epochs if rung <= epoch]

    def record(self, trial: str, rung: int, value: float, cohort: int | None = None) -> None:
        """Put a value to its rung without a decision."""
        self._values[rung][trial] = (cohort or 0, value)
