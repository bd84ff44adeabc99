"""A graph's edges in the orders that attention needs, sorted once per trial."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from adapert.data.schema import IntArray
from adapert.errors import InputError


class EdgeOrder(NamedTuple):
    """Edges in the order of their nodes at one end.

    Attributes:
        starts: Position of each node's first edge, (n_nodes + 1,).
        other: Node at the other end of each edge, (n_edges,).
        edge: Number of each edge in the order of targets, (n_edges,).
    """

    starts: IntArray
    other: IntArray
    edge: IntArray


class AttentionGraph(nn.Module):
    """Edges that attention runs over; it has no parameters, and moves between devices with its model.

    Attributes:
        n_nodes: Number of nodes; some may have no edges.
        edge_index: Sources and targets in the order of targets, (2, n_edges).
        into_targets: The edges by target.
        out_of_sources: The edges by source.
    """

    def __init__(
        self, edge_source: IntArray, edge_target: IntArray, n_nodes: int, self_loops: bool = False
    ) -> None:
        """Sort the edges.

        Args:
            edge_source: Node that each edge comes from, (n_edges,).
            edge_target: Node that each edge goes into, as `edge_source`.
            n_nodes: Number of nodes.
            self_loops: Whether each node attends to itself, once; otherwise the edges are kept as they are.

        Raises:
            InputError: An edge joins what is no node.
        """
        super().__init__()
        source, target = np.asarray(edge_source, np.int64), np.asarray(edge_target, np.int64)
        _check_nodes(np.concatenate([source, target]), n_nodes)
        if self_loops:
            is_loop, own = source == target, np.arange(n_nodes)
            source, target = (np.concatenate([ends[~is_loop], own]) for ends in (source, target))
        order = np.argsort(target, kind="stable")
        source, target = source[order], target[order]
        self.n_nodes = n_nodes
        self.edge_index: Tensor
        self.register_buffer("edge_index", torch.from_numpy(np.stack([source, target])), persistent=False)
        self.into_targets = sort_edges(target, source, n_nodes)
        self.out_of_sources = sort_edges(source, target, n_nodes)


def sort_edges(node: IntArray, other: IntArray, n_nodes: int) -> EdgeOrder:
    """Order edges, (n_edges,), by the nodes at one of their ends."""
    edge = np.argsort(node, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(node, minlength=n_nodes))])
    return EdgeOrder(starts, other[edge].astype(np.int32), edge.astype(np.int32))


def _check_nodes(nodes: IntArray, n_nodes: int) -> None:
    is_bad = (nodes < 0) | (nodes >= n_nodes)
    if is_bad.any():
        raise InputError(
            f"Edges must join nodes from 0 up to {n_nodes - 1}, but one joins node {nodes[is_bad][0]}. "
            "Number the nodes from 0."
        )
