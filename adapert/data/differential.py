"""Differentially expressed genes: a test of a perturbation's cells against controls, gene by gene.

Mann-Whitney is the field's (cell-eval, pdex) and the default; Welch's t needs nothing but sums.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse
import scipy.special

from adapert.data.row_chunks import VALUES_AT_ONCE, starts_of
from adapert.data.schema import BoolArray, FloatArray, IntArray

DegAdjust: TypeAlias = Literal["fdr", "none"]
DegTest: TypeAlias = Literal["mann_whitney", "welch"]

Expression: TypeAlias = scipy.sparse.csr_array | FloatArray
"""Sparse or dense, (n_cells, n_genes), finite; float32 as in prepared data, others compared as they are."""

DEG_LEVEL = 0.05
"""False discovery rate, or p-value where nothing is adjusted (Eq. 14)."""

NO_SPREAD = 1e-12
"""Share of the sum of squares below which a sum of squared deviations is rounding error."""


@dataclass(frozen=True, kw_only=True)
class GeneTests:
    """Result of a test of each gene.

    Attributes:
        statistic: U or t of the perturbed cells, (n_genes,).
        p_values: Two-sided, (n_genes,).
    """

    statistic: FloatArray
    p_values: FloatArray


TestCells: TypeAlias = Callable[[Expression], GeneTests]
"""Test of a perturbation's cells against control cells that it was made with."""


@dataclass(frozen=True, kw_only=True)
class SortedControls:
    """Control cells sorted once, so that each perturbation only looks its own values up.

    Zeros, of which there are most, are counted instead of sorted. An infinity ends each gene's values,
    so that a search never leaves them.

    Attributes:
        n_cells: Number of control cells.
        values: Distinct non-zero values, ascending within a gene, genes one after the other, (n_distinct,).
        n_below: Non-zero values of the gene that are lower, (n_distinct,).
        gene_start: Where each gene's values start, (n_genes + 1,).
        n_zeros: Control cells without the gene, (n_genes,).
        n_negative: Values below zero, (n_genes,).
        tie_sum: Sum of t^3 - t over each gene's groups of t tied non-zero values, (n_genes,).
    """

    n_cells: int
    values: FloatArray
    n_below: IntArray
    gene_start: IntArray
    n_zeros: IntArray
    n_negative: IntArray
    tie_sum: FloatArray


