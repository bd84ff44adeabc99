"""Several networks, weighted for each gene: GAT-Hybrid of TxPert (Wenkel et al.)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from adapert.errors import InputError
from adapert.models.encoders import Perceptron
from adapert.models.graph_attention.kernels import NEGATIVE_SLOPE
from adapert.models.graph_attention.stack import GraphAttentionStack


class HybridStacks(nn.Module):
    """Weigh networks k for each node v and head h, z_v = MLP(mean over h of the sum over k of w_kvh u_kvh).

    The stack of network k embeds v as the heads u_kvh, and w_kvh = softmax over k of a_h . LeakyReLU(u_kvh).
    That the stacks' outputs are cut into heads is not in the paper.
    """

    def __init__(
        self, stacks: Sequence[GraphAttentionStack], size: int, *, n_heads: int = 2, dropout: float = 0.2
    ) -> None:
        """Make the weighting and the MLP; parameters are drawn from torch's global generator.

        Args:
            stacks: One for each network, over the same nodes and with outputs of one size.
            size: Size of an embedding, and of the MLP's hidden units.
            n_heads: Parts into which outputs are cut, each weighted on its own.
            dropout: Fraction of the MLP's hidden units that are dropped.

        Raises:
            InputError: Outputs that cannot be cut into that many heads.
        """
        super().__init__()
        width = stacks[0].out_size
        if width % n_heads:
            raise InputError(
                f"Outputs of a network's layers must be cut into {n_heads} heads of one size, but they have "
                f"{width} numbers. Use a multiple of {n_heads} as the size of node features and layers."
            )
        self.stacks = nn.ModuleList(stacks)
        self.a = nn.Parameter(torch.empty(n_heads, width // n_heads))
        nn.init.xavier_uniform_(self.a)
        self.mlp = Perceptron(width // n_heads, size, size, dropout)
        self.out_size = size

    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embed all nodes.

        Args:
            h: Node features, (n_nodes, n_inputs).
            generator: Draws the dropout; None (prediction) drops nothing.

        Returns:
            Embeddings, (n_nodes, size).
        """
        u = self._heads(h, generator)
        joined = (self._weigh(u).unsqueeze(-1) * u).sum(dim=0).mean(dim=1)
        return self.mlp(joined, generator)  # type: ignore[no-any-return]

    @torch.no_grad()
    def network_weights(self, h: Tensor) -> Tensor:
        """Weights w of the networks, which sum to 1: (n_networks, n_nodes, n_heads)."""
        return self._weigh(self._heads(h, None))

    def _heads(self, h: Tensor, generator: torch.Generator | None) -> Tensor:
        outputs = torch.stack([stack(h, generator) for stack in self.stacks])
        return outputs.view(*outputs.shape[:2], *self.a.shape)

    def _weigh(self, u: Tensor) -> Tensor:
        return torch.softmax((leaky_relu(u, NEGATIVE_SLOPE) * self.a).sum(dim=-1), dim=0)
