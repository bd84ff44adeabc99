"""Prediction of deltas: on the mean control profile, in chunks, without noise."""

from collections.abc import Sequence

import numpy as np
import torch

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.network import Network, to_tensor
from adapert.models.targets import build_targets

PREDICTION_CHUNK = 128
"""Perturbations predicted at once: bounds the memory of scores at chunk x nodes."""


@torch.no_grad()
def predict(
    network: Network, dataset: PreparedDataset, perturbations: Sequence[str], device: torch.device
) -> FloatArray:
    """Predict deltas on the mean control profile: deterministic, whatever the order or company.

    Returns:
        log1p units, (n_perturbations, n_genes).

    Raises:
        InputError: A gene that is not a node of the data set.
    """
    network.eval()
    targets = build_targets(dataset, perturbations, device)
    control = to_tensor(np.asarray(dataset.shared.control_mean)[None], device)
    chunks = []
    for chunk in torch.split(torch.arange(len(perturbations), device=device), PREDICTION_CHUNK):
        rows = torch.arange(len(chunk), device=device)
        chunks.append(network(targets.take(chunk), rows, control, torch.zeros_like(rows)).delta)
    return torch.cat(chunks).cpu().numpy()
