"""The training objective on a minibatch."""

import numpy as np
import torch
from torch import Tensor

from adapert.data.rows import Minibatch
from adapert.models.network import Batch, Prediction, to_tensor
from adapert.training.state import Training


def minibatch_losses(training: Training, minibatch: Minibatch) -> tuple[dict[str, Tensor], Prediction]:
    """Compute ``loss_total`` and its terms on a minibatch, and the prediction that they are of."""
    device = training.device
    distinct, row = np.unique(minibatch.perturbation_index, return_inverse=True)
    perturbation_row = torch.from_numpy(row).to(device)
    is_half = training.config.training.precision == "bfloat16"
    perturbations = torch.from_numpy(distinct.astype(np.int64)).to(device)
    batch = Batch(
        perturbations,
        perturbation_row,
        to_tensor(minibatch.target_delta, device),
        to_tensor(minibatch.weight, device),
    )
    with torch.autocast(device.type, torch.bfloat16, enabled=is_half):
        prediction = training.network.forward_in_training(
            training.targets.take(perturbations),
            perturbation_row,
            to_tensor(minibatch.control, device),
            torch.from_numpy(minibatch.control_row).to(device),
            batch.target_delta,
            training.generator,
        )
    return training.objective(prediction, batch), prediction
