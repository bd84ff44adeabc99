"""The place of each gene in the network, as a table that weights bring along."""

import numpy as np
from torch import Tensor, nn

from adapert.config import GraphConfig
from adapert.data.prepared import PreparedDataset
from adapert.data.trial_graph import graph_nodes
from adapert.models.gene_kernels import network_coordinates
from adapert.models.network import to_tensor
from adapert.models.row_picks import pick_rows


class NodeTable(nn.Module):
    """A fixed row a node."""

    def __init__(self, rows: Tensor, is_kept: bool) -> None:
        """Keep the table.

        Args:
            rows: (n_nodes, size).
            is_kept: Whether weights files hold it.
        """
        super().__init__()
        self.rows: Tensor
        self.register_buffer("rows", rows, persistent=is_kept)

    def project(self, projection: nn.Linear) -> Tensor:
        """Project the rows of all nodes, (n_nodes, n_outputs)."""
        return projection(self.rows)  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Length of a row."""
        return self.rows.shape[1]

    def forward(self, nodes: Tensor | None = None) -> Tensor:
        """Rows of all nodes, (n_nodes, size), or of (...,) nodes, (..., size)."""
        return self.rows if nodes is None else pick_rows(self.rows, nodes)


def build_spectrum(dataset: PreparedDataset, config: GraphConfig, size: int, seed: int) -> NodeTable:
    """Build the leading eigenvectors of a trial's network, a row a node of its graph.

    Args:
        dataset: Without splits, trained weights bring the rows: eigenvectors differ between machines.
        config: Which network and nodes.
        size: Eigenvectors; columns beyond those that the network has are 0.
        seed: The trial's, which draws noise of the network.
    """
    nodes = graph_nodes(dataset.shared, config)
    rows = np.zeros((len(nodes), size))
    if dataset.splits:
        found = network_coordinates(dataset.shared, config, "spectral", size, seed=seed)[nodes]
        rows[:, : found.shape[1]] = found
    return NodeTable(to_tensor(rows), is_kept=True)
