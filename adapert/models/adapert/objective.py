"""AdaPert's objective (Eq. 21): squared error, the non-DEG penalty, and the alignment of contexts."""

import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.adapert.model import AdaPertPrediction
from adapert.models.losses import alignment_loss
from adapert.models.network import Batch, to_tensor
from adapert.models.objectives import SquaredLoss
from adapert.seeding import seeded_initialisation


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
        aligned = (self.rows.weight * (self.table.n_degs > 0)[self.rows.perturbation_index]).mean()
        self.align_scale = float(1 / aligned) if aligned > 0 else 0.0

    def forward(self, prediction: AdaPertPrediction, batch: Batch) -> dict[str, Tensor]:  # type: ignore[override]
        """Compute L_total and its three terms, the last two before their weights."""
        losses = super().forward(prediction, batch)
        is_deg = to_tensor(self.table.deg_mask[batch.perturbations], batch.weight.device)
        align = self.align(
            prediction.context.z,
            self.target_head(to_tensor(self.table.delta[batch.perturbations], batch.weight.device) * is_deg),
            align_weight(batch.weight, batch.perturbation_row, is_deg) * self.align_scale,
        )
        total = losses["loss_total"] + self.loss.lambda_align * align
        return losses | {"loss_total": total, "loss_align": align}


def align_weight(weight: Tensor, perturbation_row: Tensor, is_deg: Tensor) -> Tensor:
    """Add up the rows' weights of each distinct perturbation that has a DEG (Eq. 20 skips the others).

    Args:
        weight: Weight of each row, (n_rows,).
        perturbation_row: Distinct perturbation of each row, (n_rows,).
        is_deg: 1 at DEGs, (n_perturbations, n_genes).

    Returns:
        (n_perturbations,), scaled so that its mean is a mean over rows.
    """
    summed = torch.zeros(len(is_deg), device=weight.device).index_add(0, perturbation_row, weight)
    return summed * is_deg.amax(dim=1) * (len(is_deg) / len(weight))
