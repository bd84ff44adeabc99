"""MORPH's objectives: sets of predicted cells distributed as the observed ones, or the error of means."""

import math

import torch
from torch import Tensor

from adapert.config import Config, SquaredLossSection
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import CellSetRows, resolve_rows
from adapert.models.cell_sets import compare_sets
from adapert.models.discrepancies import squared_mmd
from adapert.models.morph.model import MorphPrediction
from adapert.models.network import Batch, Objective
from adapert.models.objectives import squared_loss


class MorphObjective(Objective):
    """alpha MMD(x_hat, y) + MMD(reconstructed, x) + beta KL(z), MMD squared and of each set.

    Both weights rise linearly from 0 to theirs over the first steps, which the state of the objective counts.
    """

    def __init__(self, dataset: PreparedDataset, config: Config) -> None:
        """Read the training split.

        Args:
            dataset: With training cells.
            config: Says sizes of sets and minibatches, and the weights.
        """
        super().__init__()
        self.settings = config.morph
        self.rows = CellSetRows(dataset, "cells", self.settings.set_size)
        n_minibatches = math.ceil(len(self.rows.perturbation_index) / config.training.minibatch_size)
        self.n_rising_steps = self.settings.ramp_epochs * n_minibatches
        self.n_steps: Tensor
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))
        self.resolved = {}

    def forward(self, prediction: MorphPrediction, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss of the next step, and its terms before their weights."""
        self.n_steps += 1
        share = (self.n_steps / max(self.n_rising_steps, 1)).clamp(max=1)
        perturbed, control = compare_sets(squared_mmd, prediction, batch)
        kl = prediction.divergence.mean()
        weighted = self.settings.alpha * perturbed + self.settings.beta * kl
        return {
            "loss_total": control + share * weighted,
            "loss_perturbed": perturbed,
            "loss_control": control,
            "loss_kl": kl,
        }


def build_objective(dataset: PreparedDataset, config: Config, seed: int) -> Objective:
    """Build the objective of cells, or of means: the squared error alone; nothing is drawn."""
    if resolve_rows(dataset.shared, config.morph.rows) == "means":
        return squared_loss(dataset, config, SquaredLossSection())
    return MorphObjective(dataset, config)
