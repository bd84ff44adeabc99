"""What every model offers, so that studies, `evaluate`, tables and figures take any of them by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray


class PerturbationModel(Protocol):
    """A model of the transcriptional response to a perturbation.

    Attributes:
        is_seeded: Whether another seed gives another fit.
    """

    is_seeded: bool

    def chosen(self) -> dict[str, float | str]:
        """What `fit` chose by validation, name to value: penalty, neighbours, epochs; and `refit` keeps."""

    def fit(self, dataset: PreparedDataset) -> None:
        """Learn from the training split; the validation split may choose, the test split is never read."""

    def refit(self, dataset: PreparedDataset) -> None:
        """Learn from scratch from more perturbations, with what `fit` chose.

        Args:
            dataset: Its one split is the training split, which has the validation perturbations too:
                nothing is left to choose by.

        Raises:
            DivergedError: The loss became NaN or infinite.
        """

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""


class Fit(Protocol):
    """A fit in progress: whoever runs it may report, checkpoint or stop after each epoch."""

    @property
    def is_over(self) -> bool:
        """Whether the fit's own rules end it here."""

    def step(self) -> dict[str, float]:
        """Train one epoch.

        Returns:
            Its report: ``epoch``, ``seconds``, ``best_epoch``, and the validation means of the cheap metrics,
            also those of the best epoch as ``best_...``; more where the model has more to report.

        Raises:
            DivergedError: The loss or a validation prediction became NaN or infinite.
        """

    def finish(self) -> None:
        """Let the model predict as after its best epoch."""

    def write_checkpoint(self, directory: Path) -> None:
        """Write all that the next epoch depends on."""

    def restore_checkpoint(self, directory: Path) -> None:
        """Continue from a checkpoint of the same config and seed."""

    def write_weights(self, path: Path) -> None:
        """Write what the best epoch's predictions need; nothing where fitting again is as quick."""


@runtime_checkable
class TrainedInEpochs(PerturbationModel, Protocol):
    """A model whose fit is a matter of epochs: its trials can be stopped early and resumed."""

    def begin(self, dataset: PreparedDataset) -> Fit:
        """Start a fit; when it is finished, `predict` is that of its best epoch."""
