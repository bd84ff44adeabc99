from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from adapert.data.embeddings import read_embeddings
from adapert.data.screens import N_COMPONENTS, principal_components, read_screen
from adapert.errors import InputError

NAMES = ["GENE0001", "GENE0002", "GENE0003", "GENE0004", "GENE0001+GENE0002", "control"]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_table(names: list[str] = NAMES, values: np.ndarray | None = None) -> Path:
        if values is None:
            values = np.random.default_rng(0).normal(size=(len(names), 7)).astype(np.float32)
        obs = pd.DataFrame({"perturbation": names}, index=[f"row{row}" for row in range(len(names))])
        var = pd.DataFrame(index=[f"GENE{number:04d}" for number in range(1, 8)])
        anndata.AnnData(values, obs=obs, var=var).write_h5ad(tmp_path / "screen.h5ad")
        return tmp_path / "screen.h5ad"

    return write_table


def test_single_perturbations_are_reduced_and_the_others_left_out(write: Callable[..., Path]) -> None:
    path = write()
    names, vectors = read_screen(path)
    assert names.tolist() == NAMES[:4]
    expected = principal_components(anndata.read_h5ad(path).X[:4].astype(np.float64), N_COMPONENTS)
    np.testing.assert_allclose(vectors, expected)
    assert vectors.shape == (4, 3)
    assert sorted(read_embeddings(path).symbols.tolist()) == NAMES[:4]


@pytest.mark.parametrize("shape", [(30, 12), (12, 30), (70, 90)])
def test_components_are_scikit_learns_up_to_their_signs(shape: tuple[int, int]) -> None:
    rows = np.random.default_rng(1).normal(size=shape) @ np.diag(np.linspace(3, 1, shape[1]))
    n_components = min(8, shape[1])
    found = principal_components(rows, n_components)
    expected = PCA(n_components, svd_solver="full").fit_transform(rows)
    signs = np.sign((found * expected).sum(axis=0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-8)
    assert (found[np.abs(found).argmax(axis=0), np.arange(n_components)] > 0).all()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["GENE0001", "GENE0001", "GENE0002"],
            r"one row per perturbation, but .* 1 have several: 'GENE0001'",
        ),
        (["GENE0001", "control"], "at least 2 perturbations of one gene, but '.*' has 1"),
    ],
)
def test_other_tables_are_refused(write: Callable[..., Path], names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_screen(write(names))


def test_a_value_that_is_no_number_is_refused(write: Callable[..., Path]) -> None:
    values = np.ones((6, 7), dtype=np.float32)
    values[1, 2] = np.nan
    with pytest.raises(InputError, match="1 value is NaN, the first in gene 'GENE0003'"):
        read_screen(write(values=values))
