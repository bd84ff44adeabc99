"""The reference that predicts no change."""

from collections.abc import Sequence

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.reference.choice import ModelWithoutSettings


class ControlModel(ModelWithoutSettings):
    """Predict the control profile: every delta is 0."""

    def fit(self, dataset: PreparedDataset) -> None:
        """Learn the number of genes."""
        self._n_genes = dataset.n_genes

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict zeros, (n_perturbations, n_genes)."""
        return np.zeros((len(perturbations), self._n_genes), dtype=np.float32)
