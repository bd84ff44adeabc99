"""The reference that copies the responses of the most similar training perturbations."""

from collections.abc import Sequence
from itertools import product
from typing import get_args

import numpy as np
from scipy.spatial.distance import cdist

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.reference.choice import best_on_validation
from adapert.models.reference.embedding import Features, PerturbationEmbedding

N_NEIGHBOURS = (1, 3, 5, 10, 20, 50)

FEATURES: tuple[Features, ...] = get_args(Features)


class NeighbourModel:
    """Predict the mean delta of the k training perturbations nearest in embedding space.

    Nearness is Euclidean distance between embeddings summed over a perturbation's genes; of equally near
    ones the earlier counts. A perturbation without any embedding has no neighbour and gets the training
    mean.

    Attributes:
        features: The embedding (text, network or both) of best validation Pearson-delta.
        n_neighbours: k, chosen with it of `N_NEIGHBOURS` below the number of training perturbations (all of
            them would be the training mean).
    """

    is_seeded = False

    def __init__(self, embeddings: str = "") -> None:
        self._sources = embeddings

    def fit(self, dataset: PreparedDataset) -> None:
        """Keep the training perturbations, and choose embedding and k on validation."""
        validation = dataset.splits["validation"].table
        self._keep_neighbours(dataset)
        wanted = list(validation.perturbations)
        counts = [k for k in N_NEIGHBOURS if k < len(self._delta)] or [1]
        self.features, self.n_neighbours = best_on_validation(
            product(FEATURES, counts), lambda setting: self._average(wanted, *setting), validation.delta
        )

    def refit(self, dataset: PreparedDataset) -> None:
        """Keep more neighbours, with the embedding and the k that `fit` chose."""
        self._keep_neighbours(dataset)

    def chosen(self) -> dict[str, float | str]:
        """The embedding and the number of neighbours."""
        return {"features": self.features, "n_neighbours": self.n_neighbours}

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
        return self._average(perturbations, self.features, self.n_neighbours)

    def _keep_neighbours(self, dataset: PreparedDataset) -> None:
        train = dataset.splits["train"].table
        self._delta = train.delta
        self._embeddings = {
            features: PerturbationEmbedding(dataset, features, self._sources) for features in FEATURES
        }
        seen = list(train.perturbations)
        self._train = {features: embed(seen) for features, embed in self._embeddings.items()}

    def _average(self, perturbations: Sequence[str], features: Features, n_neighbours: int) -> FloatArray:
        embedded = self._embeddings[features](perturbations)
        weights = neighbour_weights(embedded, self._train[features], n_neighbours)
        return weights @ self._delta


def neighbour_weights(embedded: FloatArray, train: FloatArray, n_neighbours: int) -> FloatArray:
    """Weigh training perturbations: 1/k for the k nearest, equally where an embedding is zero.

    Args:
        embedded: (n_perturbations, size).
        train: (n_train, size).
        n_neighbours: k, at most n_train.

    Returns:
        Rows that sum to 1, (n_perturbations, n_train).
    """
    nearest = np.argsort(cdist(embedded, train), axis=1, kind="stable")[:, :n_neighbours]
    weights: FloatArray = np.zeros((len(embedded), len(train)))
    # A product with weights averages all perturbations at once.
    np.put_along_axis(weights, nearest, 1 / n_neighbours, axis=1)
    weights[~embedded.any(axis=1)] = 1 / len(train)
    return weights
