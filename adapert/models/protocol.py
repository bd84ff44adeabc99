"""What every model offers, so that studies, tables and figures take any of them by name."""

from collections.abc import Sequence
from typing import Protocol

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray


class PerturbationModel(Protocol):
    """A model of the transcriptional response to a perturbation."""

    def fit(self, dataset: PreparedDataset) -> None:
        """Learn from the training split; the validation split may choose, the test split is never read."""

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
