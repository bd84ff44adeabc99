"""The objective of networks that are trained on mean responses: squared error, and the penalty of Eq. 16."""

import numpy as np
import torch
from torch import Tensor

from adapert.config import Config, LossConfig, SquaredLossSection
from adapert.data.array_tables import PerturbationTable
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import ROWS
from adapert.models.losses import non_deg_shrinkage, response_losses
from adapert.models.network import Batch, Objective, Prediction
from adapert.models.row_picks import pick_rows


class SquaredLoss(Objective):
    """Eq. 15 plus lambda_non times Eq. 16, for any network."""

    def __init__(self, dataset: PreparedDataset, config: Config, loss: LossConfig) -> None:
        """Read the training split.

        Args:
            dataset: With a training split.
            config: Says which control a row is on.
            loss: Its alignment is not read.
        """
        super().__init__()
        self.loss = loss
        self.table = dataset.splits["train"].table
        self.rows = ROWS[config.data.control](dataset, loss.weighting)
        huber_delta = resolve_huber_delta(self.table, loss)
        # Tensors, as trials trained side by side differ in them.
        self.huber_delta: Tensor
        self.lambda_non: Tensor
        self.register_buffer("huber_delta", torch.tensor(huber_delta), persistent=False)
        self.register_buffer("lambda_non", torch.tensor(loss.lambda_non), persistent=False)
        self.is_deg: Tensor
        self.register_buffer(
            "is_deg", torch.from_numpy(np.array(self.table.deg_mask, dtype=bool)), persistent=False
        )
        self.resolved = {
            "resolved_huber_delta": huber_delta,
            "non_deg_shrinkage": non_deg_shrinkage(loss.lambda_non, loss.non_deg_reduction, dataset.n_genes),
        }

    def forward(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss and its two terms, the second before its weight."""
        recon, non = response_losses(
            prediction.delta,
            batch.target_delta,
            (~pick_rows(self.is_deg, pick_rows(batch.perturbations, batch.perturbation_row))).float(),
            self.huber_delta,
            self.loss.non_deg_reduction,
            batch.weight,
        )
        return {"loss_total": recon + self.lambda_non * non, "loss_recon": recon, "loss_non": non}


def squared_loss(dataset: PreparedDataset, config: Config, settings: SquaredLossSection) -> SquaredLoss:
    """Build the objective of a network whose section of the config has its settings; nothing is drawn."""
    names = SquaredLossSection.model_fields
    return SquaredLoss(dataset, config, LossConfig(**{name: getattr(settings, name) for name in names}))


def resolve_huber_delta(table: PerturbationTable, loss: LossConfig) -> float:
    """Turn delta of Eq. 17 into log1p units; `table` is the training split's."""
    if loss.huber_delta_unit == "absolute":
        return loss.huber_delta
    non_deg_deltas = np.asarray(table.delta)[~np.asarray(table.deg_mask)]
    # All genes may be DEGs, or no gene may vary: any positive delta then serves.
    spread = float(non_deg_deltas.std()) if len(non_deg_deltas) else 0.0
    return loss.huber_delta * (spread or 1.0)
