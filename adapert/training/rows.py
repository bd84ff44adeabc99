"""Training rows as tensors of the device that trains."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapert.data.rows import MeanControlRows, Minibatch
from adapert.data.schema import IntArray
from adapert.models.network import Batch, send, to_tensor
from adapert.models.row_picks import pick_rows


class RowTensors(NamedTuple):
    """Rows of one optimiser step.

    Attributes:
        perturbations: The distinct ones, as numbers of training perturbations, (n_perturbations,).
        perturbation_row: Distinct perturbation of each row, (n_rows,).
        control: Distinct control profiles, log1p units, (n_controls, n_genes).
        control_row: Control profile of each row, (n_rows,).
        target_delta: Expression minus control, log1p units, (n_rows, n_genes).
        weight: Averages 1 over all training rows, (n_rows,).
    """

    perturbations: Tensor
    perturbation_row: Tensor
    control: Tensor
    control_row: Tensor
    target_delta: Tensor
    weight: Tensor

    @property
    def batch(self) -> Batch:
        """What an objective needs of them."""
        return Batch(self.perturbations, self.perturbation_row, self.target_delta, self.weight)


class MeanTable(NamedTuple):
    """All rows of mean responses on one device, where minibatches are gathered.

    Attributes:
        target_delta: log1p units, (n_perturbations, n_genes).
        weight: (n_perturbations,).
        control: The one control profile, log1p units, (1, n_genes).
    """

    target_delta: Tensor
    weight: Tensor
    control: Tensor

    def take(self, index: Tensor) -> RowTensors:
        """Gather perturbations, none of them twice, (n_rows,)."""
        row = torch.arange(len(index), device=index.device)
        no_row = torch.zeros_like(index)
        target_delta, weight = pick_rows(self.target_delta, index), pick_rows(self.weight, index)
        return RowTensors(index, row, self.control, no_row, target_delta, weight)


def copy_table(rows: MeanControlRows, device: torch.device) -> MeanTable:
    """Copy mean responses to a device."""
    return MeanTable(*(to_tensor(part, device) for part in (rows.table.delta, rows.weight, rows.control)))


def copy_minibatch(minibatch: Minibatch, device: torch.device) -> RowTensors:
    """Copy rows that the host gathered."""
    distinct, row = np.unique(minibatch.perturbation_index, return_inverse=True)
    return RowTensors(
        _index_tensor(distinct, device),
        _index_tensor(row, device),
        to_tensor(minibatch.control, device),
        _index_tensor(minibatch.control_row, device),
        to_tensor(minibatch.target_delta, device),
        to_tensor(minibatch.weight, device),
    )


def copy_order(minibatches: Sequence[IntArray], device: torch.device) -> Sequence[Tensor]:
    """Copy the rows of an epoch's minibatches at once: (..., n_rows) each."""
    order = _index_tensor(np.concatenate(minibatches, axis=-1), device)
    return torch.split(order, [index.shape[-1] for index in minibatches], dim=-1)


def _index_tensor(index: IntArray, device: torch.device) -> Tensor:
    return send(torch.from_numpy(index.astype(np.int64)), device)