@dataclass(frozen=True, kw_only=True)
class CellSums:
    """Sufficient statistics of a group of cells.

    Attributes:
        n_cells: Number of cells.
        sums: Sum of expression, (n_genes,).
        square_sums: Sum of squared expression, (n_genes,).
        share_sums: Sum of each cell's share of the mean, expression / `n_cells`, (n_genes,). It is the mean,
            rounded as cell-eval's: where it is the controls' but for rounding, both find the same sign.
    """

    n_cells: int
    sums: FloatArray
    square_sums: FloatArray
    share_sums: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Mean expression, (n_genes,); exact for a constant gene."""
        return self.sums / self.n_cells

    @property
    def variance(self) -> FloatArray:
        """Unbiased variance of two cells or more, (n_genes,); exactly 0 for a constant gene."""
        return variance_of(self.n_cells, self.sums, self.square_sums)


def variance_of(n_cells: int | FloatArray, sums: FloatArray, square_sums: FloatArray) -> FloatArray:
    """Compute unbiased variances from sums over cells, and exactly 0 for a constant gene or a single cell.

    Args:
        n_cells: Number of cells; anything that `sums` broadcasts with.
        sums: Sums of expression.
        square_sums: Sums of its square, as `sums`.
    """
    deviations = square_sums - sums * (sums / n_cells)
    deviations[deviations < NO_SPREAD * square_sums] = 0.0  # what rounding leaves
    return deviations / np.maximum(n_cells - 1, 1)


def sort_controls(expression: Expression) -> SortedControls:
    """Sort control cells, (n_cells, n_genes), for `mann_whitney`."""
    n_cells = expression.shape[0]
    blocks = [
        _count_distinct(np.pad(ordered, ((0, 0), (0, 1)), constant_values=np.inf))
        for ordered in _sorted_by_gene(expression)
    ]
    counted = _join(blocks)
    return SortedControls(
        n_cells=n_cells,
        values=counted.values,
        n_below=counted.n_below,
        gene_start=starts_of(counted.n_distinct),
        n_zeros=n_cells - (counted.n_values - 1),
        n_negative=counted.n_negative,
        # Block by block: to sum over all genes at once, each value would need its gene's number, and these
        # would take as much memory as the values.
        tie_sum=np.concatenate([_sum_by_gene(block, _tie_term(block.counts)) for block in blocks]),
    )


def mann_whitney(expression: Expression, controls: SortedControls) -> GeneTests:
    """Test each gene's expression in a perturbation's cells against controls.

    Two-sided, normal approximation, corrected for ties and continuity: what
    ``scipy.stats.mannwhitneyu(cells, controls, method="asymptotic")`` gives, but controls are not
    sorted again for every perturbation. U counts the pairs of a perturbed and a control cell in which
    the perturbed is higher, a tie as half a pair: scipy's convention and pdex's; the other is
    ``n_cells * n_controls - U``.

    Args:
        expression: The perturbation's cells, (n_cells, n_genes).
        controls: Cells to compare with.

    Returns:
        U, and p-values; 1 for a gene that is the same in every cell.
    """
    n_cells, n_genes = expression.shape
    counted = _join([_count_distinct(ordered) for ordered in _sorted_by_gene(expression)])
    values, counts = counted.values, counted.counts
    gene = np.repeat(np.arange(n_genes), counted.n_distinct)
    below, tied = _look_up(values, counted.n_distinct, controls)
    n_zeros = n_cells - counted.n_values

    below = below + np.where(values > 0, controls.n_zeros[gene], 0)
    pairs = np.bincount(gene, counts * (below + tied / 2), n_genes)
    u = pairs + n_zeros * (controls.n_negative + controls.n_zeros / 2)
    joined_ties = np.bincount(gene, _tie_term(tied + counts) - _tie_term(tied), n_genes)
    tie_sum = controls.tie_sum + joined_ties + _tie_term(n_zeros + controls.n_zeros)
    return GeneTests(statistic=u, p_values=_two_sided_p_values(u, tie_sum, n_cells, controls.n_cells))


def sum_cells(expression: Expression) -> CellSums:
    """Sum cells, (n_cells, n_genes), one after the other, for `welch` and fold changes."""
    n_cells, n_genes = expression.shape
    share = 1.0 / n_cells
    if isinstance(expression, np.ndarray):
        cells = expression.astype(np.float64, order="C")
        sums, square_sums = cells.sum(axis=0), np.square(cells).sum(axis=0)
        share_sums = (cells * share).sum(axis=0)
    else:
        values = expression.data.astype(np.float64)
        sums = np.bincount(expression.indices, values, n_genes)
        square_sums = np.bincount(expression.indices, values**2, n_genes)
        share_sums = np.bincount(expression.indices, values * share, n_genes)
    return CellSums(n_cells=n_cells, sums=sums, square_sums=square_sums, share_sums=share_sums)


def welch(expression: Expression, controls: CellSums) -> GeneTests:
    """Test each gene's mean in a perturbation's cells against controls, variances unequal.

    What ``scipy.stats.ttest_ind(cells, controls, equal_var=False)`` gives for cells (n_cells, n_genes), from
    sums alone; where scipy has no answer (one cell, or a gene that is the same in every cell) p is 1.

    Returns:
        t, NaN where scipy has none; and p-values of Student's t at Welch's degrees of freedom.
    """
    cells = sum_cells(expression)
    if min(cells.n_cells, controls.n_cells) < 2:
        return GeneTests(statistic=np.full_like(cells.sums, np.nan), p_values=np.ones_like(cells.sums))
    error, control_error = (group.variance / group.n_cells for group in (cells, controls))
    squares = error + control_error
    # Two constants have an infinite t where they differ, and none where they do not.
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (cells.mean - controls.mean) / np.sqrt(squares)
        freedom = squares**2 / (error**2 / (cells.n_cells - 1) + control_error**2 / (controls.n_cells - 1))
    p_values = np.nan_to_num(2 * scipy.special.stdtr(freedom, -np.abs(t)), nan=1.0)
    return GeneTests(statistic=t, p_values=np.where(np.isinf(t), 0.0, p_values))


DEG_TESTS: dict[DegTest, Callable[[Expression], TestCells]] = {
    "mann_whitney": lambda controls: partial(mann_whitney, controls=sort_controls(controls)),
    "welch": lambda controls: partial(welch, controls=sum_cells(controls)),
}
"""Makes a test of control cells, to run on each perturbation's cells."""


def call_degs(p_values: FloatArray, adjust: DegAdjust) -> BoolArray:
    """Call the differentially expressed genes of one perturbation.

    Args:
        p_values: One per gene, (n_genes,).
        adjust: ``"fdr"`` controls the false discovery rate within the perturbation
            (Benjamini-Hochberg); ``"none"`` is Eq. 14 to the letter.

    Returns:
        Whether each gene is a DEG, (n_genes,).
    """
    if adjust == "fdr":
        from scipy.stats import false_discovery_control  # takes half a second, and only this needs it

        p_values = false_discovery_control(p_values)
    return p_values < DEG_LEVEL


