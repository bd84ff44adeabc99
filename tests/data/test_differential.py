from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse
import scipy.stats
from scipy.sparse import csr_array

from adapert.data import differential
from adapert.data.differential import (
    GeneTests,
    call_degs,
    mann_whitney,
    sort_controls,
    sum_cells,
    welch,
)


def sparse(values: np.ndarray) -> csr_array:
    return scipy.sparse.csr_array(np.asarray(values, dtype=np.float32))


def draw_cells(generator: np.random.Generator, n_cells: int, n_genes: int, shift: float) -> np.ndarray:
    counts = generator.poisson(generator.uniform(0.05, 3, n_genes) + shift, (n_cells, n_genes))
    unit = generator.choice([0.5, 1.0, 2.0], (n_cells, 1))
    return np.asarray(np.log1p(counts * unit), np.float32)


def assert_scipys(tested: GeneTests, cells: np.ndarray, controls: np.ndarray) -> None:
    """Equal to scipy's answer on the same values; in float64, whose precision it would lose otherwise."""
    reference = scipy.stats.mannwhitneyu(
        np.asarray(cells, dtype=np.float64), np.asarray(controls, dtype=np.float64), method="asymptotic"
    )
    np.testing.assert_allclose(tested.statistic, reference.statistic, rtol=1e-12)
    np.testing.assert_allclose(tested.p_values, reference.pvalue, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n_cells", "n_controls", "n_genes"), [(31, 90, 40), (1, 7, 3), (200, 3_000, 12)])
@pytest.mark.parametrize("form", [sparse, np.asarray])
def test_mann_whitney_is_scipys(
    seed: int, n_cells: int, n_controls: int, n_genes: int, form: Callable[..., object]
) -> None:
    generator = np.random.default_rng(seed)
    controls, cells = (draw_cells(generator, n, n_genes, s) for n, s in ((n_controls, 0), (n_cells, 0.4)))
    assert_scipys(mann_whitney(form(cells), sort_controls(form(controls))), cells, controls)


def test_values_without_ties_are_scipys() -> None:
    generator = np.random.default_rng(0)
    controls, cells = generator.random((50, 3)).round(5), generator.random((20, 3)).round(5)
    assert_scipys(mann_whitney(sparse(cells), sort_controls(sparse(controls))), cells, controls)


def test_values_that_differ_beyond_float32_are_told_apart() -> None:
    controls, cells = np.ones((9, 1)), np.full((5, 1), 1 + 1e-12)
    assert mann_whitney(cells, sort_controls(controls)).statistic.tolist() == [45]
    assert_scipys(mann_whitney(cells, sort_controls(controls)), cells, controls)


def test_values_below_zero_are_scipys() -> None:
    generator = np.random.default_rng(0)
    controls = generator.integers(-2, 3, (60, 8)).astype(np.float64)
    cells = generator.integers(-3, 4, (25, 8)).astype(np.float64)
    assert_scipys(mann_whitney(cells, sort_controls(controls)), cells, controls)


def test_whole_numbers_are_scipys() -> None:
    generator = np.random.default_rng(0)
    controls, cells = generator.poisson(1, (60, 8)), generator.poisson(1.5, (25, 8))
    assert_scipys(mann_whitney(cells, sort_controls(controls)), cells, controls)


@pytest.mark.parametrize("form", [sparse, np.asarray])
def test_blocks_of_genes_make_no_difference(
    monkeypatch: pytest.MonkeyPatch, form: Callable[..., object]
) -> None:
    generator = np.random.default_rng(0)
    controls, cells = draw_cells(generator, 90, 40, 0), draw_cells(generator, 31, 40, 0.4)
    whole = mann_whitney(form(cells), sort_controls(form(controls)))
    monkeypatch.setattr(differential, "VALUES_AT_ONCE", 200)
    blocks = mann_whitney(form(cells), sort_controls(form(controls)))
    np.testing.assert_array_equal(blocks.statistic, whole.statistic)
    np.testing.assert_array_equal(blocks.p_values, whole.p_values)


def test_cells_are_left_as_they_are() -> None:
    generator = np.random.default_rng(0)
    cells = np.asfortranarray(draw_cells(generator, 30, 6, 0))
    before = cells.copy()
    mann_whitney(cells, sort_controls(cells))
    np.testing.assert_array_equal(cells, before)


@pytest.mark.slow
@pytest.mark.parametrize("form", [sparse, np.asarray])
def test_mann_whitney_is_pdexs(form: Callable[..., object]) -> None:
    pdex = pytest.importorskip("pdex")
    import anndata
    import pandas as pd

    generator = np.random.default_rng(0)
    controls, cells = draw_cells(generator, 90, 40, 0), draw_cells(generator, 31, 40, 0.4)
    values = np.concatenate([controls, cells])
    adata = anndata.AnnData(
        scipy.sparse.csr_matrix(values) if form is sparse else values,
        obs=pd.DataFrame({"guide": ["control"] * 90 + ["A"] * 31}, index=[f"c{n}" for n in range(121)]),
        var=pd.DataFrame(index=[f"g{n}" for n in range(40)]),
    )
    reference = pdex.pdex(adata, "guide", reference="control", is_log1p=True, threads=1, as_pandas=True)
    tested = mann_whitney(form(cells), sort_controls(form(controls)))
    assert reference["feature"].tolist() == adata.var_names.tolist()
    np.testing.assert_allclose(tested.statistic, reference["statistic"], rtol=1e-12)
    np.testing.assert_allclose(tested.p_values, reference["p_value"], rtol=1e-9)
    adjusted = scipy.stats.false_discovery_control(tested.p_values)
    np.testing.assert_allclose(adjusted, reference["fdr"], rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", [sparse, np.asarray])
def test_welch_is_scipys(seed: int, form: Callable[..., object]) -> None:
    generator = np.random.default_rng(seed)
    controls, cells = draw_cells(generator, 900, 40, 0), draw_cells(generator, 31, 40, 0.4)
    reference = scipy.stats.ttest_ind(cells.astype(float), controls.astype(float), equal_var=False)
    tested = welch(form(cells), sum_cells(form(controls)))
    np.testing.assert_allclose(tested.statistic, reference.statistic, rtol=1e-9)
    np.testing.assert_allclose(tested.p_values, reference.pvalue, rtol=1e-9)


def test_sums_of_sparse_cells_are_those_of_dense_ones() -> None:
    cells = draw_cells(np.random.default_rng(0), 30, 6, 0)
    parts, whole = sum_cells(sparse(cells)), sum_cells(cells)
    assert parts.n_cells == whole.n_cells
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-12)
    np.testing.assert_allclose(parts.variance, cells.astype(float).var(axis=0, ddof=1), rtol=1e-9)


def test_welch_of_constant_genes_has_p_of_one_where_they_agree_and_zero_where_not() -> None:
    # 0.1 is no float32, and its sums are not exact.
    cells, controls = np.full((7, 2), np.float32(0.1)), np.full((9, 2), np.float32(0.1))
    controls[:, 1] = 0
    tested = welch(cells, sum_cells(controls))
    assert tested.p_values.tolist() == [1, 0]
    assert np.isnan(tested.statistic[0])
    assert tested.statistic[1] == np.inf


def test_welch_of_one_cell_has_p_of_one() -> None:
    tested = welch(np.ones((1, 2)), sum_cells(draw_cells(np.random.default_rng(0), 20, 2, 0)))
    assert tested.p_values.tolist() == [1, 1]


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_constant_gene_has_p_of_one(value: float) -> None:
    controls = sort_controls(sparse(np.full((5000, 1), value)))
    assert mann_whitney(sparse(np.full((97, 1), value)), controls).p_values.tolist() == [1.0]


def test_one_odd_cell_among_many_is_scipys() -> None:
    controls, cells = np.zeros((20_000, 1)), np.zeros((10, 1))
    cells[0] = 1
    assert_scipys(mann_whitney(sparse(cells), sort_controls(sparse(controls))), cells, controls)


def test_order_of_cells_and_genes_makes_no_difference() -> None:
    generator = np.random.default_rng(0)
    controls, cells = draw_cells(generator, 60, 20, 0), draw_cells(generator, 30, 20, 0.3)
    genes = generator.permutation(20)
    p_values = mann_whitney(sparse(cells), sort_controls(sparse(controls))).p_values
    permuted = mann_whitney(sparse(cells[::-1, genes]), sort_controls(sparse(controls[::-1, genes]))).p_values
    np.testing.assert_array_equal(permuted, p_values[genes])


def test_fdr_is_benjamini_and_hochbergs_step_up() -> None:
    p_values = np.array([0.001, 0.02, 0.029, 0.04, 0.9])
    # Thresholds rise by 0.01: 0.04 does not lie below 0.04, but 0.029 does below 0.03, and takes
    # 0.02, which does not lie below its own 0.02, with it.
    assert call_degs(p_values, "fdr").tolist() == [True, True, True, False, False]
    assert call_degs(p_values, "none").tolist() == [True, True, True, True, False]


def test_fdr_calls_few_genes_under_the_null() -> None:
    null = np.log1p(np.random.default_rng(0).poisson(1.0, (250, 300)))
    p_values = mann_whitney(sparse(null[200:]), sort_controls(sparse(null[:200]))).p_values
    assert call_degs(p_values, "fdr").sum() <= 2
    assert 3 <= call_degs(p_values, "none").sum() <= 30
