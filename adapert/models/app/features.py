"""What each gene is before it hears of its neighbours: x of Sec. 3.2, (n_nodes, size)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.trial_graph import graph_nodes
from adapert.errors import InputError
from adapert.models.encoders import TextTable, build_text_tables


class GeneTable(nn.Module):
    """A row a gene: its one-hot vector times a learnable table, or a random row that stays as drawn."""

    def __init__(self, n_nodes: int, size: int, is_trained: bool) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(n_nodes, size), requires_grad=is_trained)

    def forward(self) -> Tensor:
        """All rows."""
        return self.rows


class ProjectedFeatures(nn.Module):
    """A linear map of what is known of each gene, a learned vector where nothing is."""

    def __init__(self, known: TextTable, size: int) -> None:
        super().__init__()
        self.known = known
        self.projection = nn.Linear(known.embedding.shape[1], size)
        # Unit rows so have the amplitude of a learnable row; by torch's default they would hardly count.
        nn.init.normal_(self.projection.weight)

    def forward(self) -> Tensor:
        """Projections of all genes."""
        return self.projection(self.known())  # type: ignore[no-any-return]


class SummedFeatures(nn.Module):
    """The sum of several features."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self) -> Tensor:
        """Sums of all genes."""
        return torch.stack([part() for part in self.parts]).sum(dim=0)


def _one_hot(dataset: PreparedDataset, config: Config, seed: int) -> GeneTable:
    return GeneTable(len(graph_nodes(dataset.shared, config.graph)), config.app.size, is_trained=True)


def _random(dataset: PreparedDataset, config: Config, seed: int) -> GeneTable:
    return GeneTable(len(graph_nodes(dataset.shared, config.graph)), config.app.size, is_trained=False)


def _texts(dataset: PreparedDataset, config: Config, seed: int) -> list[ProjectedFeatures]:
    tables = build_text_tables(dataset, config, seed)
    return [ProjectedFeatures(table, config.app.size) for table in tables]


def _text(dataset: PreparedDataset, config: Config, seed: int) -> SummedFeatures:
    return SummedFeatures(*_texts(dataset, config, seed))


def _expression(dataset: PreparedDataset, config: Config, seed: int) -> ProjectedFeatures:
    """The mean control expression, in standard deviations over genes; not of genes that were not measured."""
    control = np.asarray(dataset.shared.control_mean, dtype=np.float32)
    if not control.any():
        raise InputError(
            "app.node_features 'expression' needs the expression of control cells, but the data set is a "
            "table of responses. Use 'one_hot', 'text' or 'both'."
        )
    known = np.zeros((dataset.n_nodes, 1), dtype=np.float32)
    known[: dataset.n_genes, 0] = (control - control.mean()) / (control.std() or 1)
    nodes = graph_nodes(dataset.shared, config.graph)
    is_measured = torch.from_numpy(nodes < dataset.n_genes)
    return ProjectedFeatures(TextTable(torch.from_numpy(known[nodes]), is_measured), config.app.size)


def _both(dataset: PreparedDataset, config: Config, seed: int) -> SummedFeatures:
    return SummedFeatures(_one_hot(dataset, config, seed), *_texts(dataset, config, seed))


FEATURES: dict[str, Callable[[PreparedDataset, Config, int], nn.Module]] = {
    "one_hot": _one_hot,
    "random": _random,
    "text": _text,
    "expression": _expression,
    "both": _both,
}
