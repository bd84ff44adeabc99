"""Several networks as layers of one graph: GAT-MLG of TxPert (Wenkel et al.)."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.stack import GraphAttentionStack


def join_networks(graphs: Sequence[AttentionGraph], coupled: bool = True) -> AttentionGraph:
    """Build the supra-graph: a copy of each gene for each network, with that network's edges.

    Args:
        graphs: One for each network, over the same nodes.
        coupled: Whether each copy of a gene attends to its others, through which networks reach each other.

    Returns:
        The graph of nodes (k, v), numbered k n_nodes + v.
    """
    n_nodes, n_networks = graphs[0].n_nodes, len(graphs)
    edges = [graph.edge_index.numpy() + k * n_nodes for k, graph in enumerate(graphs)]
    if coupled:
        genes = np.arange(n_nodes)
        edges += [
            np.stack([genes + k * n_nodes, genes + other * n_nodes])
            for k in range(n_networks)
            for other in range(n_networks)
            if other != k
        ]
    source, target = np.concatenate(edges, axis=1)
    return AttentionGraph(source, target, n_networks * n_nodes)


class MultilayerStack(nn.Module):
    """Attend within and between networks, and average each gene's copies.

    All copies of a gene begin with the same features. Couplings and average are not in the paper.
    """

    def __init__(self, stack: GraphAttentionStack, n_networks: int) -> None:
        """Keep the layers.

        Args:
            stack: Layers over the graph of `join_networks`.
            n_networks: Number of networks in it.
        """
        super().__init__()
        self.stack = stack
        self.n_networks = n_networks
        self.out_size = stack.out_size

    def forward(self, h: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embed all nodes.

        Args:
            h: Node features, (n_nodes, n_inputs).
            generator: Draws the dropout; None (prediction) drops nothing.

        Returns:
            Embeddings, (n_nodes, out_size).
        """
        copies: Tensor = self.stack(h.repeat(self.n_networks, 1), generator)
        return copies.view(self.n_networks, len(h), self.out_size).mean(dim=0)
