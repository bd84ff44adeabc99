"""Embeddings of perturbations by text, by the network, or both: what reference models know of a gene."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse

from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray

Features: TypeAlias = Literal["text", "network", "both"]

SPECTRAL_SIZE = 64
TOP_K = 20


class PerturbationEmbedding:
    """Embed perturbations: the sum of their genes' rows of `embedding_table`."""

    def __init__(self, dataset: PreparedDataset, features: Features) -> None:
        self._dataset = dataset
        self._table = embedding_table(dataset.shared, features)

    def __call__(self, perturbations: Sequence[str]) -> FloatArray:
        """Embed, (n_perturbations, size); zeros for a perturbation that the features know nothing of.

        Raises:
            InputError: A gene that is not a node of the data set.
        """
        return np.stack(
            [self._table[self._dataset.perturbed_nodes(str(name))].sum(axis=0) for name in perturbations]
        )


def embedding_table(shared: SharedTable, features: Features) -> FloatArray:
    """Embed every graph node by text, by the network's spectrum, or by both side by side.

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
        L2-normalised rows, zeros for isolated genes, (n_nodes, min(size, n_nodes)).
    """
    adjacency = _symmetric_adjacency(shared)
    degree = adjacency.sum(axis=1)
    scale = scipy.sparse.diags_array(1 / np.sqrt(np.maximum(degree, 1)))
    values, vectors = _leading_eigenvectors(scale @ adjacency @ scale, size)
    embedding = vectors * np.sqrt(np.maximum(values, 0))
    norms = np.linalg.norm(embedding, axis=1, keepdims=True)
    embedding = np.divide(embedding, norms, out=np.zeros_like(embedding), where=norms > 1e-9)
    embedding[degree == 0] = 0
    result: FloatArray = embedding
    return result


def _symmetric_adjacency(shared: SharedTable) -> scipy.sparse.csr_array:
    n_nodes = len(shared.node_names)
    kept = np.asarray(shared.edge_rank) < TOP_K
    source, target = np.asarray(shared.edge_source)[kept], np.asarray(shared.edge_target)[kept]
    directed = scipy.sparse.csr_array((np.ones(len(source)), (target, source)), shape=(n_nodes, n_nodes))
    return directed.maximum(directed.T)


def _leading_eigenvectors(matrix: scipy.sparse.sparray, size: int) -> tuple[FloatArray, FloatArray]:
    n_nodes = matrix.shape[0]
    if not matrix.nnz or n_nodes < size + 2:  # ARPACK takes neither
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[-size:], vectors[:, -size:]
    # A fixed start vector: ARPACK's own is random.
    return scipy.sparse.linalg.eigsh(matrix, k=size, which="LA", v0=np.ones(n_nodes))  # type: ignore[no-any-return]
