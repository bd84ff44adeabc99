"""PerturbedVAE's objective: an evidence lower bound, sparse masks, and the alignment (own construction)."""

from collections.abc import Callable

import torch
from torch import Tensor

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import ROWS, resolve_rows
from adapert.models.discrepancies import squared_mmd
from adapert.models.network import Batch, Objective
from adapert.models.perturbed_vae.alignment import specific_contrast
from adapert.models.perturbed_vae.latent import MASKS, log_mask_prior
from adapert.models.perturbed_vae.model import VaePrediction


def _invariance(prediction: VaePrediction, batch: Batch, temperature: Tensor) -> Tensor:
    """MMD of z_I of perturbed cells and control cells of their batches; 0 of means, which have one z_I."""
    if prediction.z_invariant is None:
        return batch.weight.new_zeros(())
    return squared_mmd(*prediction.z_invariant)


def _specificity(prediction: VaePrediction, batch: Batch, temperature: Tensor) -> Tensor:
    return specific_contrast(prediction.z_specific, prediction.shift.a, batch.perturbation_row, temperature)


Alignment = Callable[[VaePrediction, Batch, Tensor], Tensor]

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
        settings = config.perturbed_vae
        self.mask_divergence, self.alignment = MASKS[settings.mask].divergence, ALIGNMENTS[settings.alignment]
        self.n_genes = dataset.n_genes
        # Tensors, as trials trained side by side differ in them.
        self.beta: Tensor
        self.lambda_sparsity: Tensor
        self.lambda_align: Tensor
        self.temperature: Tensor
        self.log_prior: Tensor
        self.register_buffer("beta", torch.tensor(settings.beta), persistent=False)
        self.register_buffer("lambda_sparsity", torch.tensor(settings.lambda_sparsity), persistent=False)
        self.register_buffer("lambda_align", torch.tensor(settings.lambda_align), persistent=False)
        self.register_buffer("temperature", torch.tensor(settings.contrastive_temperature), persistent=False)
        self.register_buffer("log_prior", log_mask_prior(settings.mask_prior), persistent=False)
        is_cells = resolve_rows(dataset.shared, settings.rows) == "cells"
        self.rows = ROWS["cell" if is_cells else config.data.control](dataset, "cells")
        self.resolved = {}

    def forward(self, prediction: VaePrediction, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss and its terms, all but the first before their weights."""
        squared = (prediction.delta - batch.target_delta).square().mean(dim=-1)
        recon = (batch.weight * squared).mean()
        if prediction.control_error is not None:
            recon = (recon + prediction.control_error.square().mean()) / 2
        kl = prediction.divergence.mean()
        shift = prediction.shift
        mask_kl = self.mask_divergence(shift.mask_logits, self.log_prior) * shift.is_gene.unsqueeze(1)
        mask = mask_kl.sum() / len(shift.a)
        align = torch.zeros_like(recon)
        for term in self.alignment:
            align = align + term(prediction, batch, self.temperature)
        regularised = self.beta * kl + self.lambda_sparsity * mask + self.lambda_align * align
        return {
            "loss_total": recon + regularised / self.n_genes,
            "loss_recon": recon,
            "loss_kl": kl,
            "loss_mask": mask,
            "loss_align": align,
        }
