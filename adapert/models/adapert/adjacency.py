"""The graph of Eq. 6: top-k edges into each gene as a row-normalised sparse matrix."""

import numpy as np
import scipy.sparse

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.schema import FloatArray, IntArray
from adapert.seeding import numpy_generator


def build_adjacency(
    shared: SharedTable, config: GraphConfig, self_loops: bool, seed: int
) -> scipy.sparse.csr_array:
    """Build A with A[v, u] = weight of the message from u to v; each row sums to 1.

    A gene without neighbours is its own only neighbour, where Eq. 6 would divide 0 by 0; so is one whose
    neighbours all have weight 0.

    Args:
        shared: The data set's network.
        config: Edges kept, their weights, rewiring.
        self_loops: Whether each gene is among its own neighbours.
        seed: Seed of the rewiring, if any.

    Returns:
        Row-stochastic matrix, (n_nodes, n_nodes).
    """
    n_nodes = len(shared.node_names)
    source, target, weight = select_edges(shared, config)
    if config.edges == "rewired":
        source = rewire_sources(source, target, numpy_generator(seed, "rewiring"))
    own = np.arange(n_nodes) if self_loops else np.setdiff1d(np.arange(n_nodes), target)
    # A gene is as near to itself as any neighbour to any gene.
    own_weight = np.full(len(own), weight.max(initial=0) or 1)
    entries = np.concatenate([weight, own_weight]).astype(np.float64)
    rows, columns = np.concatenate([target, own]), np.concatenate([source, own])
    adjacency = scipy.sparse.csr_array((entries, (rows, columns)), shape=(n_nodes, n_nodes))
    return scipy.sparse.csr_array(scipy.sparse.diags_array(1 / adjacency.sum(axis=1)) @ adjacency)


def select_edges(shared: SharedTable, config: GraphConfig) -> tuple[IntArray, IntArray, FloatArray]:
    """Select the edges that carry a message: the top k into each gene, of a weight above 0.

    Returns:
        Source, target and weight of each, (n_edges,).
    """
    is_kept = np.asarray(shared.edge_rank) < config.top_k
    if config.edge_weight == "confidence":
        is_kept &= np.asarray(shared.edge_score) > 0
    kept = np.flatnonzero(is_kept)
    weight = np.ones(len(kept)) if config.edge_weight == "uniform" else np.asarray(shared.edge_score[kept])
    return np.asarray(shared.edge_source[kept]), np.asarray(shared.edge_target[kept]), weight


def rewire_sources(
    source: IntArray, target: IntArray, generator: np.random.Generator, n_rounds: int = 200
) -> IntArray:
    """Permute edge sources: every gene keeps its number of edges in and out.

    Args:
        source: Node each edge comes from, (n_edges,).
        target: Node each edge goes into, (n_edges,).
        generator: Draws the permutation.
        n_rounds: Attempts to undo self-loops and repeated edges by swapping with random edges.

    Returns:
        New sources, (n_edges,). On very dense graphs a few self-loops or repeats may remain.
    """
    rewired = generator.permutation(source)
    for _ in range(n_rounds):
        # One number an edge, of which repeated edges have the same.
        _, first = np.unique(
            target.astype(np.int64) * (source.max(initial=0) + 1) + rewired, return_index=True
        )
        is_bad = np.ones(len(rewired), dtype=bool)
        is_bad[first] = False
        is_bad |= rewired == target
        if not is_bad.any():
            break
        bad = np.flatnonzero(is_bad)
        # A swap of two sources keeps every degree.
        for edge, other in zip(bad, generator.integers(len(rewired), size=len(bad)), strict=True):
            rewired[edge], rewired[other] = rewired[other], rewired[edge]
    return rewired


def neighbourhoods(adjacency: scipy.sparse.csr_array) -> FloatArray:
    """Mark each gene's neighbours and itself, (n_nodes, n_nodes), 0 or 1."""
    marks = (adjacency + scipy.sparse.eye_array(adjacency.shape[0])) > 0
    dense: FloatArray = marks.toarray().astype(np.float32)
    return dense
