"""What the network says of each gene before any message: its spectrum, and the text of its neighbours."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.data.trial_graph import graph_nodes
from adapert.models.encoders import TextTable
from adapert.models.gene_kernels import network_coordinates, unit_rows
from adapert.models.network import to_tensor

N_DIFFUSIONS = 2
"""Text is diffused over the network once, twice, ...: Eq. 6 without its weights."""


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
        return self.rows if nodes is None else self.rows[nodes]


def build_network_features(
    dataset: PreparedDataset,
    config: Config,
    adjacency: scipy.sparse.csr_array,
    texts: Sequence[TextTable],
    seed: int,
) -> list[NodeTable]:
    """Build the features that ``model.node_features`` names beside text and the learnable table.

    Args:
        dataset: Without splits, trained weights bring the spectrum: eigenvectors differ between machines.
        config: Which features, of which edges.
        adjacency: Of the trial's graph, rows sum to 1.
        texts: As the trial has them, shuffled or not; the first is diffused.
        seed: The trial's.

    Returns:
        A table of the spectrum, then one of each diffusion, rows of length 1 or 0; none of what is not named.
    """
    tables = []
    if "spectral" in config.model.feature_parts:
        tables.append(NodeTable(to_tensor(_spectrum(dataset, config, seed)), is_kept=True))
    if "diffused" in config.model.feature_parts:
        with_itself = adjacency + scipy.sparse.eye_array(adjacency.shape[0])
        step = scipy.sparse.diags_array(1 / with_itself.sum(axis=1)) @ with_itself
        rows = np.asarray(texts[0].embedding, dtype=np.float64)
        for _ in range(N_DIFFUSIONS):
            rows = step @ rows
            tables.append(NodeTable(to_tensor(unit_rows(rows - rows.mean(axis=0))), is_kept=False))
    return tables


def _spectrum(dataset: PreparedDataset, config: Config, seed: int) -> FloatArray:
    """Unit rows of as many columns as the config says, zeros where the network has fewer eigenvectors."""
    nodes, size = graph_nodes(dataset.shared, config.graph), config.model.spectral_size
    spectrum = np.zeros((len(nodes), size))
    if dataset.splits:
        found = network_coordinates(dataset.shared, config.graph, "spectral", size, seed=seed)[nodes]
        spectrum[:, : found.shape[1]] = found
    return spectrum
