import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from adapert.data import stretches
from adapert.data.matrices import check_layer, read_annotations, read_matrix, read_stretches
from adapert.errors import InputError

FORMS = [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix]


def write(path, matrix, layers=None):
    obs = pd.DataFrame(index=[f"c{number}" for number in range(matrix.shape[0])])
    var = pd.DataFrame(index=[f"g{number}" for number in range(matrix.shape[1])])
    anndata.AnnData(matrix, obs=obs, var=var, layers=layers).write_h5ad(path)
    return path


def read(path, rows, scratch, layer=None):
    return read_matrix(read_annotations(path).matrices, layer, np.array(rows), scratch)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("values_at_once", [1, 12, 2**22])
def test_rows_are_read_from_every_form(tmp_path, monkeypatch, form, values_at_once):
    monkeypatch.setattr(stretches, "VALUES_AT_ONCE", values_at_once)
    values = np.random.default_rng(0).poisson(1, (11, 5)).astype(np.float64)
    rows = [0, 3, 4, 9]
    matrix = read(write(tmp_path / "x.h5ad", form(values)), rows, tmp_path)
    np.testing.assert_array_equal(matrix.toarray(), values[rows])
    assert matrix.dtype == np.float32
    assert matrix.nnz == np.count_nonzero(values[rows])


@pytest.mark.parametrize("form", FORMS)
def test_no_stretch_is_larger_than_asked_for(tmp_path, monkeypatch, form):
    monkeypatch.setattr(stretches, "VALUES_AT_ONCE", 40)
    file = read_annotations(write(tmp_path / "x.h5ad", form(np.ones((60, 5))))).matrices
    parts = list(read_stretches(file, None, np.arange(60), tmp_path))
    assert max(part.nnz for part in parts) <= 40
    assert sum(part.shape[0] for part in parts) == 60


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_in_the_scratch_folder(tmp_path, form):
    path = write(tmp_path / "x.h5ad", form(np.ones((6, 5))))
    (tmp_path / "scratch").mkdir()
    read(path, [0, 5], tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())


def test_explicit_zeros_are_left_out(tmp_path):
    matrix = scipy.sparse.csr_matrix(np.array([[1.0, 2.0], [3.0, 4.0]]))
    matrix.data[1] = 0
    assert read(write(tmp_path / "x.h5ad", matrix), [0, 1], tmp_path).nnz == 3


def test_layer_is_read(tmp_path):
    path = write(tmp_path / "x.h5ad", np.zeros((2, 2)), {"counts": np.ones((2, 2))})
    assert read(path, [1], tmp_path, "counts").toarray().tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("field", "change"),
    [("indices", lambda old: old + 7), ("indices", lambda old: old - 7), ("indptr", lambda old: old[::-1])],
)
@pytest.mark.parametrize("form", FORMS[1:])
def test_indices_outside_the_matrix_are_refused(tmp_path, form, field, change):
    path = write(tmp_path / "x.h5ad", form(np.ones((6, 5))))
    with h5py.File(path, "a") as file:
        file[f"X/{field}"][...] = change(file[f"X/{field}"][...])
    with pytest.raises(InputError, match=r"is damaged: (its row pointers|an index lies outside)"):
        read(path, [0, 5], tmp_path)


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
