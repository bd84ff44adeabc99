"""How variable genes are: scanpy's scores, without the whole matrix in memory.

``scanpy.pp.highly_variable_genes`` reads its matrix whole. These are its two scores from sums that are
added up chunk by chunk, for the flavors ``seurat_v3`` (counts) and ``seurat`` (log values).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.schema import FloatArray, IntArray
from adapert.errors import InputError

SPAN = 0.3
"""Share of the genes in each local fit; scanpy's default."""

N_BINS = 20
"""Bins of mean expression; scanpy's default."""


@dataclass(frozen=True, kw_only=True)
class GeneMoments:
    """Moments of each gene over cells.

    Attributes:
        n_cells: Number of cells.
        n_detected: Cells that have the gene, (n_genes,).
        mean: (n_genes,).
        variance: Unbiased, (n_genes,).
    """

    n_cells: int
    n_detected: IntArray
    mean: FloatArray
    variance: FloatArray

    def of_genes(self, genes: IntArray) -> "GeneMoments":
        """Keep some genes."""
        n_detected, mean, variance = self.n_detected[genes], self.mean[genes], self.variance[genes]
        return replace(self, n_detected=n_detected, mean=mean, variance=variance)


def measure_moments(cells: Iterable[scipy.sparse.csr_array], n_genes: int, is_counts: bool) -> GeneMoments:
    """Measure each gene's moments, of counts or of expm1 of log values, from chunks of cells."""
    n_cells, n_detected = 0, np.zeros(n_genes, dtype=np.int64)
    sums, square_sums = np.zeros(n_genes), np.zeros(n_genes)
    for part in cells:
        values = part.data if is_counts else np.expm1(part.data)
        n_cells += part.shape[0]
        n_detected += np.bincount(part.indices, minlength=n_genes)
        sums += np.bincount(part.indices, values, n_genes)
        square_sums += np.bincount(part.indices, np.square(values), n_genes)  # in float32, as scanpy's
    mean = sums / n_cells
    variance = (square_sums / n_cells - mean**2) * (n_cells / max(n_cells - 1, 1))
    return GeneMoments(n_cells=n_cells, n_detected=n_detected, mean=mean, variance=variance)


def score_counts(
    cells: Iterable[scipy.sparse.csr_array], moments: GeneMoments, genes: IntArray
) -> FloatArray:
    """Score genes by the variance of their standardised, clipped counts (``seurat_v3``).

    Args:
        cells: Chunks of cells, (n_cells of the chunk, n_genes of the matrix).
        moments: Moments of all genes of the matrix.
        genes: Genes to score, at which the expected variance is fitted, (n_scored,).

    Returns:
        ``variances_norm``, (n_scored,).

    Raises:
        InputError: Too few genes or cells for the fit.
    """
    chosen, n_cells = moments.of_genes(genes), moments.n_cells
    expected_sd = np.sqrt(10 ** _fit_log_variance(chosen))
    n_genes = len(moments.mean)
    clip = np.zeros(n_genes)
    clip[genes] = expected_sd * np.sqrt(n_cells) + chosen.mean
    sums, square_sums = np.zeros(n_genes), np.zeros(n_genes)
    for part in cells:
        values = np.minimum(part.data, clip[part.indices])
        sums += np.bincount(part.indices, values, n_genes)
        square_sums += np.bincount(part.indices, np.square(values), n_genes)
    squares = n_cells * np.square(chosen.mean) + square_sums[genes] - 2 * sums[genes] * chosen.mean
    score: FloatArray = squares / ((n_cells - 1) * np.square(expected_sd))
    return score


def score_log_values(moments: GeneMoments) -> FloatArray:
    """Score genes by the dispersion of expm1 against genes of similar mean (``seurat``).

    Returns:
        ``dispersions_norm``, (n_genes,); NaN for a gene that does not vary.
    """
    mean = np.where(moments.mean == 0, 1e-12, moments.mean)
    is_variable = moments.variance > 0
    log_dispersion = np.full(len(mean), np.nan)
    log_dispersion[is_variable] = np.log(moments.variance[is_variable] / mean[is_variable])
    dispersion = pd.Series(log_dispersion)
    bins = dispersion.groupby(pd.cut(pd.Series(np.log1p(mean)), bins=N_BINS), observed=True)
    average, spread = bins.transform("mean"), bins.transform("std")
    # A gene alone in its bin has no spread: scanpy gives it a score of 1.
    is_alone = spread.isna()
    score = (dispersion - average.mask(is_alone, 0.0)) / spread.mask(is_alone, average)
    return score.to_numpy(np.float64)


def _fit_log_variance(moments: GeneMoments) -> FloatArray:
    """Fit log10 of the variance to log10 of the mean by local regression; 0 for a constant gene."""
    from skmisc.loess import loess  # type: ignore[import-untyped]

    is_variable = moments.variance > 0
    fitted = np.zeros(len(moments.mean))
    try:
        model = loess(
            np.log10(moments.mean[is_variable]), np.log10(moments.variance[is_variable]), span=SPAN, degree=2
        )
        model.fit()
    except ValueError as error:  # too few distinct means
        raise InputError(
            f"Highly variable genes cannot be found among {len(fitted)} genes in {moments.n_cells} cells "
            f"({error}). Keep all of them with --n-genes {len(fitted)}."
        ) from error
    fitted[is_variable] = model.outputs.fitted_values
    return fitted
