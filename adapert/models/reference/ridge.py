"""The reference that regresses deltas on gene embeddings: kernel ridge, its penalty chosen on validation."""

from collections.abc import Callable, Sequence

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.reference.choice import best_on_validation
from adapert.models.reference.embedding import Features, PerturbationEmbedding

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class RidgeModel:
    """Kernel ridge from a perturbation's embedding (summed over its genes) to its delta.

    The kernel is the dot product of embeddings; deltas are centred on the training mean:

        delta(p) = mean + e_p E^T (E E^T + penalty I)^-1 (Delta - mean)

    with E the training perturbations' embeddings, (n_train, size), and Delta their deltas.

    Attributes:
        penalty: One of `PENALTIES`, that of best validation Pearson-delta.
    """

    is_seeded = False

    def __init__(self, features: Features, embeddings: str = "") -> None:
        self._features = features
        self._embeddings = embeddings

    def fit(self, dataset: PreparedDataset) -> None:
        """Fit on training perturbations with each penalty, and keep the best on validation."""
        validation = dataset.splits["validation"].table
        solve = self._learn(dataset)
        wanted = self._embed(list(validation.perturbations))

        def predict(penalty: float) -> FloatArray:
            predicted: FloatArray = wanted @ solve(penalty) + self._mean
            return predicted

        self.penalty = best_on_validation(PENALTIES, predict, validation.delta)
        self._coefficients = solve(self.penalty)

    def refit(self, dataset: PreparedDataset) -> None:
        """Fit with the penalty that `fit` chose."""
        self._coefficients = self._learn(dataset)(self.penalty)

    def chosen(self) -> dict[str, float | str]:
        """The penalty."""
        return {"penalty": self.penalty}

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
        predicted: FloatArray = self._embed(perturbations) @ self._coefficients + self._mean
        return predicted

    def _learn(self, dataset: PreparedDataset) -> Callable[[float], FloatArray]:
        """Keep embedding and training mean; return what solves for the coefficients of a penalty."""
        train = dataset.splits["train"].table
        self._embed = PerturbationEmbedding(dataset, self._features, self._embeddings)
        self._mean = np.asarray(train.delta).mean(axis=0)
        embedded, centred = self._embed(list(train.perturbations)), train.delta - self._mean

        def solve(penalty: float) -> FloatArray:
            kernel = embedded @ embedded.T + penalty * np.eye(len(embedded))
            return embedded.T @ np.linalg.solve(kernel, centred)

        return solve
