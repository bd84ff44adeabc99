"""scVI's objective: the evidence lower bound of cells, with a Gaussian likelihood."""

import math

from torch import Tensor

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import CorrectedCellRows
from adapert.models.network import Batch, Objective
from adapert.models.scvi.model import ScviPrediction


class ScviObjective(Objective):
    """-log p(x|z) + beta KL(q(z|x) || N(0, 1)), summed over genes and latents, averaged over cells."""

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int) -> None:
        """Read the training split's cells; nothing is drawn."""
        super().__init__()
        self.beta = config.scvi.beta
        self.rows = CorrectedCellRows(dataset, "cells")
        self.resolved = {}

    def forward(self, prediction: ScviPrediction, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss and its terms, the second before its weight."""
        error = (prediction.profiles - prediction.mean) * (-prediction.log_sd).exp()
        nll = error.square() / 2 + prediction.log_sd + math.log(2 * math.pi) / 2
        recon = nll.sum(dim=1).mean()
        kl = prediction.divergence.mean()
        return {"loss_total": recon + self.beta * kl, "loss_recon": recon, "loss_kl": kl}
