"""PerturbedVAE's objective: an evidence lower bound, sparse masks, and the alignment (own construction)."""

from collections.abc import Callable

import torch
from torch import Tensor

from adapert.config import Config, PerturbedVaeConfig
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import ROWS, resolve_rows
from adapert.models.discrepancies import squared_mmd
from adapert.models.network import Batch, Objective
from adapert.models.perturbed_vae.alignment import specific_contrast
from adapert.models.perturbed_vae.latent import MASKS
from adapert.models.perturbed_vae.model import VaePrediction


def _invariance(prediction: VaePrediction, batch: Batch, settings: PerturbedVaeConfig) -> Tensor:
    """MMD of z_I of perturbed cells and control cells of their batches; 0 of means, which have one z_I."""
    if prediction.z_invariant is None:
        return batch.weight.new_zeros(())
    return squared_mmd(*prediction.z_invariant)


def _specificity(prediction: VaePrediction, batch: Batch, settings: PerturbedVaeConfig) -> Tensor:
    return specific_contrast(
        prediction.z_specific, prediction.shift.a, batch.perturbation_row, settings.contrastive_temperature
    )


Alignment = Callable[[VaePrediction, Batch, PerturbedVaeConfig], Tensor]

ALIGNMENTS: dict[str, tuple[Alignment, ...]] = {
    "mmd": (_invariance,),
    "contrastive": (_specificity,),
    "both": (_invariance, _specificity),
    "none": (),
}
"""Terms of each ``perturbed_vae.alignment``, which are added."""


class PerturbedVaeObjective(Objective):
    """MSE + (beta (KL_I + KL_eps) + lambda_s KL_mask + lambda_a L_align) / N for N genes.

    KL_mask is summed over the genes of a perturbation and averaged over perturbations, the other terms over
    rows. MSE is the mean over genes, as other systems report it. The other terms are weighed against the sum
    over genes, so that weights mean the same for any number of genes.
    """

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int) -> None:
        super().__init__()
        self.settings = config.perturbed_vae
        self.n_genes = dataset.n_genes
        is_cells = resolve_rows(dataset.shared, self.settings.rows) == "cells"
        self.rows = ROWS["cell" if is_cells else config.data.control](dataset, "cells")
        self.resolved = {}

    def forward(self, prediction: VaePrediction, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss and its terms, all but the first before their weights."""
        settings = self.settings
        squared = (prediction.delta - batch.target_delta).square().mean(dim=-1)
        recon = (batch.weight * squared).mean()
        if prediction.control_error is not None:
            recon = (recon + prediction.control_error.square().mean()) / 2
        kl = prediction.divergence.mean()
        mask_kl = MASKS[settings.mask].divergence(prediction.shift.mask_logits, settings.mask_prior)
        mask = mask_kl.sum() / len(prediction.shift.a)
        align = torch.zeros_like(recon)
        for term in ALIGNMENTS[settings.alignment]:
            align = align + term(prediction, batch, settings)
        regularised = settings.beta * kl + settings.lambda_sparsity * mask + settings.lambda_align * align
        return {
            "loss_total": recon + regularised / self.n_genes,
            "loss_recon": recon,
            "loss_kl": kl,
            "loss_mask": mask,
            "loss_align": align,
        }
