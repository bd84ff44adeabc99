"""One layer of graph attention: GAT or GATv2, with the parameters of PyTorch Geometric's."""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from adapert.models.graph_attention.attention import has_kernels, leaky_attention
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.kernels import NEGATIVE_SLOPE

AttentionKind = Literal["gat", "gat_v2"]


class Operands(NamedTuple):
    """What `leaky_attention` takes beside the graph."""

    x: Tensor
    p: Tensor
    q: Tensor
    a: Tensor


class GraphAttention(nn.Module):
    """Let each node attend to the sources of its edges, in several heads.

    On a CPU in float32 the fused kernel computes it, elsewhere PyTorch Geometric. Attention coefficients
    are not dropped, and edge weights are not read.
    """

    def __init__(self, n_inputs: int, size: int, n_heads: int = 1, concatenate_heads: bool = True) -> None:
        """Make the parameters, drawn from torch's global generator.

        Args:
            n_inputs: Size of a node's input.
            size: Size of each head.
            n_heads: Number of heads.
            concatenate_heads: Whether heads are concatenated; otherwise they are averaged.
        """
        super().__init__()
        self.out_size = size * n_heads if concatenate_heads else size
        self.conv = self._build(
            n_inputs,
            size,
            heads=n_heads,
            concat=concatenate_heads,
            negative_slope=NEGATIVE_SLOPE,
            add_self_loops=False,  # The graph has them already; PyG would add them at each call.
        )

    def forward(self, h: Tensor, graph: AttentionGraph) -> Tensor:
        """Attend once.

        Args:
            h: Node features, (n_nodes, n_inputs).
            graph: The edges.

        Returns:
            New features, (n_nodes, out_size); the bias alone for a node that no edge goes into.
        """
        if not has_kernels(h):
            return self.conv(h, graph.edge_index)  # type: ignore[no-any-return]
        heads = leaky_attention(graph, *self._operands(h))
        joined = heads.flatten(1) if self.conv.concat else heads.mean(dim=1)
        return joined + self.conv.bias  # type: ignore[no-any-return]

    def _build(self, *sizes: int, **settings: Any) -> Any:
        raise NotImplementedError

    def _operands(self, h: Tensor) -> Operands:
        raise NotImplementedError

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.view(-1, self.conv.heads, self.conv.out_channels)


class GatLayer(GraphAttention):
    """GAT (Velickovic et al., 2018): s_uv = LeakyReLU(a_source . W h_u + a_target . W h_v)."""

    def _build(self, *sizes: int, **settings: Any) -> Any:
        from torch_geometric.nn import GATConv

        return GATConv(*sizes, **settings)

    def _operands(self, h: Tensor) -> Operands:
        x = self._split_heads(self.conv.lin(h))
        of_source, of_target = (
            (x * weight).sum(dim=-1, keepdim=True) for weight in (self.conv.att_src, self.conv.att_dst)
        )
        return Operands(x, of_source, of_target, torch.ones(self.conv.heads, 1))


class GatV2Layer(GraphAttention):
    """GATv2 (Brody et al., 2022): s_uv = a . LeakyReLU(W_source h_u + W_target h_v)."""

    def _build(self, *sizes: int, **settings: Any) -> Any:
        from torch_geometric.nn import GATv2Conv

        return GATv2Conv(*sizes, **settings)

    def _operands(self, h: Tensor) -> Operands:
        x, of_target = (self._split_heads(linear(h)) for linear in (self.conv.lin_l, self.conv.lin_r))
        return Operands(x, x, of_target, self.conv.att[0])


ATTENTION_LAYERS: dict[AttentionKind, type[GraphAttention]] = {"gat": GatLayer, "gat_v2": GatV2Layer}
