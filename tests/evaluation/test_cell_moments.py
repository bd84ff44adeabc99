import numpy as np
import pandas as pd
import pytest

from adapert.data.prepared import PreparedDataset
from adapert.evaluation.cell_moments import (
    CellMoments,
    cells_by_perturbation,
    measure_moments,
    t_against_rest,
)


@pytest.fixture
def cells(tiny_dataset: PreparedDataset) -> list[np.ndarray]:
    return [one.toarray() for one in cells_by_perturbation(tiny_dataset, "train")]


@pytest.fixture
def moments(tiny_dataset: PreparedDataset) -> CellMoments:
    return measure_moments(cells_by_perturbation(tiny_dataset, "train"))


def test_moments_equal_numpys(cells: list[np.ndarray], moments: CellMoments) -> None:
    assert moments.n_cells.tolist() == [len(one) for one in cells]
    np.testing.assert_allclose(moments.means, [one.mean(axis=0, dtype=np.float64) for one in cells])
    squares = [np.square(one, dtype=np.float64).sum(axis=0) for one in cells]
    np.testing.assert_allclose(moments.square_sums, squares)


def test_t_equals_scanpys_against_the_rest(cells: list[np.ndarray], moments: CellMoments) -> None:
    anndata, scanpy = pytest.importorskip("anndata"), pytest.importorskip("scanpy")
    names = [f"P{number}" for number in range(len(cells))]
    labels = np.repeat(names, [len(one) for one in cells])
    stacked = np.concatenate(cells).astype(np.float64)
    data = anndata.AnnData(
        stacked,
        obs=pd.DataFrame({"p": pd.Categorical(labels)}, index=[str(row) for row in range(len(labels))]),
    )
    scanpy.tl.rank_genes_groups(data, "p", method="t-test_overestim_var", reference="rest")
    frames = [scanpy.get.rank_genes_groups_df(data, name).set_index("names")["scores"] for name in names]
    expected = np.stack([frame.loc[data.var_names].to_numpy() for frame in frames])
    np.testing.assert_allclose(t_against_rest(moments), expected, rtol=1e-4)


def test_gene_without_variance_has_no_score(tiny_dataset: PreparedDataset) -> None:
    constant = [one * 0 + 0 for one in cells_by_perturbation(tiny_dataset, "train")]
    assert not t_against_rest(measure_moments(constant)).any()


def test_single_perturbation_has_no_rest(tiny_dataset: PreparedDataset) -> None:
    one = next(cells_by_perturbation(tiny_dataset, "train"))
    assert not t_against_rest(measure_moments([one])).any()
