"""What a training row is: a perturbation, a perturbation in a batch, a cell, or a set of cells.

With a control input that all cells of a group share, sum_i ||x_hat - x_i||^2 equals
n ||x_hat - mean(x)||^2 plus a constant: training on (mean, count) rows has the gradient of all cells.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from adapert.data.array_tables import PerturbationTable, SharedTable
from adapert.data.corrected_cells import CorrectedCells
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, IntArray


class Minibatch(NamedTuple):
    """Rows of one optimiser step; of sets, their cells, set after set.

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


class ControlCells:
    """Control cells to draw from: those of a batch, or all where it has none."""

    def __init__(self, dataset: PreparedDataset) -> None:
        self.expression = dataset.control_cells.expression(dataset.n_genes)
        batch_index = np.asarray(dataset.control_cells.batch_index)
        self._of_batch = {batch: np.flatnonzero(batch_index == batch) for batch in np.unique(batch_index)}
        self._all = np.arange(len(batch_index))

    def of_batch(self, batch: int) -> IntArray:
        """Number the cells that perturbed cells of a batch are matched with."""
        return self._of_batch.get(batch, self._all)


class CellRows:
    """A row a cell, on a control cell drawn from its batch, or from all where the batch has none."""

    def __init__(self, dataset: PreparedDataset, weighting: str) -> None:
        split = dataset.splits["train"]
        self.cells = split.cells.expression(dataset.n_genes)
        self.controls = ControlCells(dataset)
        self.batch_index = split.cells.batch_index
        self.perturbation_index: IntArray = np.array(split.cells.perturbation_index)
        ones = np.ones(len(split.cells))
        self.weight = row_weights(split.table, self.perturbation_index, ones, weighting)

    def minibatch(self, index: IntArray, generator: np.random.Generator) -> Minibatch:
        """Gather cells and draw a matched control cell for each."""
        control = self.controls.expression[self.match(index, generator)].toarray()
        return self.pair(index, self.cells[index].toarray(), control)

    def match(self, index: IntArray, generator: np.random.Generator) -> IntArray:
        """Draw the number of a control cell for each row."""
        batches = self.batch_index[index]
        return np.array([generator.choice(self.controls.of_batch(batch)) for batch in batches])

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


class CellSetRows:
    """A row a set: some cells of one perturbation and batch, and as many control cells of that batch.

    A group of n cells has n // set_size sets an epoch, and at least one. The cells of a set are drawn when
    its minibatch is, by themselves, so that an epoch leaves out some cells of a group, and the next other
    ones. Cells are drawn without replacement, or with it where there are fewer than a set has.
    """

    def __init__(self, dataset: PreparedDataset, weighting: str, set_size: int) -> None:
        split = dataset.splits["train"]
        self.set_size = set_size
        self.cells = split.cells.expression(dataset.n_genes)
        self.controls = ControlCells(dataset)
        perturbation, batch = np.array(split.cells.perturbation_index), np.array(split.cells.batch_index)
        by_group = np.lexsort((batch, perturbation))
        is_next = np.diff(perturbation[by_group]).astype(bool) | np.diff(batch[by_group]).astype(bool)
        self.groups = np.split(by_group, np.flatnonzero(is_next) + 1)
        n_cells = np.array([len(group) for group in self.groups])
        n_sets = np.maximum(n_cells // set_size, 1)
        self.group_index = np.repeat(np.arange(len(self.groups)), n_sets)
        first_cell = np.array([group[0] for group in self.groups])[self.group_index]
        self.batch_index = batch[first_cell]
        self.perturbation_index: IntArray = perturbation[first_cell]
        share = (n_cells / n_sets)[self.group_index]
        self.weight = row_weights(split.table, self.perturbation_index, share, weighting)

    def minibatch(self, index: IntArray, generator: np.random.Generator) -> Minibatch:
        """Draw the cells of sets; `set_size` rows each."""
        drawn = [self._draw(self.groups[group], generator) for group in self.group_index[index]]
        matched = [self._draw(self.controls.of_batch(batch), generator) for batch in self.batch_index[index]]
        control = self.controls.expression[np.concatenate(matched)].toarray()
        target = self.cells[np.concatenate(drawn)].toarray() - control
        of_each = np.repeat(index, self.set_size)
        rows = np.arange(len(of_each))
        return Minibatch(self.perturbation_index[of_each], control, rows, target, self.weight[of_each])

    def _draw(self, cells: IntArray, generator: np.random.Generator) -> IntArray:
        # Sorted, since they come from memory-mapped files: in a set the order says nothing.
        return np.sort(generator.choice(cells, self.set_size, replace=len(cells) < self.set_size))


ROWS: dict[str, Callable[[PreparedDataset, str], Rows]] = {
    "mean": MeanControlRows,
    "batch_mean": BatchControlRows,
    "cell": CellRows,
}


def resolve_rows(shared: SharedTable, rows: str) -> str:
    """Resolve ``"auto"``: ``"cells"``, or ``"means"`` where controls are 0, as of responses."""
    if rows != "auto":
        return rows
    return "cells" if np.asarray(shared.control_mean).any() else "means"


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
