import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from adapert.data import expression
from adapert.data.expression import (
    check_layer,
    normalise_counts,
    read_annotations,
    read_matrix,
    recognise_counts,
)
from adapert.errors import InputError

GENES = np.array(["A", "B", "C"])


def sparse(values):
    return scipy.sparse.csr_array(np.array(values, dtype=np.float32))


def write(path, matrix, layers=None):
    obs = pd.DataFrame(index=[f"c{number}" for number in range(matrix.shape[0])])
    var = pd.DataFrame(index=[f"g{number}" for number in range(matrix.shape[1])])
    anndata.AnnData(matrix, obs=obs, var=var, layers=layers).write_h5ad(path)
    return path


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
def test_rows_are_read_from_every_form(tmp_path, monkeypatch, form):
    monkeypatch.setattr(expression, "ROWS_AT_ONCE", 4)
    values = np.random.default_rng(0).poisson(1, (11, 5)).astype(np.float64)
    file = read_annotations(write(tmp_path / "x.h5ad", form(values)))
    rows = np.array([0, 3, 4, 9])
    matrix = read_matrix(file, None, rows)
    np.testing.assert_array_equal(matrix.toarray(), values[rows])
    assert matrix.dtype == np.float32
    assert matrix.nnz == np.count_nonzero(values[rows])


def test_layer_is_read(tmp_path):
    file = read_annotations(write(tmp_path / "x.h5ad", np.zeros((2, 2)), {"counts": np.ones((2, 2))}))
    assert read_matrix(file, "counts", np.array([1])).toarray().tolist() == [[1, 1]]


def test_unknown_layer_is_answered_with_the_nearest(tmp_path):
    file = read_annotations(write(tmp_path / "x.h5ad", np.zeros((2, 2)), {"counts": np.ones((2, 2))}))
    with pytest.raises(InputError, match=r"has no 'count'\. Did you mean 'counts'\? Its layers are 'counts'"):
        check_layer(file, "count", "--counts-layer")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"The cells must be a file, but there is no file '.*x\.h5ad'"
    ):
        read_annotations(tmp_path / "x.h5ad")


def test_other_bytes_are_no_h5ad(tmp_path):
    (tmp_path / "x.h5ad").write_text("cells")
    with pytest.raises(InputError, match="is no HDF5 file"):
        read_annotations(tmp_path / "x.h5ad")


def test_other_hdf5_is_no_h5ad(tmp_path):
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["X"] = np.zeros(3)
    with pytest.raises(InputError, match="HDF5 without 'obs', 'var'"):
        read_annotations(tmp_path / "x.h5ad")


def test_integers_are_counts_and_fractions_log_values():
    assert recognise_counts(sparse([[0, 1, 250]]), GENES, ())
    assert not recognise_counts(sparse([[0, 1.5, 7.25]]), GENES, ())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0, 1, 2], [0, np.nan, np.nan]], "must be numbers, but 2 values are NaN, the first in gene 'B'"),
        ([[0, 1, np.inf]], "must be finite, but 1 value is infinite, the first in gene 'C'"),
        ([[-1, 1, -2]], "must not be negative, but 2 values are below 0, the first in gene 'A'"),
        (
            [[0, 1.5, 312.5]],
            "fractions of up to 312.5: normalised, not logged. Apply log1p first, or .*counts-layer",
        ),
        ([[0, 0, 0]], "must not be zero everywhere"),
    ],
)
def test_other_values_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        recognise_counts(sparse(values), GENES, ())


def test_counts_are_scaled_to_4000_and_logged():
    normalised = normalise_counts(sparse([[1, 0, 3], [0, 0, 0]])).toarray()
    np.testing.assert_allclose(normalised, [[np.log(1001), 0, np.log(3001)], [0, 0, 0]], rtol=1e-6)


def test_normalisation_is_scanpys():
    import scanpy

    counts = np.random.default_rng(0).poisson(2, (20, 15)).astype(np.float32)
    reference = anndata.AnnData(counts.copy())
    scanpy.pp.normalize_total(reference, target_sum=4000)
    scanpy.pp.log1p(reference)
    np.testing.assert_allclose(normalise_counts(sparse(counts)).toarray(), reference.X, rtol=1e-5)
