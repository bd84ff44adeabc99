"""Cells of perturbations, emitted or real, tested against the control cells that `prepare` tests against."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse

from adapert.data.array_tables import PerturbationTable
from adapert.data.differential import DEG_TESTS, DegTest, TestCells, call_degs, sum_cells
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.evaluation.controls import cells_per_batch, control_cells
from adapert.evaluation.de_metrics import DifferentialExpression, log2_fold_change


@dataclass(frozen=True)
class _Pool:
    """Controls of the same cell lines, averaged and sorted once for all perturbations in these."""

    expression: scipy.sparse.csr_array
    deg_test: DegTest

    @cached_property
    def mean(self) -> FloatArray:
        return sum_cells(self.expression).share_sums

    @cached_property
    def test(self) -> TestCells:
        return DEG_TESTS[self.deg_test](self.expression)


class ControlTests:
    """Compare cells of a split's perturbations with the controls of their cell lines.

    The test and its adjustment are those that the data set's own DEGs were called with: by default
    Mann-Whitney, false discovery rate per perturbation. The data set must be prepared from cells.
    """

    def __init__(self, dataset: PreparedDataset, table: PerturbationTable) -> None:
        controls, pools = control_cells(dataset), dict[bytes, _Pool]()
        choices = dataset.manifest.choices
        self._adjust = choices.deg_adjust
        self._pools = []
        for perturbation in range(len(table.perturbations)):
            rows = controls.tested_rows(cells_per_batch(table, perturbation))
            # Perturbations in the same cell lines share controls, which take long to sort.
            if rows.tobytes() not in pools:
                pools[rows.tobytes()] = _Pool(controls.expression[rows], choices.deg_test)
            self._pools.append(pools[rows.tobytes()])

    def fold_changes(self, means: Iterable[FloatArray]) -> FloatArray:
        """Compare mean profiles with the controls'.

        Args:
            means: Mean expression of each perturbation, log1p units, float64, (n_genes,) each.

        Returns:
            From `log2_fold_change`, (n_perturbations, n_genes).
        """
        pairs = zip(means, self._pools, strict=True)
        return np.stack([log2_fold_change(mean, pool.mean) for mean, pool in pairs])

    def differential_expression(
        self, cells: Iterable[FloatArray | scipy.sparse.csr_array]
    ) -> DifferentialExpression:
        """Test each perturbation's cells.

        Args:
            cells: Expression of each perturbation's cells, log1p units, (n_cells, n_genes) each; one at a
                time is held.
        """
        means, deg_mask = [], []
        for expression, pool in zip(cells, self._pools, strict=True):
            deg_mask.append(call_degs(pool.test(expression).p_values, self._adjust))
            means.append(sum_cells(expression).share_sums)
        return DifferentialExpression(log2_fold_change=self.fold_changes(means), deg_mask=np.stack(deg_mask))
