"""Parts of several networks: perceptrons and text (Eq. 1, 3, 7 and 8 of the AdaPert paper)."""

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import IntArray
from adapert.data.trial_graph import graph_nodes
from adapert.models.dropout import Dropout
from adapert.models.noise import Noise
from adapert.models.row_picks import pick_rows
from adapert.seeding import numpy_generator


class Perceptron(nn.Module):
    """Two linear maps with a ReLU and dropout between: ENC of Eq. 1, DEC of Eq. 3."""

    def __init__(self, n_inputs: int, hidden_size: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(n_inputs, hidden_size)
        self.second = nn.Linear(hidden_size, n_outputs)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, generator: Noise | None) -> Tensor:
        """Map (n_rows, n_inputs) to (n_rows, n_outputs)."""
        return self.second(self.dropout(torch.relu(self.first(x)), generator))  # type: ignore[no-any-return]


class TextTable(nn.Module):
    """The text embedding s of each gene (Eq. 7), a learned vector where a gene has none."""

    def __init__(self, embedding: Tensor, has_text: Tensor) -> None:
        """Keep the table.

        Args:
            embedding: L2-normalised rows, (n_nodes, text_size).
            has_text: Whether a gene has one, bool, (n_nodes,).
        """
        super().__init__()
        self.embedding: Tensor
        self.has_text: Tensor
        self.register_buffer("embedding", embedding, persistent=False)
        self.register_buffer("has_text", has_text.float().unsqueeze(1), persistent=False)
        self.absent = nn.Parameter(torch.randn(self.size) / self.size**0.5)

    def project(self, projection: nn.Linear) -> Tensor:
        """Project the embeddings of all nodes, (n_nodes, n_outputs); `projection` has no bias.

        Thus no table of embeddings needs a gradient for the sake of `absent`.
        """
        return projection(self.embedding) + (1 - self.has_text) * projection(self.absent)  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """Length of an embedding."""
        return self.embedding.shape[1]

    def forward(self, nodes: Tensor | None = None) -> Tensor:
        """Embeddings of all nodes, (n_nodes, text_size), or of (...,) nodes, (..., text_size)."""
        embedding, has_text = self.embedding, self.has_text
        if nodes is not None:
            embedding, has_text = pick_rows(embedding, nodes), pick_rows(has_text, nodes)
        return embedding + (1 - has_text) * self.absent


def text_order(dataset: PreparedDataset, config: Config, seed: int) -> IntArray:
    """Say whose embedding each node has: its own, or another's where the config shuffles them, (n_nodes,)."""
    if config.data.text_embedding == "shuffled":
        return numpy_generator(seed, "shuffled_text").permutation(dataset.n_nodes)
    return np.arange(dataset.n_nodes)


def build_text_tables(dataset: PreparedDataset, config: Config, seed: int) -> list[TextTable]:
    """Build a table of each picked source, for a trial's nodes.

    The seed shuffles genes, where the config asks for it. Without any source there is one table, in which
    every gene has the same: nothing.
    """
    shared = dataset.shared
    nodes = graph_nodes(shared, config.graph)
    sources = shared.picked_vectors(config.data.embeddings)
    if not sources:
        nothing = torch.zeros(len(nodes), 1)
        return [TextTable(nothing, torch.ones(len(nodes), dtype=torch.bool))]
    chosen = text_order(dataset, config, seed)[nodes]
    return [
        TextTable(
            torch.from_numpy(np.asarray(source.embedding)[chosen]),
            torch.from_numpy(np.asarray(source.has_embedding)[chosen]),
        )
        for source in sources
    ]
