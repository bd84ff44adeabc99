"""The control cells that a network of single cells predicts from."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from adapert.data.corrected_cells import CorrectedCells
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, IntArray
from adapert.seeding import numpy_generator

N_CONTROL_CELLS = 256
"""Control cells that a prediction is the mean over."""


def draw_control_cells(dataset: PreparedDataset, seed: int, n_cells: int = N_CONTROL_CELLS) -> FloatArray:
    """Draw control cells by a trial's seed; repeatedly where there are fewer.

    Of a data set without splits they are 0: the trained weights that it is given with bring their own.

    Returns:
        log1p units, (n_cells, n_genes).
    """
    if not dataset.splits:
        return np.zeros((n_cells, dataset.n_genes))
    rows = _draw_rows(dataset, seed, n_cells)
    cells: FloatArray = dataset.control_cells.expression(dataset.n_genes)[rows].toarray()
    return cells


def draw_corrected_controls(dataset: PreparedDataset, seed: int) -> FloatArray:
    """Draw the same cells as `draw_control_cells`, each without what its batch adds (`CorrectedCells`)."""
    if not dataset.splits:
        return np.zeros((N_CONTROL_CELLS, dataset.n_genes))
    return CorrectedCells(dataset.control_cells, dataset.shared).take(
        _draw_rows(dataset, seed, N_CONTROL_CELLS)
    )


def mean_changes(decode: Callable[[Tensor], Tensor], latents: Tensor, shifts: Tensor) -> Tensor:
    """Average over cells what shifts of their latents change: mean of decode(z + shift) - decode(z).

    What a decoder gets wrong of a cell cancels, and a shift of 0 changes exactly nothing. One shift is
    decoded at a time, so that memory holds the cells once, and company changes nothing.

    Args:
        decode: From latents, (n_cells, size), to expression, log1p units, (n_cells, n_genes).
        latents: z of control cells, (n_cells, size).
        shifts: (n_perturbations, size).

    Returns:
        log1p units, (n_perturbations, n_genes).
    """
    before = decode(latents)
    return torch.stack([(decode(latents + shift) - before).mean(dim=0) for shift in shifts])


def _draw_rows(dataset: PreparedDataset, seed: int, n_cells: int) -> IntArray:
    n_there = len(dataset.control_cells)
    generator = numpy_generator(seed, "control_cells")
    return np.sort(generator.choice(n_there, n_cells, replace=n_there < n_cells))
