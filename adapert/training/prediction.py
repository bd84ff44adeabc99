"""Prediction of deltas: on the mean control profile, in chunks, without noise."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import BoolArray, FloatArray
from adapert.models.adapert.model import AdaPert, build_targets

PREDICTION_CHUNK = 64
"""Perturbations predicted at once: bounds the memory of scores at chunk x nodes."""


@torch.no_grad()
def predict(
    model: AdaPert, dataset: PreparedDataset, perturbations: Sequence[str], device: torch.device
) -> FloatArray:
    """Predict deltas on the mean control profile: deterministic, whatever the order or company.

    Returns:
        log1p units, (n_perturbations, n_genes).

    Raises:
        InputError: A gene that is not a node of the data set.
    """
    targets = build_targets(dataset, perturbations, device)
    control = to_tensor(np.asarray(dataset.shared.control_mean)[None], device)
    chunks = []
    for chunk in torch.split(torch.arange(len(perturbations), device=device), PREDICTION_CHUNK):
        rows = torch.arange(len(chunk), device=device)
        chunks.append(model(targets.take(chunk), rows, control, torch.zeros_like(rows)).delta)
    return torch.cat(chunks).cpu().numpy()


def to_tensor(array: FloatArray | BoolArray, device: torch.device) -> Tensor:
    """Copy an array to a device as float32."""
    return torch.from_numpy(np.array(array, dtype=np.float32)).to(device)
