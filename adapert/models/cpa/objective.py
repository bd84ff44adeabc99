"""CPA's objective: reconstruction, and an adversary that looks for the perturbation in the latents."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import CorrectedCellRows
from adapert.models.cpa.model import CpaPrediction
from adapert.models.encoders import Perceptron
from adapert.models.network import Batch, Objective
from adapert.seeding import seeded_initialisation


class CpaObjective(Objective):
    """MSE, and CE(D(enc(x)), P) + mu |grad D|^2, which D descends while the encoder ascends lambda CE.

    D is a classifier of the training perturbations and of control. |grad D|^2 is that of the log probability
    of the cell's own class with respect to its latents, averaged over cells, and counts for D alone. All
    parameters take one step at once: the gradient of CE is turned and weighed where it enters the encoder.
    """

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int) -> None:
        """Read the training split's cells; the seed draws D's parameters."""
        super().__init__()
        self.settings = config.cpa
        self.rows = CorrectedCellRows(dataset, "cells")
        self.n_perturbations = len(dataset.splits["train"].table.perturbations)
        with seeded_initialisation(seed, "adversary"):
            size, hidden_size = config.cpa.latent_size, config.cpa.hidden_size
            self.adversary = Perceptron(size, hidden_size, self.n_perturbations + 1, dropout=0)
        self.resolved = {}

    def forward(self, prediction: CpaPrediction, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss, and its terms before their weights."""
        settings, basal = self.settings, prediction.basal
        recon = (prediction.reconstructed - prediction.profiles).square().mean()
        perturbed = batch.perturbations[batch.perturbation_row]
        label = torch.cat([perturbed, torch.full_like(perturbed, self.n_perturbations)])
        hidden = reverse_gradient(basal, settings.lambda_adversary)
        adversary_loss = cross_entropy(self.adversary(hidden, None), label)
        penalty = self.penalty(basal.detach(), label)
        return {
            "loss_total": recon + adversary_loss + settings.gradient_penalty * penalty,
            "loss_recon": recon,
            "loss_adversary": adversary_loss,
            "loss_penalty": penalty,
        }

    def penalty(self, basal: Tensor, label: Tensor) -> Tensor:
        """Mean squared length of the gradient of log D_label at latents, (n_profiles, size)."""
        latents = basal.requires_grad_()
        own = log_softmax(self.adversary(latents, None), dim=1).gather(1, label.unsqueeze(1))
        (gradient,) = torch.autograd.grad(own.sum(), latents, create_graph=True)
        return gradient.square().sum(dim=1).mean()


def reverse_gradient(x: Tensor, weight: float) -> Tensor:
    """Return x, whose gradient is -weight times what comes back (Ganin and Lempitsky, 2015)."""
    return _ReversedGradient.apply(x, weight)  # type: ignore[no-any-return, no-untyped-call]


class _ReversedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: float) -> Tensor:
        ctx.weight = weight
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        return -ctx.weight * gradients[0], None
