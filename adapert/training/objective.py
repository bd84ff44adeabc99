"""The training objective on a minibatch (Eq. 21 of the AdaPert paper)."""

import numpy as np
import torch
from torch import Tensor

from adapert.models.adapert.losses import non_deg_loss, reconstruction_loss
from adapert.models.adapert.model import Prediction
from adapert.training.prediction import to_tensor
from adapert.training.rows import Minibatch
from adapert.training.state import Training


def minibatch_losses(training: Training, minibatch: Minibatch) -> tuple[dict[str, Tensor], Prediction]:
    """Compute L_total (Eq. 21) and its terms on a minibatch."""
    device, loss = training.device, training.config.loss
    table = training.dataset.splits["train"].table
    distinct, row = np.unique(minibatch.perturbation_index, return_inverse=True)
    perturbation_row = torch.from_numpy(row).to(device)
    is_half = training.config.training.precision == "bfloat16"
    with torch.autocast(device.type, torch.bfloat16, enabled=is_half):
        prediction: Prediction = training.model(
            training.targets.take(torch.from_numpy(distinct).to(device)),
            perturbation_row,
            to_tensor(minibatch.control, device),
            torch.from_numpy(minibatch.control_row).to(device),
            training.generator,
        )
    weight = to_tensor(minibatch.weight, device)
    is_deg = to_tensor(table.deg_mask[distinct], device)
    recon = reconstruction_loss(prediction.delta, to_tensor(minibatch.target_delta, device), weight)
    non = non_deg_loss(
        prediction.delta,
        1 - is_deg[perturbation_row],
        training.resolved.huber_delta,
        loss.non_deg_reduction,
        weight,
    )
    align = training.align(
        prediction.context.z,
        training.target_head(to_tensor(table.delta[distinct], device) * is_deg),
        align_weight(weight, perturbation_row, is_deg) * training.align_scale,
    )
    total = recon + loss.lambda_non * non + loss.lambda_align * align
    losses = {"loss_total": total, "loss_recon": recon, "loss_non": non, "loss_align": align}
    return losses, prediction


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
