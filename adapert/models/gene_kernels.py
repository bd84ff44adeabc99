"""Genes as points on the unit sphere, by text or by place in the network, and how far apart they are."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse
import scipy.sparse.linalg

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, IntArray
from adapert.data.trial_graph import TrialGraph, build_trial_graph

NetworkKernel: TypeAlias = Literal["spectral", "heat", "laplacian"]

N_KEPT = 2
"""Matrices whose eigenvectors are kept in memory: of 2,400 genes and 256 eigenvectors 5 MB each."""


def network_coordinates(
    shared: SharedTable,
    config: GraphConfig,
    kernel: NetworkKernel,
    size: int,
    time: float = 1.0,
    seed: int = 0,
) -> FloatArray:
    """Place genes by the leading eigenvectors u of the symmetrically normalised adjacency, of eigenvalues v.

    The dot product of two genes is, up to their norms, a graph kernel: the sum of f(v) u u^T with f(v) of
    max(v, 0) (spectral), exp(-time (1 - v)) (heat: diffusion for that time), or 1 / (1 + time (1 - v)) (the
    regularised Laplacian).

    Args:
        shared: The data set's networks.
        config: Which of them, or none; its edges, taken both ways, and their weights.
        kernel: Which f.
        size: Eigenvectors, at most one for each gene.
        time: Of ``heat`` and ``laplacian``.
        seed: Seed of rewiring and noise, if any.

    Returns:
        Unit rows, zeros for genes that have no edge or are not in the graph, (n_nodes, n_found).
    """
    graph = build_trial_graph(shared, config, seed)
    adjacency = _symmetric_adjacency(graph)
    if not adjacency.nnz:
        return np.zeros((len(shared.node_names), 1))
    degree = np.asarray(adjacency.sum(axis=1))
    scale = scipy.sparse.diags_array(1 / np.sqrt(np.where(degree > 0, degree, 1)))
    values, vectors = leading_eigenvectors(scale @ adjacency @ scale, size)
    if kernel == "spectral":
        weights = np.maximum(values, 0)
    elif kernel == "heat":
        weights = np.exp(-time * (1 - values))
    else:
        weights = 1 / (1 + time * (1 - values))
    rows = np.zeros((len(shared.node_names), len(weights)))
    rows[graph.nodes] = unit_rows(vectors * np.sqrt(weights) * (degree > 0)[:, None])
    return rows


def leading_eigenvectors(matrix: scipy.sparse.sparray, size: int) -> tuple[FloatArray, FloatArray]:
    """Find the eigenvectors of largest eigenvalues of a symmetric matrix; the last ones found are kept.

    Trials that a process trains one after the other mostly have one network, whose eigenvectors take as long
    as some epochs.

    Args:
        matrix: (n, n).
        size: Eigenvectors wanted; all of them where there are no more.

    Returns:
        Eigenvalues and, as columns, eigenvectors, (n_found,) and (n, n_found); read-only.
    """
    rows = scipy.sparse.csr_array(matrix)
    rows.sum_duplicates()
    parts = (rows.data.astype(np.float64), rows.indices.astype(np.int64), rows.indptr.astype(np.int64))
    return _find_eigenvectors(*(part.tobytes() for part in parts), size)


@lru_cache(maxsize=N_KEPT)
def _find_eigenvectors(
    data: bytes, indices: bytes, indptr: bytes, size: int
) -> tuple[FloatArray, FloatArray]:
    """Take a matrix's numbers as bytes, which can be compared with those of the last one."""
    columns, starts = np.frombuffer(indices, np.int64), np.frombuffer(indptr, np.int64)
    n_nodes = len(starts) - 1
    matrix = scipy.sparse.csr_array(
        (np.frombuffer(data, np.float64), columns, starts), shape=(n_nodes, n_nodes)
    )
    if not matrix.nnz or n_nodes < size + 2:  # ARPACK takes neither
        values, vectors = np.linalg.eigh(matrix.toarray())
        values, vectors = values[-size:], vectors[:, -size:]
    else:
        # ARPACK's own start vector is random, and so are those that it adds where one does not lead to
        # enough others, as in a network of pairs and triangles.
        start = np.ones(n_nodes)
        values, vectors = scipy.sparse.linalg.eigsh(matrix, k=size, which="LA", v0=start, rng=0)
    for each in (values, vectors):
        each.flags.writeable = False
    return values, vectors


def _symmetric_adjacency(graph: TrialGraph) -> scipy.sparse.csr_array:
    n_nodes, edges = len(graph.nodes), graph.single()
    entries = (edges.edge_weight, (edges.edge_target, edges.edge_source))
    directed = scipy.sparse.csr_array(entries, shape=(n_nodes, n_nodes))
    return directed.maximum(directed.T)


def unit_rows(rows: FloatArray) -> FloatArray:
    """Scale rows to length 1; a row of zeros keeps them."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: FloatArray = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 1e-9)
    return unit


def half_squared_distances(rows: FloatArray, others: FloatArray) -> FloatArray:
    """Half the squared distance of each row to each other: 1 - cosine of unit rows.

    A gene that a source does not know has zeros: 1/2 from every known gene, 0 from every other unknown one.

    Returns:
        (n_rows, n_others).
    """
    squares = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    distances: FloatArray = np.maximum(squares / 2 - rows @ others.T, 0)
    return distances


class Members:
    """The genes of perturbations, and which perturbation has which: kernels of genes are added up over them.

    Attributes:
        nodes: Graph nodes that are perturbed, each once, (n_genes,).
        has: 1 where a perturbation has a gene, (n_perturbations, n_genes).

    Raises:
        InputError: A gene that is not a node of the data set.
    """

    def __init__(self, dataset: PreparedDataset, perturbations: Sequence[str]) -> None:
        of_each = [dataset.perturbed_nodes(str(name)) for name in perturbations]
        self.nodes: IntArray = np.unique(np.concatenate([np.asarray(nodes) for nodes in of_each]))
        self.has = np.zeros((len(of_each), len(self.nodes)))
        for row, nodes in enumerate(of_each):
            np.add.at(self.has[row], np.searchsorted(self.nodes, nodes), 1)
