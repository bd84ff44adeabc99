"""Random regular graphs in which every node is a few steps from every other."""

import numpy as np

from adapert.data.schema import IntArray
from adapert.errors import InputError


def random_expander(n_nodes: int, n_cycles: int, generator: np.random.Generator) -> IntArray:
    """Join random Hamiltonian cycles, each in both directions.

    The second eigenvalue of the adjacency is near 2 sqrt(2 n_cycles - 1), the least that is possible, for
    almost all draws (Friedman, 2008): messages mix in a logarithmic number of steps.

    Args:
        n_nodes: Number of nodes.
        n_cycles: Half of each node's number of edges.
        generator: Draws the orders of the nodes.

    Returns:
        Sources and targets, (2, 2 n_cycles n_nodes); two cycles may share an edge, which is then there twice.

    Raises:
        InputError: Fewer than three nodes, which form no cycle.
    """
    if n_nodes < 3:
        raise InputError(
            f"A random expander needs at least 3 nodes to form a cycle, but the graph has {n_nodes}. "
            "Use another layer, such as gat_v2."
        )
    orders = [generator.permutation(n_nodes) for _ in range(n_cycles)]
    ends = [np.stack([order, np.roll(order, -1)]) for order in orders]
    return np.concatenate([np.empty((2, 0), np.int64), *ends, *(pair[::-1] for pair in ends)], axis=1)
