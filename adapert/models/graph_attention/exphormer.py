"""Attention over a network and an expander: Exphormer (Shirzad et al., 2023) and TxPert's form of it.

With several networks it is Exphormer-MG, whose attention knows each edge's provenance.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from adapert.data.schema import IntArray
from adapert.errors import InputError
from adapert.models.dropout import Dropout
from adapert.models.encoders import Perceptron
from adapert.models.graph_attention.attention import has_kernels, provenance_scores, weighted_average
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.layer import GatV2Layer
from adapert.models.graph_attention.provenance import ProvenanceGraph, unite
from adapert.models.graph_attention.stack import NORMS, Norm

MAX_SCORE = 5.0
"""Scores are clipped to +-5, so that their exponentials need no maximum subtracted."""


class ExphormerAttention(nn.Module):
    """Attend over edges u -> v whose provenance scales the keys and shifts the scores.

    In each head of size d, with e and b linear in the edge's provenance,

        w_uv = exp(clip(sum over i of q_vi k_ui e_uvi / sqrt(d) + b_uv, +-5))
        out_v = sum over u of w_uv x_u / sum over u of w_uv
    """

    def __init__(self, size: int, n_heads: int, n_places: int) -> None:
        """Make the parameters, drawn from torch's global generator.

        Args:
            size: Size of a node's input and output.
            n_heads: Heads into which it is cut.
            n_places: Places where an edge can come from.
        """
        super().__init__()
        self.n_heads = n_heads
        self.query, self.key, self.value = (nn.Linear(size, size) for _ in range(3))
        self.scale = nn.Linear(n_places, size)
        self.shift = nn.Linear(n_places, n_heads)

    def forward(self, h: Tensor, graph: ProvenanceGraph) -> Tensor:
        """Attend once: (n_nodes, size) to (n_nodes, size)."""
        query, key, value, scale = (
            linear(rows).view(len(rows), self.n_heads, -1)
            for linear, rows in (
                (self.query, h),
                (self.key, h),
                (self.value, h),
                (self.scale, graph.provenances),
            )
        )
        query = query / query.shape[-1] ** 0.5
        score, average = (
            (provenance_scores, weighted_average) if has_kernels(h) else (plain_scores, plain_average)
        )
        scores = score(graph, query, key, scale, self.shift(graph.provenances))
        return average(graph, scores.clamp(-MAX_SCORE, MAX_SCORE), value).flatten(1)


def plain_scores(graph: ProvenanceGraph, q: Tensor, k: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Score as `provenance_scores` does, on any device, with (n_edges, n_heads, size) in memory."""
    source, target = graph.edge_index
    return (q[target] * k[source] * scale[graph.provenance]).sum(dim=-1) + shift[graph.provenance]


def plain_average(graph: AttentionGraph, score: Tensor, x: Tensor) -> Tensor:
    """Average as `weighted_average` does, on any device; no maximum is subtracted from the clipped scores."""
    source, target = graph.edge_index
    weight = score.exp().unsqueeze(-1)
    total = weight.new_zeros(len(x), *weight.shape[1:]).index_add(0, target, weight)
    return torch.zeros_like(x).index_add(0, target, weight * x[source]) / total


class ExphormerLayer(nn.Module):
    """Attend far and near: y = norm(h + attention(h)) + GATv2(h), h <- norm(y + MLP(y))."""

    def __init__(self, size: int, n_heads: int, n_places: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.attention = ExphormerAttention(size, n_heads, n_places)
        self.local = GatV2Layer(size, size, n_heads, concatenate_heads=False)
        self.mlp = Perceptron(size, 2 * size, size, dropout)
        self.attention_norm, self.mlp_norm = NORMS[norm](size), NORMS[norm](size)
        self.dropout = Dropout(dropout)

    def forward(
        self, h: Tensor, far: ProvenanceGraph, near: AttentionGraph, generator: torch.Generator | None
    ) -> Tensor:
        """Embed all nodes: (n_nodes, size) to (n_nodes, size)."""
        attended = self.dropout(self.attention(h, far), generator)
        local = self.dropout(self.local(h, near), generator)
        y = self.attention_norm(h + attended) + local
        return self.mlp_norm(y + self.mlp(y, generator))  # type: ignore[no-any-return]


class ExphormerStack(nn.Module):
    """Apply L layers of Exphormer over one network or several; GATv2 sees the networks alone.

    Attributes:
        out_size: Size of a node's output, that of its input.
    """

    def __init__(
        self,
        graphs: Sequence[AttentionGraph],
        expander: IntArray,
        size: int,
        *,
        n_layers: int = 4,
        n_heads: int = 2,
        norm: Norm = "batch",
        dropout: float = 0.2,
    ) -> None:
        """Make the layers; parameters are drawn from torch's global generator.

        Args:
            graphs: One for each network, over the same nodes.
            expander: Sources and targets as of `random_expander`, (2, n_expander_edges); with none, attention
                goes over networks, their reverses and self-loops.
            size: Size of a node's input and output.
            n_layers: Number of layers L.
            n_heads: Heads into which attention is cut.
            norm: Normalisation after attention and MLP.
            dropout: Fraction of units dropped.

        Raises:
            InputError: A size that cannot be cut into that many heads.
        """
        super().__init__()
        if size % n_heads:
            raise InputError(
                f"Attention must be cut into {n_heads} heads of one size, but the size is {size}. "
                f"Use a multiple of {n_heads}."
            )
        self.far, self.near = ProvenanceGraph(graphs, expander), unite(graphs)
        n_places = self.far.provenances.shape[1]
        self.layers = nn.ModuleList(
            ExphormerLayer(size, n_heads, n_places, norm, dropout) for _ in range(n_layers)
        )
        self.out_size = size

    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embed all nodes.

        Args:
            h: Node features, (n_nodes, size).
            generator: Draws the dropout, on the device of h; None (prediction) drops nothing.

        Returns:
            Embeddings, (n_nodes, size).
        """
        for layer in self.layers:
            h = layer(h, self.far, self.near, generator)
        return h
