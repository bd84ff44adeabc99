"""The trials of one process: an epoch of each in turn, in steps that trials of one shape share.

How many is a number, or found by a probe: the first trial trains an epoch alone, and what it took of the GPU
says how many find a place.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from adapert.data.shipping import ShippedFolder
from adapert.records import FAILURE, MESSAGE, EndReason
from adapert.study.execution.memory import NoMemoryError
from adapert.study.execution.resources import SlotNumber
from adapert.study.execution.trainer import TrialSettings, TrialTrainer
from adapert.training.side_by_side import SideBySide


class TrialSlots:
    """Places for trials that are trained at once in this process, whoever hands them out.

    Attributes:
        n_slots: Trials at once at most, as far as is known.
    """

    def __init__(self, slots: SlotNumber, shipped: ShippedFolder | None = None) -> None:
        """Make empty slots.

        Args:
            slots: Trials at once at most, or ``"auto"``.
            shipped: The prepared data set, for nodes that do not see its path.
        """
        self._is_probed = slots != "auto"
        self.n_slots = 1 if slots == "auto" else slots
        self._shipped = shipped
        self._idle: list[TrialTrainer] = []
        self._taken: dict[str, TrialTrainer] = {}
        self._together = SideBySide()

    @property
    def n_free(self) -> int:
        """Slots without a trial."""
        return max(0, self.n_slots - len(self._taken))

    @property
    def n_taken(self) -> int:
        """Trials in training."""
        return len(self._taken)

    def take(self, settings: TrialSettings) -> None:
        """Take a trial, for which there must be a free slot."""
        trainer = self._idle.pop() if self._idle else TrialTrainer(self._shipped)
        self._taken[settings.trial_id] = trainer
        trainer.take(settings)

    def leave(self, trial_id: str) -> None:
        """Free the slot of a trial that has ended."""
        trainer = self._taken.pop(trial_id)
        trainer.leave()
        self._idle.append(trainer)

    def train_epoch(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Train an epoch of each trial; of each its id and report, as soon as it has one.

        Trials that end may be left in between. A report whose `FAILURE` is a lost worker says that the trial
        found no memory, but may find it later: it can be handed out again.
        """
        self._share_epoch()
        trials = list(self._taken.items())
        for trial_id, trainer in trials:
            try:
                report = trainer.step()
            except NoMemoryError as error:
                report = {FAILURE: str(EndReason.WORKER), MESSAGE: str(error)}
            if report.get(FAILURE) == EndReason.MEMORY and len(trials) > 1:
                report = self._shrink(len(trials))
            elif not self._is_probed and FAILURE not in report:
                self._is_probed, self.n_slots = True, trainer.count_slots()
            yield trial_id, report

    def _shrink(self, n_trials: int) -> dict[str, str]:
        """Keep half as many slots from now on, as the memory did not hold all trials; report one of them."""
        self.n_slots = max(1, n_trials // 2)
        message = f"The memory did not hold {n_trials} trials at once; {self.n_slots} are next."
        return {FAILURE: str(EndReason.WORKER), MESSAGE: message}

    def _share_epoch(self) -> None:
        """Let the trials that can share their next epoch."""
        ready = []
        for trainer in self._taken.values() if len(self._taken) > 1 else ():
            with suppress(Exception):  # which its step will report
                ready.append(trainer.get_ready())
        self._together.share(ready)
