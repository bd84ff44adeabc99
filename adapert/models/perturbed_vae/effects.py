"""How much each gene moves each latent: l_g, the logits of its mask, and e_g, its effect."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.trial_graph import graph_nodes
from adapert.models.encoders import TextTable, build_text_tables
from adapert.models.row_picks import pick_rows
from adapert.models.spectrum import NodeTable, build_spectrum

EFFECT_SD = 0.3
"""SD of untrained weights, for rows of length 1."""


class LinearEffects(nn.Module):
    """l_g and e_g linear in what is known of a gene: embeddings, and the place in the network."""

    def __init__(self, tables: Sequence[TextTable | NodeTable], size: int) -> None:
        """Make the maps, drawn from torch's global generator.

        Args:
            tables: A row a node each.
            size: Number of latents.
        """
        super().__init__()
        self.tables = nn.ModuleList(tables)
        self.projections = nn.ModuleList(nn.Linear(table.size, 2 * size, bias=False) for table in tables)
        for projection in self.projections:
            nn.init.normal_(projection.weight, std=EFFECT_SD)  # type: ignore[arg-type]
        self.bias = nn.Parameter(torch.zeros(2 * size))

    def forward(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Compute l and e of (...,) nodes, (..., size) each."""
        known = zip(self.tables, self.projections, strict=True)
        parts = torch.stack([project(table(nodes)) for table, project in known])
        logits, effects = (self.bias + parts.sum(dim=0)).chunk(2, dim=-1)
        return logits, effects


class EffectTable(nn.Module):
    """l_g and e_g learned for each gene; a gene that training does not perturb has the mean of the others."""

    def __init__(self, is_trained: Tensor, size: int) -> None:
        """Make the table, drawn from torch's global generator.

        Args:
            is_trained: 1 for genes that training perturbs, (n_nodes,).
            size: Number of latents.
        """
        super().__init__()
        self.rows = nn.Parameter(EFFECT_SD * torch.randn(len(is_trained), 2 * size))
        self.is_trained: Tensor
        self.register_buffer("is_trained", is_trained.unsqueeze(1))

    def forward(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Look up l and e of (...,) nodes, (..., size) each."""
        mean = (self.rows * self.is_trained).sum(dim=0) / self.is_trained.sum().clamp(min=1)
        is_trained, rows = pick_rows(self.is_trained, nodes), pick_rows(self.rows, nodes)
        logits, effects = (is_trained * rows + (1 - is_trained) * mean).chunk(2, dim=-1)
        return logits, effects


def _linear(dataset: PreparedDataset, config: Config, seed: int) -> LinearEffects:
    settings = config.perturbed_vae
    spectrum = build_spectrum(dataset, config.graph, settings.spectral_size, seed)
    return LinearEffects([*build_text_tables(dataset, config, seed), spectrum], settings.specific_size)


def _table(dataset: PreparedDataset, config: Config, seed: int) -> EffectTable:
    """Build the table; without splits, trained weights bring which genes are trained."""
    is_trained = np.zeros(dataset.n_nodes, dtype=np.float32)
    if dataset.splits:
        for perturbation in dataset.splits["train"].table.perturbations:
            is_trained[dataset.perturbed_nodes(str(perturbation))] = 1
    nodes = graph_nodes(dataset.shared, config.graph)
    return EffectTable(torch.from_numpy(is_trained[nodes]), config.perturbed_vae.specific_size)


EFFECTS: dict[str, Callable[[PreparedDataset, Config, int], nn.Module]] = {
    "linear": _linear,
    "table": _table,
}
"""What ``perturbed_vae.effects`` names."""
