"""When a study ends before all its trials have."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from adapert.errors import InputError
from adapert.records import OBJECTIVE, TrialRecord, TrialStatus


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a study may cost, and what would be good enough.

    Attributes:
        seconds: Wall time, over all processes that worked on the study.
        trial_hours: Hours of work, summed over trials.
        target: Objective of a finished trial.

    Raises:
        InputError: A limit that is NaN or infinite.
    """

    seconds: float | None = None
    trial_hours: float | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        # No limit is None: of other numbers than finite ones a ledger could not be read again.
        for name, value in asdict(self).items():
            if value is not None and not math.isfinite(value):
                raise InputError(
                    f"A study's limit '{name}' must be a finite number, but it is {value}. Give one, or "
                    "leave it out for no limit."
                )

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
