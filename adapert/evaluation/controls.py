"""Which control cells each perturbation is matched to, and tested against."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from adapert.data.array_tables import PerturbationTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import BoolArray, FloatArray, IntArray, StringArray


@dataclass(frozen=True, kw_only=True)
class ControlCells:
    """The control cells of a data set, found by matching group and by cell line, as `prepare` did.

    Attributes:
        expression: log1p units, (n_controls, n_genes).
        batch_index: Matching group of each, (n_controls,).
        batch_lines: Cell line of each matching group, (n_batches,).
        batch_mean: Mean of the controls matched to each group, log1p units, (n_batches, n_genes).
        min_batch_controls: Controls that a group must have to be compared with its own.
    """

    expression: scipy.sparse.csr_array
    batch_index: IntArray
    batch_lines: StringArray
    batch_mean: FloatArray
    min_batch_controls: int

    def matched_rows(self, batch: int) -> IntArray:
        """Rows of the controls matched to a group: its own, or its cell line's, or all, if these are few."""
        pools = (self.batch_index == batch, self._is_of_lines([batch]))
        enough = (pool for pool in pools if pool.sum() >= self.min_batch_controls)
        return np.flatnonzero(next(enough, self._everyone))

    def tested_rows(self, batches: Collection[int]) -> IntArray:
        """Rows of the controls of the cell lines that matching groups lie in; all where there are none."""
        own = self._is_of_lines(batches)
        return np.flatnonzero(own if own.any() else self._everyone)

    @property
    def _everyone(self) -> BoolArray:
        return np.ones(len(self.batch_index), dtype=bool)

    def _is_of_lines(self, batches: Collection[int]) -> BoolArray:
        lines = self.batch_lines[list(batches)]
        return np.isin(self.batch_lines[self.batch_index], lines)


def control_cells(dataset: PreparedDataset) -> ControlCells:
    """Find the control cells of a data set that was prepared from cells."""
    return ControlCells(
        expression=dataset.control_cells.expression(dataset.n_genes),
        batch_index=np.asarray(dataset.control_cells.batch_index),
        batch_lines=_batch_lines(dataset),
        batch_mean=dataset.shared.batch_control_mean,
        min_batch_controls=dataset.manifest.choices.min_batch_controls,
    )


def cells_per_batch(table: PerturbationTable, perturbation: int) -> dict[int, int]:
    """Number of cells that a perturbation has in each of its matching groups."""
    is_own = table.group_perturbation_index == perturbation
    batches, n_cells = table.group_batch_index[is_own], table.group_n_cells[is_own]
    return dict(zip(batches.tolist(), n_cells.tolist(), strict=True))


def pooled_offset(dataset: PreparedDataset, table: PerturbationTable) -> FloatArray:
    """Mean of the controls matched to each perturbation minus that of all controls.

    Added to a delta, it gives the delta against the pooled controls. Matched controls are averaged over the
    perturbation's cells, as in its delta.

    Returns:
        log1p units, (n_perturbations, n_genes).
    """
    profiles = dataset.shared.batch_control_mean.astype(np.float64) - dataset.shared.control_mean
    matched = [cells_per_batch(table, perturbation) for perturbation in range(len(table.perturbations))]
    return np.stack([np.average(profiles[list(n)], axis=0, weights=list(n.values())) for n in matched])


def _batch_lines(dataset: PreparedDataset) -> StringArray:
    """Read the cell line from each matching group's name, ``"line / batch"`` where there are both."""
    batches, choices = dataset.shared.batches, dataset.manifest.choices
    if choices.cell_line_column is None:
        return np.full(len(batches), "")
    if choices.batch_column is None:
        return batches
    # As `adapert.data.labelled` joins them.
    return np.array([name.split(" / ", 1)[0] for name in batches.tolist()])
