"""Epochs of several fits at once, in as few steps as the shapes of their networks allow."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from adapert.models.protocol import Fit
from adapert.training.fit import NetworkFit
from adapert.training.loop import DivergedError, TrainedEpoch
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
        shared = {shape: group for shape, group in alike.items() if len(group) > 1}
        self._slots = {shape: self._slots_of(shape, group) for shape, group in shared.items()}
        for shape, group in shared.items():
            epoch = _SharedEpoch(self._slots[shape])
            for fit in group:
                fit.run_epoch = epoch.take

    def _slots_of(self, shape: Hashable, fits: Sequence[NetworkFit]) -> Slots:
        trainings = tuple(fit.training for fit in fits)
        slots = self._slots.get(shape)
        return slots if slots and slots.trainings == trainings else Slots(trainings)


class _SharedEpoch:
    """An epoch of slots, which the first of them to ask trains."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._trained: dict[int, TrainedEpoch | DivergedError] = {}
        self._is_trained = False

    def take(self, training: Training) -> TrainedEpoch:
        """Return a trial's part, once.

        Raises:
            DivergedError: Its loss became NaN or infinite.
        """
        if not self._is_trained:
            of_each = zip(self._slots.trainings, self._slots.train_epoch(), strict=True)
            self._trained = {id(each): trained for each, trained in of_each}
            self._is_trained = True
        trained = self._trained.pop(id(training))
        if isinstance(trained, DivergedError):
            raise trained
        return trained
