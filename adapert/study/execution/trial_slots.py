"""The trials of one process: an epoch of each in turn, in steps that trials of one shape share."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from adapert.data.shipping import ShippedFolder
from adapert.records import FAILURE, MESSAGE, EndReason
from adapert.study.execution.memory import NoMemoryError
from adapert.study.execution.trainer import TrialSettings, TrialTrainer
from adapert.training.side_by_side import SideBySide


class TrialSlots:
    """Places for trials that are trained at once in this process, whoever hands them out."""

    def __init__(self, n_slots: int, shipped: ShippedFolder | None = None) -> None:
        """Make empty slots.

        Args:
            n_slots: Trials at once at most.
            shipped: The prepared data set, for nodes that do not see its path.
        """
        self._free = [TrialTrainer(shipped) for _ in range(n_slots)]
        self._taken: dict[str, TrialTrainer] = {}
        self._together = SideBySide()

    @property
    def n_free(self) -> int:
        """Slots without a trial."""
        return len(self._free)

    @property
    def n_taken(self) -> int:
        """Trials in training."""
        return len(self._taken)

    def take(self, settings: TrialSettings) -> None:
        """Take a trial, for which there must be a free slot."""
        trainer = self._taken[settings.trial_id] = self._free.pop()
        trainer.take(settings)

    def leave(self, trial_id: str) -> None:
        """Free the slot of a trial that has ended."""
        trainer = self._taken.pop(trial_id)
        trainer.leave()
        self._free.append(trainer)

    def train_epoch(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Train an epoch of each trial; of each its id and report, as soon as it has one.

        Trials that end may be left in between. A report whose `FAILURE` is a lost worker says that others
        use the memory which the trial was promised: it can be handed out again.
        """
        self._share_epoch()
        for trial_id, trainer in list(self._taken.items()):
            try:
                report = trainer.step()
            except NoMemoryError as error:
                report = {FAILURE: str(EndReason.WORKER), MESSAGE: str(error)}
            yield trial_id, report

    def _share_epoch(self) -> None:
        """Let the trials that can share their next epoch."""
        ready = []
        for trainer in self._taken.values() if len(self._taken) > 1 else ():
            with suppress(Exception):  # which its step will report
                ready.append(trainer.get_ready())
        self._together.share(ready)
