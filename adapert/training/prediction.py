"""Prediction of deltas: on the mean control profile, in chunks, without noise."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.network import Network, Prediction, to_tensor
from adapert.models.targets import Targets, build_targets

Predictor: TypeAlias = Callable[[Targets, Tensor, Tensor, Tensor], Prediction]
"""From targets, the distinct perturbation of each row, control profiles, and each row's."""

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
    deltas = predict_targets(network, targets, mean_control(dataset, device))
    predicted: FloatArray = deltas.cpu().numpy()
    return predicted


@torch.no_grad()
def predict_targets(predictor: Predictor, targets: Targets, control: Tensor) -> Tensor:
    """Predict deltas of targets on one control profile, (1, n_genes), where they are.

    Args:
        predictor: A network in evaluation, or what predicts by several at once; called for each chunk.
        targets: Genes of the perturbations.
        control: log1p units.

    Returns:
        log1p units, (..., n_perturbations, n_genes).
    """
    chunks = []
    for chunk in torch.split(torch.arange(len(targets.nodes), device=control.device), PREDICTION_CHUNK):
        rows = torch.arange(len(chunk), device=control.device)
        chunks.append(predictor(targets.take(chunk), rows, control, torch.zeros_like(rows)).delta)
    return torch.cat(chunks, dim=-2)


def mean_control(dataset: PreparedDataset, device: torch.device) -> Tensor:
    """The mean control profile, log1p units, (1, n_genes)."""
    return to_tensor(np.asarray(dataset.shared.control_mean)[None], device)
