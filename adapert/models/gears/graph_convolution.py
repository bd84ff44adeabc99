"""Simplified graph convolution (Wu et al., ICML 2019): neighbours averaged by degree, then a linear map."""

from collections.abc import Callable

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from adapert.data.schema import FloatArray, IntArray


def normalised_adjacency(
    source: IntArray, target: IntArray, weight: FloatArray, n_nodes: int
) -> scipy.sparse.csr_array:
    """Build D^-1/2 (A + I) D^-1/2, A the weights into each node, D the sums of the rows of A + I.

    Args:
        source: Node each edge comes from, (n_edges,).
        target: Node it goes into, (n_edges,); never the same.
        weight: From 0 up, (n_edges,).
        n_nodes: Number of nodes.

    Returns:
        (n_nodes, n_nodes).
    """
    loops = np.arange(n_nodes)
    row, column = np.concatenate([target, loops]), np.concatenate([source, loops])
    value = np.concatenate([weight, np.ones(n_nodes)])
    scale = np.bincount(row, value, n_nodes) ** -0.5
    normalised = value * scale[row] * scale[column]
    return scipy.sparse.csr_array((normalised, (row, column)), shape=(n_nodes, n_nodes))


class GraphConvolutions(nn.Module):
    """Layers of A_norm h W^T + b, with a ReLU between; without any, h."""

    def __init__(self, n_layers: int, size: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(size, size) for _ in range(n_layers))

    def forward(self, h: Tensor, propagate: Callable[[Tensor], Tensor]) -> Tensor:
        """Map the rows of all nodes, (n_nodes, size), to as many.

        Args:
            h: A row a node.
            propagate: Multiplies with the normalised adjacency.
        """
        for number, layer in enumerate(self.layers):
            h = layer(propagate(h if number == 0 else torch.relu(h)))
        return h
