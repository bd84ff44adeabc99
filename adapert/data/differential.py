"""Differentially expressed genes: Mann-Whitney against controls, gene by gene."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse
import scipy.stats

from adapert.data.schema import BoolArray, FloatArray, IntArray

DegAdjust: TypeAlias = Literal["fdr", "none"]

DEG_LEVEL = 0.05
"""False discovery rate, or p-value where nothing is adjusted (Eq. 14)."""


@dataclass(frozen=True, kw_only=True)
class SortedControls:
    """Control cells sorted once, so that each perturbation only looks its own values up.

    Attributes:
        n_cells: Number of control cells.
        keys: Sorted keys of the non-zero values, genes one after the other, (n_nonzero,).
        gene_start: Where each gene's keys start, (n_genes,).
        n_zeros: Control cells without the gene, (n_genes,).
        tie_sum: Sum of t^3 - t over each gene's groups of t tied non-zero values, (n_genes,).
    """

    n_cells: int
    keys: IntArray
    gene_start: IntArray
    n_zeros: IntArray
    tie_sum: FloatArray


def sort_controls(expression: scipy.sparse.csr_array) -> SortedControls:
    """Sort control cells for `mann_whitney_p_values`.

    Args:
        expression: Non-negative, float32, (n_cells, n_genes).
    """
    n_cells, n_genes = expression.shape
    keys = np.sort(_keys(expression))
    gene_start = np.searchsorted(keys, np.arange(n_genes, dtype=np.int64) << 32)
    distinct, counts = np.unique(keys, return_counts=True)
    return SortedControls(
        n_cells=n_cells,
        keys=keys,
        gene_start=gene_start,
        n_zeros=n_cells - np.diff(gene_start, append=len(keys)),
        tie_sum=_sum_by_gene(distinct >> 32, _tie_term(counts), n_genes),
    )


def mann_whitney_p_values(expression: scipy.sparse.csr_array, controls: SortedControls) -> FloatArray:
    """Test each gene's expression in a perturbation's cells against controls.

    Two-sided, normal approximation, corrected for ties and continuity: what
    ``scipy.stats.mannwhitneyu(method="asymptotic")`` gives, but controls are not sorted again for
    every perturbation and zeros are counted instead of sorted, in memory of the non-zero values.

    Args:
        expression: The perturbation's cells, non-negative, float32, (n_cells, n_genes).
        controls: Cells to compare with.

    Returns:
        p-values, (n_genes,); 1 for a gene that is the same in every cell.
    """
    n_cells, n_genes = expression.shape
    keys, counts = np.unique(_keys(expression), return_counts=True)
    gene = keys >> 32
    below = np.searchsorted(controls.keys, keys, side="left") - controls.gene_start[gene]
    tied = np.searchsorted(controls.keys, keys, side="right") - controls.gene_start[gene] - below
    n_zeros = n_cells - _sum_by_gene(gene, counts, n_genes)

    # U counts the pairs in which the perturbed cell is higher, a tie as half a pair.
    pairs = counts * (controls.n_zeros[gene] + below + tied / 2)
    u = n_zeros * controls.n_zeros / 2 + _sum_by_gene(gene, pairs, n_genes)
    joined_ties = _tie_term(tied + counts) - _tie_term(tied)
    tie_sum = (
        controls.tie_sum + _sum_by_gene(gene, joined_ties, n_genes) + _tie_term(n_zeros + controls.n_zeros)
    )
    return _two_sided_p_values(u, tie_sum, n_cells, controls.n_cells)


def call_degs(p_values: FloatArray, adjust: DegAdjust) -> BoolArray:
    """Call the differentially expressed genes of one perturbation.

    Args:
        p_values: Of each gene, (n_genes,).
        adjust: ``"fdr"`` controls the false discovery rate within the perturbation
            (Benjamini-Hochberg); ``"none"`` is Eq. 14 to the letter.

    Returns:
        Whether each gene is a DEG, (n_genes,).
    """
    adjusted = scipy.stats.false_discovery_control(p_values) if adjust == "fdr" else p_values
    degs: BoolArray = adjusted < DEG_LEVEL
    return degs


def _keys(expression: scipy.sparse.csr_array) -> IntArray:
    """Pack gene and value of every non-zero into one integer that sorts by gene, then value.

    A positive float32's bits, read as an integer, are in the order of the floats: no value is rounded.
    """
    is_value = expression.data != 0
    bits = expression.data[is_value].astype(np.float32, copy=False).view(np.int32).astype(np.int64)
    gene = expression.indices[is_value].astype(np.int64)
    keys: IntArray = (gene << 32) | bits
    return keys


def _sum_by_gene(gene: IntArray, values: IntArray | FloatArray, n_genes: int) -> FloatArray:
    sums: FloatArray = np.bincount(gene, weights=values, minlength=n_genes).astype(np.float64)
    return sums


def _tie_term(counts: IntArray | FloatArray) -> FloatArray:
    as_float = np.asarray(counts, dtype=np.float64)
    return as_float**3 - as_float


def _two_sided_p_values(u: FloatArray, tie_sum: FloatArray, n_cells: int, n_controls: int) -> FloatArray:
    n_total = n_cells + n_controls
    n_pairs = n_cells * n_controls
    variance = n_pairs / 12 * (n_total + 1 - tie_sum / (n_total * (n_total - 1)))
    # Rounding leaves a constant gene's variance anywhere around zero, far below that of one odd cell.
    is_constant = variance < 1e-9 * n_pairs * n_total
    distance = np.abs(u - n_pairs / 2) - 0.5
    z = distance / np.sqrt(np.where(is_constant, 1.0, variance))
    p_values: FloatArray = np.where(is_constant, 1.0, np.clip(2 * scipy.stats.norm.sf(z), 0, 1))
    return p_values