class _Distinct(NamedTuple):
    """Distinct non-zero values of some genes, in order.

    Attributes:
        values: Ascending within a gene, genes one after the other, (n_distinct_of_all,).
        counts: Cells that have each value, (n_distinct_of_all,).
        n_below: Non-zero values of the gene that are lower, (n_distinct_of_all,).
        n_distinct: Distinct values of each gene, (n_genes,).
        n_values: Non-zero values of each gene, (n_genes,).
        n_negative: Values below zero, (n_genes,).
    """

    values: FloatArray
    counts: IntArray
    n_below: IntArray
    n_distinct: IntArray
    n_values: IntArray
    n_negative: IntArray


def _sorted_by_gene(expression: Expression) -> Iterator[FloatArray]:
    """Yield blocks of genes, each gene's values in order, (n_genes of the block, n_cells)."""
    n_cells, n_genes = expression.shape
    n_at_once = max(1, VALUES_AT_ONCE // n_cells)
    # Columns are cut out of csc; where one block has all of them, csr is as good.
    columns: Any = expression
    if not isinstance(expression, np.ndarray) and n_at_once < n_genes:
        columns = expression.tocsc()
    for start in range(0, n_genes, n_at_once):
        block = columns[:, start : start + n_at_once]
        dense = block if isinstance(block, np.ndarray) else block.toarray()
        ordered = np.array(dense.T, dtype=np.result_type(dense.dtype, np.float32), order="C")
        ordered.sort(axis=1)
        yield ordered


def _count_distinct(ordered: FloatArray) -> _Distinct:
    is_value = ordered != 0
    is_new = is_value.copy()
    is_new[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    n_distinct, n_values = is_new.sum(axis=1), is_value.sum(axis=1)
    # Where a distinct value starts among all non-zero values, gene after gene.
    start = np.flatnonzero(is_new[is_value])
    return _Distinct(
        values=ordered[is_new],
        counts=np.diff(start, append=n_values.sum()).astype(np.int32),
        n_below=(start - np.repeat(starts_of(n_values)[:-1], n_distinct)).astype(np.int32),
        n_distinct=n_distinct,
        n_values=n_values,
        n_negative=(ordered < 0).sum(axis=1),
    )


def _join(blocks: list[_Distinct]) -> _Distinct:
    return _Distinct(*(np.concatenate(arrays) for arrays in zip(*blocks, strict=True)))


def _sum_by_gene(block: _Distinct, values: FloatArray) -> FloatArray:
    gene = np.repeat(np.arange(len(block.n_distinct)), block.n_distinct)
    return np.bincount(gene, values, len(block.n_distinct)).astype(np.float64, copy=False)


def _look_up(values: FloatArray, n_distinct: IntArray, controls: SortedControls) -> tuple[IntArray, IntArray]:
    """Find each value among its gene's controls.

    Returns:
        Non-zero controls below each value, and tied with it, (n_values,).
    """
    sought = controls.values
    spans = pairwise(controls.gene_start.tolist()), pairwise(starts_of(n_distinct).tolist())
    # One gene at a time: its controls fit in the processor's cache, those of all genes do not.
    found = [sought[a:b].searchsorted(values[c:d]) for (a, b), (c, d) in zip(*spans, strict=True)]
    index = np.concatenate(found) + np.repeat(controls.gene_start[:-1], n_distinct)
    below = controls.n_below[index]
    tied = np.zeros(len(values), dtype=np.int32)
    hits = np.flatnonzero(controls.values[index] == values)
    tied[hits] = controls.n_below[index[hits] + 1] - below[hits]
    return below, tied


def _tie_term(counts: IntArray | FloatArray) -> FloatArray:
    as_float = np.asarray(counts, dtype=np.float64)
    return as_float * as_float * as_float - as_float  # numpy's **3 takes five times as long


def _two_sided_p_values(u: FloatArray, tie_sum: FloatArray, n_cells: int, n_controls: int) -> FloatArray:
    n_total = n_cells + n_controls
    n_pairs = n_cells * n_controls
    variance = n_pairs / 12 * (n_total + 1 - tie_sum / (n_total * (n_total - 1)))
    # Rounding leaves a constant gene's variance anywhere around zero, far below that of one odd cell.
    is_constant = variance < 1e-9 * n_pairs * n_total
    distance = np.abs(u - n_pairs / 2) - 0.5
    z = distance / np.sqrt(np.where(is_constant, 1.0, variance))
    return np.where(is_constant, 1.0, np.clip(2 * scipy.special.ndtr(-z), 0, 1))
