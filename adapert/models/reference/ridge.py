"""The reference that regresses deltas on gene embeddings: kernel ridge, its penalty chosen on validation."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse

from adapert.data.prepared import PreparedDataset, SharedTable
from adapert.data.schema import FloatArray
from adapert.evaluation.metrics import mean_over_perturbations, pearson_delta

PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SPECTRAL_SIZE = 64
TOP_K = 20


class RidgeModel:
    """Kernel ridge from a perturbation's embedding (summed over its genes) to its delta.

    The kernel is the dot product of L2-normalised embeddings; deltas are centred on the training mean.
    """

    def __init__(self, features: Literal["text", "network", "both"]) -> None:
        self._features = features

    def fit(self, dataset: PreparedDataset) -> None:
        """Fit on training perturbations, with the penalty of best validation Pearson-delta."""
        self._dataset = dataset
        self._table = embedding_table(dataset.shared, self._features)
        train, validation = dataset.splits["train"].table, dataset.splits["validation"].table
        self._mean = np.asarray(train.delta).mean(axis=0)
        self._train = self._embed(list(train.perturbations))
        centred = train.delta - self._mean
        scores = []
        for penalty in PENALTIES:
            self._solve(centred, penalty)
            predicted = self.predict(list(validation.perturbations))
            scores.append(mean_over_perturbations(pearson_delta(predicted, validation.delta)))
        self.penalty = PENALTIES[int(np.nanargmax(scores))]
        self._solve(centred, self.penalty)

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
        predicted: FloatArray = self._embed(perturbations) @ self._train.T @ self._weights + self._mean
        return predicted

    def _solve(self, centred: FloatArray, penalty: float) -> None:
        kernel = self._train @ self._train.T
        self._weights = np.linalg.solve(kernel + penalty * np.eye(len(kernel)), centred)

    def _embed(self, perturbations: Sequence[str]) -> FloatArray:
        return np.stack(
            [self._table[self._dataset.perturbed_nodes(name)].sum(axis=0) for name in perturbations]
        )


def embedding_table(shared: SharedTable, features: str) -> FloatArray:
    """Embed every graph node by text, by the network's spectrum, or by both side by side.

    Args:
        shared: The data set's network and text.
        features: ``"text"``, ``"network"`` or ``"both"``.

    Returns:
        (n_nodes, size); each part's rows are L2-normalised, or zero where a gene has none.
    """
    parts: list[FloatArray] = []
    if features in ("text", "both"):
        parts.append(np.asarray(shared.text_embedding, dtype=np.float64))
    if features in ("network", "both"):
        parts.append(spectral_embedding(shared))
    return np.concatenate(parts, axis=1)


def spectral_embedding(shared: SharedTable, size: int = SPECTRAL_SIZE) -> FloatArray:
    """Embed nodes by the leading eigenvectors of the symmetrically normalised adjacency.

    Args:
        shared: The data set's network; its `TOP_K` best edges into each gene are used, both ways.
        size: Eigenvectors kept.

    Returns:
        L2-normalised rows, zeros for isolated genes, (n_nodes, min(size, n_nodes - 2)).
    """
    n_nodes = len(shared.node_names)
    kept = np.asarray(shared.edge_rank) < TOP_K
    source, target = np.asarray(shared.edge_source)[kept], np.asarray(shared.edge_target)[kept]
    directed = scipy.sparse.csr_array((np.ones(len(source)), (target, source)), shape=(n_nodes, n_nodes))
    adjacency = directed.maximum(directed.T)
    degree = adjacency.sum(axis=1)
    scale = scipy.sparse.diags_array(1 / np.sqrt(np.maximum(degree, 1)))
    values, vectors = scipy.sparse.linalg.eigsh(
        scale @ adjacency @ scale, k=min(size, n_nodes - 2), which="LA", v0=np.ones(n_nodes)
    )
    embedding = vectors * np.sqrt(np.maximum(values, 0))
    norms = np.linalg.norm(embedding, axis=1, keepdims=True)
    embedding = np.divide(embedding, norms, out=np.zeros_like(embedding), where=norms > 1e-9)
    embedding[degree == 0] = 0
    result: FloatArray = embedding
    return result
