"""The genes that perturbations target, as nodes of the data set's graph."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.data.trial_graph import node_places, refuse_outside
from adapert.models.row_picks import pick_rows


class Targets(NamedTuple):
    """The genes that perturbations target, padded to the largest combination.

    Attributes:
        nodes: Graph nodes, 0 where padded, (n_perturbations, max_genes).
        is_gene: 1 for a gene, 0 where padded, as `nodes`.
    """

    nodes: Tensor
    is_gene: Tensor

    def take(self, index: Tensor) -> "Targets":
        """Pick perturbations."""
        return Targets(pick_rows(self.nodes, index), pick_rows(self.is_gene, index))

    def sum_rows(self, table: Tensor) -> Tensor:
        """Sum the rows of each perturbation's genes: (n_nodes, size) to (n_perturbations, size)."""
        rows = pick_rows(table, self.nodes)
        return (rows * self.is_gene.unsqueeze(-1)).sum(dim=1)

    def mark(self, n_nodes: int) -> Tensor:
        """1 at each perturbation's genes, (n_perturbations, n_nodes)."""
        marks = torch.zeros(len(self.nodes), n_nodes, device=self.nodes.device)
        return marks.scatter_reduce(1, self.nodes, self.is_gene, reduce="amax")


def build_targets(dataset: PreparedDataset, perturbations: Sequence[str], device: torch.device) -> Targets:
    """Look up the graph nodes of perturbations.

    Raises:
        InputError: A gene that is not a node of the data set.
    """
    nodes = [dataset.perturbed_nodes(str(perturbation)) for perturbation in perturbations]
    width = max(len(genes) for genes in nodes)
    # The padding is node 0, a gene like any other, which `is_gene` takes out again.
    padded = np.array([genes + [0] * (width - len(genes)) for genes in nodes])
    is_gene = np.array([[1.0] * len(genes) + [0.0] * (width - len(genes)) for genes in nodes])
    return Targets(
        torch.from_numpy(padded).to(device), torch.from_numpy(is_gene.astype(np.float32)).to(device)
    )


class NodePlace(nn.Module):
    """From the data set's nodes to those of a graph that has only some of them."""

    def __init__(self, shared: SharedTable, config: GraphConfig) -> None:
        super().__init__()
        self._names = shared.node_names
        is_whole = config.nodes == "all"
        places = None if is_whole else torch.from_numpy(node_places(shared, config))
        self.places: Tensor | None
        self.register_buffer("places", places, persistent=False)

    def forward(self, targets: Targets) -> Targets:
        """Number perturbed genes as the graph does; in training, those that `check` has been given before.

        Raises:
            InputError: A gene that is not in the graph.
        """
        if self.places is None:
            return targets
        if not self.training:
            self.check(targets)
        return Targets(self._numbered(targets), targets.is_gene)

    def check(self, targets: Targets) -> None:
        """Refuse genes outside the graph. It waits for the targets' device, which no training step should.

        Raises:
            InputError: A gene that is not in the graph.
        """
        nodes = self._numbered(targets)
        if bool((nodes < 0).any()):
            outside = torch.unique(targets.nodes[nodes < 0]).cpu().numpy()
            refuse_outside(np.asarray(self._names)[outside].tolist())

    def _numbered(self, targets: Targets) -> Tensor:
        if self.places is None:
            return targets.nodes
        return torch.where(targets.is_gene > 0, self.places[targets.nodes], 0)
