"""Edges of several networks and of an expander as one graph that knows where each edge comes from."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from adapert.data.schema import IntArray
from adapert.models.graph_attention.graph import AttentionGraph, EdgeOrder, sort_edges


class ProvenanceGraph(AttentionGraph):
    """The union of networks, their reverses, self-loops and an expander, each pair of nodes once.

    Attributes:
        provenances: The sets of places where an edge comes from, as 0 and 1, (n_provenances, n_places). The
            places are each network, each network's reverse, self-loops, the expander.
        provenance: Which of these sets is each edge's, in the order of targets, (n_edges,).
        of_provenances: The edges by provenance; `other` is their target.
    """

    def __init__(self, graphs: Sequence[AttentionGraph], expander: IntArray) -> None:
        """Join the edges.

        Args:
            graphs: One for each network, over the same nodes; each node gets a self-loop, whether it has one
                there or not.
            expander: Sources and targets of more edges, (2, n_expander_edges).
        """
        n_nodes = graphs[0].n_nodes
        networks = [_without_loops(graph.edge_index.numpy()) for graph in graphs]
        loops = np.tile(np.arange(n_nodes), (2, 1))
        places = [*networks, *(network[::-1] for network in networks), loops, expander]
        codes = [target * n_nodes + source for source, target in places]
        edges = np.unique(np.concatenate(codes))
        source, target = edges % n_nodes, edges // n_nodes
        super().__init__(source, target, n_nodes)
        marks = np.stack([np.isin(edges, code) for code in codes], axis=1)
        provenances, provenance = np.unique(marks, axis=0, return_inverse=True)
        self.provenances: Tensor
        self.provenance: Tensor
        self.register_buffer(
            "provenances", torch.from_numpy(provenances.astype(np.float32)), persistent=False
        )
        self.register_buffer("provenance", torch.from_numpy(provenance.ravel()), persistent=False)
        self.of_provenances: EdgeOrder = sort_edges(provenance.ravel(), target, len(provenances))


def unite(graphs: Sequence[AttentionGraph]) -> AttentionGraph:
    """Join networks over the same nodes into one, with each edge once."""
    edges = np.concatenate([graph.edge_index.numpy() for graph in graphs], axis=1)
    source, target = np.unique(edges, axis=1)
    return AttentionGraph(source, target, graphs[0].n_nodes)


def _without_loops(edges: IntArray) -> IntArray:
    kept: IntArray = edges[:, edges[0] != edges[1]]
    return kept
