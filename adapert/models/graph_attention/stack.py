"""Layers of graph attention on top of each other: the graph encoder of TxPert (Wenkel et al.)."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from adapert.errors import InputError
from adapert.models.dropout import Dropout
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.kernels import NEGATIVE_SLOPE
from adapert.models.graph_attention.layer import ATTENTION_LAYERS, AttentionKind

Skip = Literal["none", "add", "cat"]
Norm = Literal["layer", "batch", "none"]

SKIPS: dict[Skip, Callable[[Tensor, Tensor], Tensor]] = {
    "none": lambda new, h: new,
    "add": lambda new, h: new + h,
    "cat": lambda new, h: torch.cat([new, h], dim=1),
}
"""How a layer's output and its input h are joined."""

NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "layer": nn.LayerNorm,
    # All nodes pass in training and in prediction, so their own statistics serve both.
    "batch": lambda size: nn.BatchNorm1d(size, track_running_stats=False),
    "none": lambda size: nn.Identity(),
}
"""Normalisation of a layer's output: each node's, or each feature's over all nodes."""


class GraphAttentionStack(nn.Module):
    """Apply L layers of graph attention, h <- skip(drop(LeakyReLU(norm(attention(h)))), h).

    The last layer's attention is joined to h as it is. Where norm, activation and dropout stand is not in
    the paper.

    Attributes:
        out_size: Size of a node's output: n_inputs + n_layers x a layer's with the skip "cat".
    """

    def __init__(
        self,
        graph: AttentionGraph,
        n_inputs: int,
        *,
        layer: AttentionKind = "gat_v2",
        n_layers: int = 4,
        size: int = 128,
        n_heads: int = 2,
        concatenate_heads: bool = False,
        skip: Skip = "cat",
        norm: Norm = "batch",
        dropout: float = 0.2,
    ) -> None:
        """Make the layers; parameters are drawn from torch's global generator.

        Args:
            graph: The edges, with self-loops or without.
            n_inputs: Size of a node's input.
            layer: Kind of attention.
            n_layers: Number of layers L; with 0 the output is the input.
            size: Size of each head.
            n_heads: Heads of each layer.
            concatenate_heads: Whether a layer's heads are concatenated; otherwise they are averaged.
            skip: How a layer's output and its input are joined.
            norm: Normalisation between layers.
            dropout: Fraction of units dropped between layers.

        Raises:
            InputError: The skip "add" with inputs of another size than the layers' outputs.
        """
        super().__init__()
        layer_size = size * n_heads if concatenate_heads else size
        if skip == "add" and n_layers and n_inputs != layer_size:
            raise InputError(
                f"The skip 'add' needs node features of the size of a layer's output, but they have "
                f"{n_inputs} and it has {layer_size}. Set both to one size, or use the skip 'cat'."
            )
        self.graph = graph
        self.layers, self.norms = nn.ModuleList(), nn.ModuleList()
        self.out_size = n_inputs
        for number in range(n_layers):
            self.layers.append(ATTENTION_LAYERS[layer](self.out_size, size, n_heads, concatenate_heads))
            self.out_size = layer_size + (self.out_size if skip == "cat" else 0)
            if number < n_layers - 1:
                self.norms.append(NORMS[norm](layer_size))
        self.skip: Skip = skip
        self.dropout = Dropout(dropout)

    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embed all nodes.

        Args:
            h: Node features, (n_nodes, n_inputs).
            generator: Draws the dropout, on the device of h; None (prediction) drops nothing.

        Returns:
            Embeddings, (n_nodes, out_size).
        """
        for number, layer in enumerate(self.layers):
            new = layer(h, self.graph)
            if number < len(self.norms):
                new = leaky_relu(self.norms[number](new), NEGATIVE_SLOPE)
                new = self.dropout(new, generator)
            h = SKIPS[self.skip](new, h)
        return h
