"""Scores of the validation split after each epoch."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.network import to_tensor
from adapert.models.targets import Targets, build_targets
from adapert.models.tensor_metrics import epoch_means
from adapert.training.prediction import mean_control


class ValidationTable(NamedTuple):
    """The validation split on a device.

    Attributes:
        nodes: Of `targets`.
        is_gene: Of `targets`.
        control: Mean control profile, log1p units, (1, n_genes).
        observed_delta: log1p units, (n_perturbations, n_genes).
        deg_mask: True DEGs, bool, as `observed_delta`.
    """

    nodes: Tensor
    is_gene: Tensor
    control: Tensor
    observed_delta: Tensor
    deg_mask: Tensor

    @property
    def targets(self) -> Targets:
        """The genes that its perturbations target."""
        return Targets(self.nodes, self.is_gene)


def copy_validation(dataset: PreparedDataset, device: torch.device) -> ValidationTable:
    """Copy the validation split to a device."""
    table = dataset.splits["validation"].table
    return ValidationTable(
        *build_targets(dataset, list(table.perturbations), device),
        mean_control(dataset, device),
        to_tensor(table.delta, device),
        torch.from_numpy(np.array(table.deg_mask, dtype=bool)).to(device),
    )


class Validated(NamedTuple):
    """What validation came to.

    Attributes:
        scores: Means over validation perturbations of the metrics of every epoch.
        report: What the network reports of its training predictions.
        n_bad: Perturbations whose prediction is NaN or infinite.
    """

    scores: Mapping[str, float]
    report: Mapping[str, float]
    n_bad: int


def score_on_device(predicted_delta: Tensor, table: ValidationTable) -> dict[str, Tensor]:
    """Score predictions, (..., n_perturbations, n_genes), where they are: the metrics and ``"n_bad"``."""
    scores = epoch_means(predicted_delta, table.observed_delta, table.deg_mask)
    return scores | {"n_bad": (~predicted_delta.isfinite()).any(dim=-1).sum(dim=-1)}


def read_together(*groups: Mapping[str, Tensor]) -> list[dict[str, FloatArray]]:
    """Read tensors of any shape from their device, those of all groups at once, as float64."""
    tensors = [tensor for group in groups for tensor in group.values()]
    flat = torch.cat([tensor.double().flatten() for tensor in tensors]).cpu().numpy()
    parts = iter(np.split(flat, np.cumsum([tensor.numel() for tensor in tensors])[:-1]))
    return [{name: next(parts).reshape(tensor.shape) for name, tensor in group.items()} for group in groups]
