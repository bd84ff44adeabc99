"""AdaPert's objective (Eq. 21): squared error, the non-DEG penalty, and the alignment of contexts."""

import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.adapert.model import AdaPertPrediction
from adapert.models.losses import alignment_loss
from adapert.models.network import Batch, to_tensor
from adapert.models.objectives import SquaredLoss
from adapert.models.row_picks import pick_rows
from adapert.seeding import seeded_initialisation

TARGET_CHUNK = 64
"""Perturbations whose targets are computed at once."""


class AdaPertObjective(SquaredLoss):
    """Eq. 21; its one parameter is g of Eq. 19."""

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int) -> None:
        super().__init__(dataset, config, config.loss)
        # g is trained where the alignment is the paper's, else a fixed random projection.
        with seeded_initialisation(seed, "target head"):
            self.target_head = nn.Linear(dataset.n_genes, config.model.structural_size, bias=False)
        self.target_head.requires_grad_(config.loss.alignment == "paper")
        self.align = alignment_loss(config.loss)
        # Rows without a DEG are not aligned (Eq. 20): the mean over the others is that of all, scaled up.
        has_deg = self.table.n_degs > 0
        aligned = (self.rows.weight * has_deg[self.rows.perturbation_index]).mean()
        align_scale = float(1 / aligned) if aligned > 0 else 0.0
        self.align_scale: Tensor
        self.lambda_align: Tensor
        self.register_buffer("align_scale", torch.tensor(align_scale), persistent=False)
        self.register_buffer("lambda_align", torch.tensor(config.loss.lambda_align), persistent=False)
        self.has_deg: Tensor
        self.register_buffer("has_deg", to_tensor(has_deg), persistent=False)
        self.targets: Tensor | None
        self.deg_delta: Tensor | None
        # Constant where g is, which the seed draws: checkpoints hold the same.
        is_constant = config.loss.alignment != "paper"
        self.register_buffer("targets", self._all_targets() if is_constant else None, persistent=False)
        self.register_buffer("deg_delta", None if is_constant else self._deg_delta(), persistent=False)

    def forward(self, prediction: AdaPertPrediction, batch: Batch) -> dict[str, Tensor]:  # type: ignore[override]
        """Compute L_total and its three terms, the last two before their weights."""
        losses = super().forward(prediction, batch)
        align = self.align(
            prediction.context.z,
            self._targets(batch.perturbations),
            align_weight(batch.weight, batch.perturbation_row, pick_rows(self.has_deg, batch.perturbations))
            * self.align_scale,
        )
        total = losses["loss_total"] + self.lambda_align * align
        return losses | {"loss_total": total, "loss_align": align}

    def _targets(self, perturbations: Tensor) -> Tensor:
        """Map the deltas of DEGs by g (Eq. 19), (n_perturbations, structural_size)."""
        if self.targets is not None:
            return pick_rows(self.targets, perturbations)
        assert self.deg_delta is not None
        return self.target_head(pick_rows(self.deg_delta, perturbations))  # type: ignore[no-any-return]

    def _deg_delta(self, rows: slice = slice(None)) -> Tensor:
        """Deltas of DEGs, 0 elsewhere, (n_perturbations, n_genes)."""
        return to_tensor(self.table.delta[rows]) * self.is_deg[rows]

    @torch.no_grad()
    def _all_targets(self) -> Tensor:
        """Map all training perturbations, as many at a time as a few megabytes hold."""
        firsts = range(0, len(self.table.perturbations), TARGET_CHUNK)
        chunks = [self._deg_delta(slice(first, first + TARGET_CHUNK)) for first in firsts]
        return torch.cat([self.target_head(chunk) for chunk in chunks])


def align_weight(weight: Tensor, perturbation_row: Tensor, has_deg: Tensor) -> Tensor:
    """Add up the rows' weights of each distinct perturbation that has a DEG (Eq. 20 skips the others).

    Args:
        weight: Weight of each row, (n_rows,).
        perturbation_row: Distinct perturbation of each row, (n_rows,).
        has_deg: 1 where a perturbation has a DEG, (n_perturbations,).

    Returns:
        (n_perturbations,), scaled so that its mean is a mean over rows.
    """
    summed = torch.zeros(len(has_deg), device=weight.device).index_add(0, perturbation_row, weight)
    return summed * has_deg * (len(has_deg) / len(weight))
