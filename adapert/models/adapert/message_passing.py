"""Structural embeddings by mean aggregation over the graph (Eq. 5 and 6 of the AdaPert paper)."""

import warnings
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

ACTIVATIONS = {"none": nn.Identity(), "relu": nn.ReLU(), "gelu": nn.GELU(), "tanh": nn.Tanh()}


class _SparseProduct(torch.autograd.Function):
    """A @ h for a constant A, with A's transpose at hand for the gradient."""

    @staticmethod
    def forward(ctx: Any, adjacency: Tensor, transposed: Tensor, h: Tensor) -> Tensor:
        ctx.transposed = transposed
        return adjacency @ h

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, Tensor]:
        return None, None, ctx.transposed @ gradients[0]


class MessagePassing(nn.Module):
    """Apply L rounds of h_v <- sum over neighbours u of A[v, u] W h_u (Eq. 6)."""

    def __init__(
        self,
        adjacency: scipy.sparse.csr_array,
        size: int,
        n_layers: int,
        activation: str = "none",
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.weights = nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(n_layers))
        for weight in self.weights:
            # Averaging shrinks h already; an orthogonal W does not shrink it further. Not in the paper.
            nn.init.orthogonal_(weight.weight)  # type: ignore[arg-type]
        self.activation = ACTIVATIONS[activation]
        self.residual = residual
        self.register_buffer("adjacency", _csr_tensor(adjacency), persistent=False)
        self.register_buffer("transposed", _csr_tensor(adjacency.T), persistent=False)

    def forward(self, h: Tensor) -> Tensor:
        """Embed all nodes.

        Args:
            h: Node features h(0), (n_nodes, size).

        Returns:
            h(L), (n_nodes, size).
        """
        for layer, weight in enumerate(self.weights):
            message = self._aggregate(weight(h))
            if layer < len(self.weights) - 1:
                message = self.activation(message)
            h = h + message if self.residual else message
        return h

    def _aggregate(self, h: Tensor) -> Tensor:
        with torch.autocast(h.device.type, enabled=False):  # Sparse products are float32 only.
            return _SparseProduct.apply(self.adjacency, self.transposed, h.float())  # type: ignore[no-any-return, no-untyped-call]


def _csr_tensor(matrix: scipy.sparse.sparray) -> Tensor:
    csr = scipy.sparse.csr_array(matrix)
    csr.sum_duplicates()  # also sorts the columns of each row, which torch relies on
    with warnings.catch_warnings():
        # torch calls its CSR support beta once a process; what is used of it here is tested.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(csr.indptr.astype(np.int64)),
            torch.from_numpy(csr.indices.astype(np.int64)),
            torch.from_numpy(csr.data.astype(np.float32)),
            size=csr.shape,
            check_invariants=True,
        )
