import anndata
import numpy as np
import pytest
import scanpy
import scipy.sparse
from scipy.sparse import csr_array

from adapert.data.variability import measure_moments, score_counts, score_log_values
from adapert.errors import InputError


def draw_counts(seed: int, n_cells: int, n_genes: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mean = generator.lognormal(-1, 1.5, n_genes)
    counts = generator.poisson(mean * generator.gamma(2, 0.5, (n_cells, n_genes))).astype(np.float32)
    counts[:, 3] = 0
    counts[0, 3] = 1  # detected once
    counts[:, 4] = 2  # does not vary
    return counts


def in_chunks(matrix: np.ndarray, step: int) -> list[csr_array]:
    return [scipy.sparse.csr_array(matrix[start : start + step]) for start in range(0, len(matrix), step)]


def scanpys(matrix: np.ndarray, flavor: str, column: str) -> np.ndarray:
    reference = anndata.AnnData(scipy.sparse.csr_matrix(matrix))
    table = scanpy.pp.highly_variable_genes(reference, flavor=flavor, n_top_genes=1, inplace=False)
    return np.asarray(table[column], np.float64)


@pytest.mark.parametrize(("seed", "n_cells", "n_genes"), [(0, 200, 80), (1, 1_000, 400), (2, 60, 300)])
@pytest.mark.parametrize("step", [17, 10_000])
def test_scores_of_counts_are_scanpys(seed: int, n_cells: int, n_genes: int, step: int) -> None:
    counts = draw_counts(seed, n_cells, n_genes)
    counts = counts[:, counts.any(axis=0)]
    cells = in_chunks(counts, step)
    genes = np.arange(counts.shape[1])
    score = score_counts(cells, measure_moments(cells, len(genes), True), genes)
    np.testing.assert_allclose(score, scanpys(counts, "seurat_v3", "variances_norm"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("seed", "n_cells", "n_genes"), [(0, 200, 80), (1, 1_000, 400), (2, 60, 300)])
@pytest.mark.parametrize("step", [17, 10_000])
def test_scores_of_log_values_are_scanpys(seed: int, n_cells: int, n_genes: int, step: int) -> None:
    values = np.log1p(draw_counts(seed, n_cells, n_genes))
    moments = measure_moments(in_chunks(values, step), n_genes, False)
    reference = scanpys(values, "seurat", "dispersions_norm")
    # A constant gene's variance is what rounding leaves, in one order of summing or another.
    varies = np.arange(n_genes) != 4
    np.testing.assert_allclose(score_log_values(moments)[varies], reference[varies], rtol=1e-6)


def test_genes_that_are_not_scored_take_no_part_in_the_fit() -> None:
    counts = draw_counts(0, 200, 80)
    genes = np.flatnonzero(counts.any(axis=0))[::2]
    cells, few = in_chunks(counts, 50), in_chunks(counts[:, genes], 50)
    of_all = score_counts(cells, measure_moments(cells, 80, True), genes)
    alone = score_counts(few, measure_moments(few, len(genes), True), np.arange(len(genes)))
    np.testing.assert_allclose(of_all, alone, rtol=1e-12)


def test_moments_are_those_of_the_dense_matrix() -> None:
    counts = draw_counts(0, 50, 20)
    moments = measure_moments(in_chunks(counts, 7), 20, True)
    np.testing.assert_allclose(moments.mean, counts.mean(axis=0, dtype=float), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, counts.var(axis=0, ddof=1, dtype=float), atol=1e-12)
    assert moments.n_detected.tolist() == (counts > 0).sum(axis=0).tolist()


def test_fit_that_fails_is_refused() -> None:
    cells = [scipy.sparse.csr_array(np.eye(5, dtype=np.float32))]
    with pytest.raises(
        InputError, match=r"cannot be found among 5 genes in 5 cells .* Keep all of them with --n-genes 5"
    ):
        score_counts(cells, measure_moments(cells, 5, True), np.arange(5))
