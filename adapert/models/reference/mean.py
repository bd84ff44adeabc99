"""The reference that predicts the same response for every perturbation."""

from collections.abc import Sequence

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray


class MeanModel:
    """Predict the mean delta of the training perturbations."""

    def fit(self, dataset: PreparedDataset) -> None:
        """Average the training deltas, each perturbation once."""
        self._mean = np.asarray(dataset.splits["train"].table.delta).mean(axis=0)

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict the mean, log1p units, (n_perturbations, n_genes)."""
        return np.tile(self._mean, (len(perturbations), 1))
