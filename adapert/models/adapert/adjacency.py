"""The graph of Eq. 6: top-k edges into each gene as a row-normalised sparse matrix."""

import numpy as np
import scipy.sparse

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.schema import FloatArray
from adapert.data.trial_graph import build_trial_graph


def build_adjacency(
    shared: SharedTable, config: GraphConfig, self_loops: bool, seed: int
) -> scipy.sparse.csr_array:
    """Build A with A[v, u] = weight of the message from u to v; each row sums to 1.

    A gene without neighbours is its own only neighbour, where Eq. 6 would divide 0 by 0; so is one whose
    neighbours all have weight 0.

    Args:
        shared: The data set's networks, of which the config picks one, or none.
        config: Nodes, edges kept, their weights, noise.
        self_loops: Whether each gene is among its own neighbours.
        seed: Seed of the noise, if any.

    Returns:
        Row-stochastic matrix, (n_graph_nodes, n_graph_nodes).

    Raises:
        InputError: See `adapert.data.trial_graph.build_trial_graph`.
    """
    graph = build_trial_graph(shared, config, seed)
    n_nodes, edges = len(graph.nodes), graph.single()
    source, target, weight = edges.edge_source, edges.edge_target, edges.edge_weight
    own = np.arange(n_nodes) if self_loops else np.setdiff1d(np.arange(n_nodes), target)
    # A gene is as near to itself as any neighbour to any gene.
    own_weight = np.full(len(own), weight.max(initial=0) or 1)
    entries = np.concatenate([weight, own_weight]).astype(np.float64)
    rows, columns = np.concatenate([target, own]), np.concatenate([source, own])
    adjacency = scipy.sparse.csr_array((entries, (rows, columns)), shape=(n_nodes, n_nodes))
    return scipy.sparse.csr_array(scipy.sparse.diags_array(1 / adjacency.sum(axis=1)) @ adjacency)


def neighbourhoods(adjacency: scipy.sparse.csr_array) -> FloatArray:
    """Mark each gene's neighbours and itself, (n_nodes, n_nodes), 0 or 1."""
    marks = (adjacency + scipy.sparse.eye_array(adjacency.shape[0])) > 0
    dense: FloatArray = marks.toarray().astype(np.float32)
    return dense
