"""Real cells of a split's perturbations, and their sums."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from adapert.data.differential import CellSums, sum_cells, variance_of
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, IntArray, SplitName


def cells_by_perturbation(dataset: PreparedDataset, split: SplitName) -> Iterator[scipy.sparse.csr_array]:
    """Yield each perturbation's cells in turn, log1p units, (n_cells, n_genes) each."""
    part = dataset.splits[split]
    expression = part.cells.expression(dataset.n_genes)
    for perturbation in range(len(part.table.perturbations)):
        yield expression[np.flatnonzero(part.cells.perturbation_index == perturbation)]


@dataclass(frozen=True, kw_only=True)
class CellMoments:
    """Sums over the cells of each perturbation.

    Attributes:
        n_cells: (n_perturbations,).
        sums: Sums of expression, log1p units, (n_perturbations, n_genes).
        square_sums: Sums of its square, as `sums`.
        means: Mean expression, rounded as `CellSums.share_sums`, as `sums`.
    """

    n_cells: IntArray
    sums: FloatArray
    square_sums: FloatArray
    means: FloatArray

    @classmethod
    def of(cls, sums: Sequence[CellSums]) -> "CellMoments":
        """Put the sums of each perturbation's cells below each other."""
        return cls(
            n_cells=np.array([one.n_cells for one in sums]),
            sums=np.stack([one.sums for one in sums]),
            square_sums=np.stack([one.square_sums for one in sums]),
            means=np.stack([one.share_sums for one in sums]),
        )


def measure_moments(cells: Iterable[scipy.sparse.csr_array]) -> CellMoments:
    """Sum each perturbation's cells, log1p units, (n_cells, n_genes) each, in double precision."""
    return CellMoments.of([sum_cells(expression) for expression in cells])


def t_against_rest(moments: CellMoments) -> FloatArray:
    """Score how far a perturbation's cells lie from those of all others: the DEG score of Mejia et al. 2025.

    Welch's t with the number of the perturbation's cells in both terms (scanpy: ``t-test_overestim_var``),
    the rest being the cells of the other perturbations.

    Returns:
        (n_perturbations, n_genes); 0 for a gene without variance, and for a single perturbation.
    """
    n = moments.n_cells[:, None].astype(np.float64)
    n_rest = n.sum() - n
    if not n_rest.all():
        return np.zeros_like(moments.sums)
    rest_sums = moments.sums.sum(axis=0) - moments.sums
    variance = variance_of(n, moments.sums, moments.square_sums)
    rest_variance = variance_of(n_rest, rest_sums, moments.square_sums.sum(axis=0) - moments.square_sums)
    squared_error = (variance + rest_variance) / n
    distance = moments.sums / n - rest_sums / n_rest
    is_constant = squared_error <= 0
    return np.where(is_constant, 0.0, distance / np.sqrt(np.where(is_constant, 1.0, squared_error)))
