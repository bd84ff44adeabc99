"""AGGREGATE of Eq. 1: the neighbours of each gene in one vector; 0 for a gene that has none."""

from collections.abc import Callable

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from adapert.data.schema import FloatArray, IntArray
from adapert.models.app.edges import Neighbours
from adapert.models.sparse_product import SparseProduct


def build_sum(neighbours: Neighbours) -> SparseProduct:
    """a_i = sum over neighbours j of w_ij h_j."""
    entries = (neighbours.weight, (neighbours.target, neighbours.source))
    n_nodes = neighbours.n_nodes
    return SparseProduct(scipy.sparse.csr_array(entries, shape=(n_nodes, n_nodes)))


def build_mean(neighbours: Neighbours) -> SparseProduct:
    """a_i = sum over neighbours j of w_ij h_j / sum over j of w_ij."""
    total = np.bincount(neighbours.target, neighbours.weight, neighbours.n_nodes)
    return build_sum(neighbours._replace(weight=neighbours.weight / total[neighbours.target]))


class MaxAggregation(nn.Module):
    """a_i = max over neighbours j of w_ij h_j, unit by unit."""

    def __init__(self, neighbours: Neighbours) -> None:
        """Lay the neighbours out in a row for each gene."""
        super().__init__()
        source, weight = _pad(neighbours)
        self.source: Tensor
        self.weight: Tensor
        self.register_buffer("source", torch.from_numpy(source), persistent=False)
        self.register_buffer("weight", torch.from_numpy(weight), persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        """Aggregate, (n_nodes, size)."""
        # The gradient of the winners alone: that of all messages takes several times as long.
        with torch.no_grad():
            winner = (self.weight.unsqueeze(-1) * h[self.source]).max(dim=1).indices  # (n_nodes, size)
        return self.weight.gather(1, winner) * h.gather(0, self.source.gather(1, winner))


def _pad(neighbours: Neighbours) -> tuple[IntArray, FloatArray]:
    """Lay out sources and weights, (n_nodes, most neighbours of a node).

    Rows are filled up with their first neighbour, which changes no maximum, and without any with weight 0.
    """
    order = np.argsort(neighbours.target, kind="stable")
    target = neighbours.target[order]
    degree = np.bincount(target, minlength=neighbours.n_nodes)
    place = np.arange(len(order)) - (np.cumsum(degree) - degree)[target]
    width = max(int(degree.max(initial=0)), 1)
    source = np.zeros((neighbours.n_nodes, width), dtype=np.int64)
    weight = np.zeros(source.shape, dtype=np.float32)
    source[target, place] = neighbours.source[order]
    weight[target, place] = neighbours.weight[order]
    is_filled = np.arange(width) < degree[:, None]
    return np.where(is_filled, source, source[:, :1]), np.where(is_filled, weight, weight[:, :1])


AGGREGATIONS: dict[str, Callable[[Neighbours], nn.Module]] = {
    "mean": build_mean,
    "sum": build_sum,
    "max": MaxAggregation,
}
