"""Epochs of several fits at once, in as few steps as the shapes of their networks allow."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial

from adapert.models.protocol import Fit
from adapert.training.fit import NetworkFit
from adapert.training.loop import TrainedEpoch
from adapert.training.slots import Slots, shape_of
from adapert.training.state import Training


class SideBySide:
    """Lets fits that are stepped in turn share each epoch's training."""

    def __init__(self) -> None:
        self._slots: dict[Hashable, Slots] = {}

    def share(self, fits: Iterable[Fit]) -> None:
        """Say which fits are stepped next, each once; none may be left out of the step after that.

        A fit whose `step` is not called after all has been trained further than it reported: it can only be
        begun again, from its checkpoint.
        """
        alike: dict[Hashable, list[NetworkFit]] = defaultdict(list)
        for fit in fits:
            if isinstance(fit, NetworkFit):
                alike[shape_of(fit.training)].append(fit)
        alike.pop(None, None)
        shared = {
            shape: tuple(fit.training for fit in group) for shape, group in alike.items() if len(group) > 1
        }
        # Before others are built: memory may not hold both.
        self._slots = {
            shape: slots for shape, slots in self._slots.items() if slots.trainings == shared.get(shape)
        }
        for shape, trainings in shared.items():
            epoch = _SharedEpoch(trainings, partial(self._slots_of, shape, trainings))
            for fit in alike[shape]:
                fit.run_epoch = epoch.take

    def _slots_of(self, shape: Hashable, trainings: Sequence[Training]) -> Slots:
        if shape not in self._slots:
            self._slots[shape] = Slots(trainings)
        return self._slots[shape]


class _SharedEpoch:
    """An epoch of slots, which the first of them to ask trains."""

    def __init__(self, trainings: Sequence[Training], build_slots: Callable[[], Slots]) -> None:
        self._trainings, self._build_slots = trainings, build_slots
        self._trained: dict[int, TrainedEpoch | Exception] | None = None

    def take(self, training: Training) -> TrainedEpoch:
        """Return a trial's part, once.

        Raises:
            Exception: Its loss became NaN or infinite, or the slots could not be made or a step failed, for
                all of them alike.
        """
        if self._trained is None:
            self._trained = self._train()
        trained = self._trained.pop(id(training))
        if isinstance(trained, Exception):
            raise trained
        return trained

    def _train(self) -> dict[int, TrainedEpoch | Exception]:
        try:
            trained: Sequence[TrainedEpoch | Exception] = self._build_slots().train_epoch()
        except Exception as error:
            # Somewhere within a step: no slot is where it was, and none may go on from there.
            trained = [error] * len(self._trainings)
        return {id(training): each for training, each in zip(self._trainings, trained, strict=True)}
