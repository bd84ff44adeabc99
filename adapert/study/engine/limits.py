"""When a study ends before all its trials have."""

from collections.abc import Iterable
from dataclasses import dataclass

from adapert.records import OBJECTIVE, TrialRecord, TrialStatus


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a study may cost, and what would be good enough.

    Attributes:
        seconds: Wall time, over all processes that worked on the study.
        trial_hours: Hours of work, summed over trials.
        target: Objective of a finished trial.
    """

    seconds: float | None = None
    trial_hours: float | None = None
    target: float | None = None

    def reached(self, records: Iterable[TrialRecord], trial_hours: float, seconds: float) -> str:
        """Say which limit is reached.

        Args:
            records: The study's trials so far.
            trial_hours: Hours of work of them all.
            seconds: Wall time so far.

        Returns:
            A sentence; empty where there is more to do.
        """
        if self.seconds is not None and seconds >= self.seconds:
            return f"The study's time budget of {self.seconds:g} s was used up."
        if self.trial_hours is not None and trial_hours >= self.trial_hours:
            return f"The study's {self.trial_hours:g} trial-hours were used up."
        if self.target is not None and any(
            record.status == TrialStatus.FINISHED and record.objective >= self.target for record in records
        ):
            return f"A trial reached the target, {OBJECTIVE} {self.target:g}."
        return ""
