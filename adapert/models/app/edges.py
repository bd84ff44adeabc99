"""The network of Eq. 1 as edges into each gene."""

from typing import NamedTuple

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.schema import FloatArray, IntArray
from adapert.data.trial_graph import build_trial_graph


class Neighbours(NamedTuple):
    """Who sends a message to whom.

    Attributes:
        source: Node each message comes from, (n_edges,).
        target: Node it goes to, (n_edges,).
        weight: What it counts, at most 1, (n_edges,).
        n_nodes: Nodes of the graph; some may have no neighbour.
    """

    source: IntArray
    target: IntArray
    weight: FloatArray
    n_nodes: int


def build_neighbours(shared: SharedTable, config: GraphConfig, seed: int) -> Neighbours:
    """Build a trial's graph; its seed draws the noise, if any.

    Raises:
        InputError: See `adapert.data.trial_graph.build_trial_graph`.
    """
    graph = build_trial_graph(shared, config, seed)
    edges = graph.single()
    weight = edges.edge_weight / (edges.edge_weight.max(initial=0) or 1)
    return Neighbours(edges.edge_source, edges.edge_target, weight, len(graph.nodes))
