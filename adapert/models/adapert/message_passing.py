"""Structural embeddings by mean aggregation over the graph (Eq. 5 and 6 of the AdaPert paper)."""

import scipy.sparse
from torch import Tensor, nn

from adapert.models.activations import ACTIVATIONS
from adapert.models.sparse_product import SparseProduct


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
        self.aggregate = SparseProduct(adjacency) if n_layers else nn.Identity()

    def forward(self, h: Tensor) -> Tensor:
        """Embed all nodes.

        Args:
            h: Node features h(0), (n_nodes, size).

        Returns:
            h(L), (n_nodes, size).
        """
        for layer, weight in enumerate(self.weights):
            message = self.aggregate(weight(h))
            if layer < len(self.weights) - 1:
                message = self.activation(message)
            h = h + message if self.residual else message
        return h
