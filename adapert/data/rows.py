"""What a training row is: a perturbation, a perturbation in a batch, or a cell.

With a control input that all cells of a group share, sum_i ||x_hat - x_i||^2 equals
n ||x_hat - mean(x)||^2 plus a constant: training on (mean, count) rows has the gradient of all cells.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from adapert.data.array_tables import PerturbationTable
from adapert.data.corrected_cells import CorrectedCells
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, IntArray


class Minibatch(NamedTuple):
    """Rows of one optimiser step.

    Attributes:
        perturbation_index: Into the training perturbations, (n_rows,).
        control: Distinct control profiles, log1p units, (n_controls, n_genes).
        control_row: Control profile of each row, (n_rows,).
        target_delta: Expression minus control, log1p units, (n_rows, n_genes).
        weight: Averages 1 over all training rows, (n_rows,).
    """

    perturbation_index: IntArray
    control: FloatArray
    control_row: IntArray
    target_delta: FloatArray
    weight: FloatArray


class Rows(Protocol):
    """All training rows of a data set."""

    perturbation_index: IntArray
    weight: FloatArray

    def minibatch(self, index: IntArray, generator: np.random.Generator) -> Minibatch:
        """Gather rows; the generator draws matched control cells where rows are cells."""


class MeanControlRows:
    """A row a perturbation: its mean delta, on the one mean control profile."""

    def __init__(self, dataset: PreparedDataset, weighting: str) -> None:
        self.table = dataset.splits["train"].table
        self.perturbation_index: IntArray = np.arange(len(self.table.perturbations))
        self.weight = row_weights(self.table, self.perturbation_index, self.table.n_cells, weighting)
        self.control = np.array(dataset.shared.control_mean)[None]

    def minibatch(self, index: IntArray, generator: np.random.Generator) -> Minibatch:
        """Gather perturbations."""
        no_row = np.zeros(len(index), dtype=np.int64)
        return Minibatch(index, self.control, no_row, self.table.delta[index], self.weight[index])


class BatchControlRows:
    """A row a perturbation and batch: the mean of its cells, on the batch's mean control profile."""

    def __init__(self, dataset: PreparedDataset, weighting: str) -> None:
        self.table = dataset.splits["train"].table
        self.control_mean = dataset.shared.batch_control_mean
        self.perturbation_index: IntArray = np.array(self.table.group_perturbation_index)
        self.weight = row_weights(self.table, self.perturbation_index, self.table.group_n_cells, weighting)

    def minibatch(self, index: IntArray, generator: np.random.Generator) -> Minibatch:
        """Gather groups."""
        batches, control_row = np.unique(self.table.group_batch_index[index], return_inverse=True)
        control = self.control_mean[batches]
        target = self.table.group_mean[index] - control[control_row]
        return Minibatch(self.perturbation_index[index], control, control_row, target, self.weight[index])


class CellRows:
    """A row a cell, on a control cell drawn from its batch, or from all where the batch has none."""

    def __init__(self, dataset: PreparedDataset, weighting: str) -> None:
        split = dataset.splits["train"]
        self.cells = split.cells.expression(dataset.n_genes)
        self.control_cells = dataset.control_cells.expression(dataset.n_genes)
        self.batch_index = split.cells.batch_index
        self.perturbation_index: IntArray = np.array(split.cells.perturbation_index)
        ones = np.ones(len(split.cells))
        self.weight = row_weights(split.table, self.perturbation_index, ones, weighting)
        control_batch = np.asarray(dataset.control_cells.batch_index)
        self.controls_of_batch = {
            batch: np.flatnonzero(control_batch == batch) for batch in np.unique(control_batch)
        }
        self.all_controls = np.arange(len(control_batch))

    def minibatch(self, index: IntArray, generator: np.random.Generator) -> Minibatch:
        """Gather cells and draw a matched control cell for each."""
        control = self.control_cells[self.match(index, generator)].toarray()
        return self.pair(index, self.cells[index].toarray(), control)

    def match(self, index: IntArray, generator: np.random.Generator) -> IntArray:
        """Draw the number of a control cell for each row."""
        drawn = [
            generator.choice(self.controls_of_batch.get(batch, self.all_controls))
            for batch in self.batch_index[index]
        ]
        return np.array(drawn)

    def pair(self, index: IntArray, cells: FloatArray, control: FloatArray) -> Minibatch:
        """Make a minibatch of cells and the control cell of each, (n_rows, n_genes) both."""
        rows = np.arange(len(index))
        return Minibatch(self.perturbation_index[index], control, rows, cells - control, self.weight[index])


class CorrectedCellRows(CellRows):
    """A row a cell on a drawn control cell as in `CellRows`, each without what its batch adds to controls."""

    def __init__(self, dataset: PreparedDataset, weighting: str) -> None:
        super().__init__(dataset, weighting)
        self.corrected = CorrectedCells(dataset.splits["train"].cells, dataset.shared)
        self.corrected_controls = CorrectedCells(dataset.control_cells, dataset.shared)

    def minibatch(self, index: IntArray, generator: np.random.Generator) -> Minibatch:
        """Gather cells and draw a matched control cell for each."""
        control = self.corrected_controls.take(self.match(index, generator))
        return self.pair(index, self.corrected.take(index), control)


ROWS: dict[str, Callable[[PreparedDataset, str], Rows]] = {
    "mean": MeanControlRows,
    "batch_mean": BatchControlRows,
    "cell": CellRows,
}


def row_weights(
    table: PerturbationTable, perturbation_index: IntArray, n_cells: FloatArray | IntArray, weighting: str
) -> FloatArray:
    """Weigh rows by their cells, or so that every perturbation weighs the same; mean 1.

    Args:
        table: The training split's.
        perturbation_index: Perturbation of each row, (n_rows,).
        n_cells: Cells of each row, (n_rows,).
        weighting: ``"cells"`` or ``"perturbations"``.

    Returns:
        (n_rows,).
    """
    # In float64 until the end: totals over all cells of a large data set exceed float32's digits.
    weight: FloatArray = np.asarray(n_cells, dtype=np.float64)
    if weighting == "perturbations":
        totals = np.bincount(perturbation_index, weight, len(table.perturbations))
        weight = weight / totals[perturbation_index]
    normalised: FloatArray = (weight / weight.mean()).astype(np.float32)
    return normalised
