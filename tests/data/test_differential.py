import numpy as np
import pytest
import scipy.sparse
import scipy.stats

from adapert.data.differential import call_degs, mann_whitney_p_values, sort_controls


def sparse(values):
    return scipy.sparse.csr_array(np.asarray(values, dtype=np.float32))


def draw_cells(generator, n_cells, n_genes, shift):
    counts = generator.poisson(generator.uniform(0.05, 3, n_genes) + shift, (n_cells, n_genes))
    return np.log1p(counts * generator.choice([0.5, 1.0, 2.0], (n_cells, 1))).astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
def test_p_values_are_scipys(seed):
    generator = np.random.default_rng(seed)
    controls, cells = draw_cells(generator, 90, 40, 0), draw_cells(generator, 31, 40, 0.4)
    expected = [
        # In float64: scipy's answer has the precision of its input.
        scipy.stats.mannwhitneyu(
            cells[:, gene].astype(float), controls[:, gene].astype(float), method="asymptotic"
        ).pvalue
        for gene in range(40)
    ]
    p_values = mann_whitney_p_values(sparse(cells), sort_controls(sparse(controls)))
    np.testing.assert_allclose(p_values, expected, rtol=1e-10)


def test_values_without_ties_are_scipys():
    generator = np.random.default_rng(0)
    controls, cells = generator.random((50, 3)).round(5), generator.random((20, 3)).round(5)
    expected = scipy.stats.mannwhitneyu(cells, controls, method="asymptotic").pvalue
    p_values = mann_whitney_p_values(sparse(cells), sort_controls(sparse(controls)))
    np.testing.assert_allclose(p_values, expected, rtol=1e-10)


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_constant_gene_has_p_of_one(value):
    controls = sort_controls(sparse(np.full((5000, 1), value)))
    assert mann_whitney_p_values(sparse(np.full((97, 1), value)), controls).tolist() == [1.0]


def test_one_odd_cell_among_many_is_scipys():
    controls, cells = np.zeros((20_000, 1)), np.zeros((10, 1))
    cells[0] = 1
    expected = scipy.stats.mannwhitneyu(cells, controls, method="asymptotic").pvalue
    p_values = mann_whitney_p_values(sparse(cells), sort_controls(sparse(controls)))
    np.testing.assert_allclose(p_values, expected, rtol=1e-8)


def test_order_of_cells_and_genes_makes_no_difference():
    generator = np.random.default_rng(0)
    controls, cells = draw_cells(generator, 60, 20, 0), draw_cells(generator, 30, 20, 0.3)
    genes = generator.permutation(20)
    p_values = mann_whitney_p_values(sparse(cells), sort_controls(sparse(controls)))
    permuted = mann_whitney_p_values(sparse(cells[::-1, genes]), sort_controls(sparse(controls[::-1, genes])))
    np.testing.assert_array_equal(permuted, p_values[genes])


def test_fdr_is_benjamini_and_hochbergs_step_up():
    p_values = np.array([0.001, 0.02, 0.029, 0.04, 0.9])
    # Thresholds rise by 0.01: 0.04 does not lie below 0.04, but 0.029 does below 0.03, and takes
    # 0.02, which does not lie below its own 0.02, with it.
    assert call_degs(p_values, "fdr").tolist() == [True, True, True, False, False]
    assert call_degs(p_values, "none").tolist() == [True, True, True, True, False]


def test_fdr_calls_few_genes_under_the_null():
    null = np.log1p(np.random.default_rng(0).poisson(1.0, (250, 300)))
    p_values = mann_whitney_p_values(sparse(null[200:]), sort_controls(sparse(null[:200])))
    assert call_degs(p_values, "fdr").sum() <= 2
    assert 3 <= call_degs(p_values, "none").sum() <= 30
