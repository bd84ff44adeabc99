from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from h5py import File
from scipy.sparse import csc_matrix, csr_array, csr_matrix

from adapert.data import row_chunks
from adapert.data.formats.matrices import check_layer, read_annotations, read_chunks, read_matrix
from adapert.errors import InputError

Form = Callable[..., object]

FORMS = [np.asarray, scipy.sparse.csr_matrix, scipy.sparse.csc_matrix]


def write(
    path: Path, matrix: np.ndarray | csc_matrix | csr_matrix, layers: dict[str, np.ndarray] | None = None
) -> Path:
    obs = pd.DataFrame(index=[f"c{number}" for number in range(matrix.shape[0])])
    var = pd.DataFrame(index=[f"g{number}" for number in range(matrix.shape[1])])
    anndata.AnnData(matrix, obs=obs, var=var, layers=layers).write_h5ad(path)
    return path


def read(path: Path, rows: list[int], scratch: Path, layer: str | None = None) -> csr_array:
    return read_matrix(read_annotations(path).matrix(layer), np.array(rows), scratch)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("values_at_once", [1, 12, 2**22])
def test_rows_are_read_from_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form, values_at_once: int
) -> None:
    monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", values_at_once)
    values = np.random.default_rng(0).poisson(1, (11, 5)).astype(np.float64)
    rows = [0, 3, 4, 9]
    matrix = read(write(tmp_path / "x.h5ad", form(values)), rows, tmp_path)
    np.testing.assert_array_equal(matrix.toarray(), values[rows])
    assert matrix.dtype == np.float32
    assert matrix.nnz == np.count_nonzero(values[rows])


@pytest.mark.parametrize("form", FORMS)
def test_no_chunk_is_larger_than_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", 40)
    file = read_annotations(write(tmp_path / "x.h5ad", form(np.ones((60, 5))))).matrix(None)
    parts = list(read_chunks(file, np.arange(60), tmp_path))
    assert max(part.nnz for part in parts) <= 40
    assert sum(part.shape[0] for part in parts) == 60


@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_left_in_the_scratch_folder(tmp_path: Path, form: Form) -> None:
    path = write(tmp_path / "x.h5ad", form(np.ones((6, 5))))
    (tmp_path / "scratch").mkdir()
    read(path, [0, 5], tmp_path / "scratch")
    assert not list((tmp_path / "scratch").iterdir())


def test_explicit_zeros_are_left_out(tmp_path: Path) -> None:
    matrix = scipy.sparse.csr_matrix(np.array([[1.0, 2.0], [3.0, 4.0]]))
    matrix.data[1] = 0
    assert read(write(tmp_path / "x.h5ad", matrix), [0, 1], tmp_path).nnz == 3


def test_layer_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", np.zeros((2, 2)), {"counts": np.ones((2, 2))})
    assert read(path, [1], tmp_path, "counts").toarray().tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("field", "change"),
    [("indices", lambda old: old + 7), ("indices", lambda old: old - 7), ("indptr", lambda old: old[::-1])],
)
@pytest.mark.parametrize("form", FORMS[1:])
def test_indices_outside_the_matrix_are_refused(
    tmp_path: Path, form: type, field: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = write(tmp_path / "x.h5ad", form(np.ones((6, 5))))
    with h5py.File(path, "a") as file:
        file[f"X/{field}"][...] = change(file[f"X/{field}"][...])
    with pytest.raises(InputError, match=r"is damaged: (its row pointers|an index lies outside)"):
        read(path, [0, 5], tmp_path)


def test_unknown_layer_is_answered_with_the_nearest(tmp_path: Path) -> None:
    file = read_annotations(write(tmp_path / "x.h5ad", np.zeros((2, 2)), {"counts": np.ones((2, 2))}))
    with pytest.raises(InputError, match=r"has no 'count'\. Did you mean 'counts'\? Its layers are 'counts'"):
        check_layer(file, "count", "--counts-layer")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"The cells must be a file, but there is no file '.*x\.h5ad'"
    ):
        read_annotations(tmp_path / "x.h5ad")


def test_other_bytes_are_no_h5ad(tmp_path: Path) -> None:
    (tmp_path / "x.h5ad").write_text("cells")
    with pytest.raises(InputError, match="is no HDF5 file"):
        read_annotations(tmp_path / "x.h5ad")


def test_other_hdf5_is_no_h5ad(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5ad", "w") as file:
        file["X"] = np.zeros(3)
    with pytest.raises(InputError, match="HDF5 without 'obs', 'var'"):
        read_annotations(tmp_path / "x.h5ad")


def write_raw(
    path: Path, matrix: np.ndarray, raw: np.ndarray | csc_matrix | csr_matrix, layers: None = None
) -> Path:
    """Write a matrix of genes g0, g1, ... beside a `.raw` of more genes."""
    obs = pd.DataFrame(index=[f"c{number}" for number in range(raw.shape[0])])
    var = pd.DataFrame(index=[f"g{number}" for number in range(raw.shape[1])])
    cells = anndata.AnnData(raw, obs=obs, var=var)
    cells.raw = cells
    kept = cells[:, : matrix.shape[1]].copy()
    kept.X = matrix
    kept.write_h5ad(path)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_raw_is_read_as_a_layer_with_its_own_genes(tmp_path: Path, form: Form) -> None:
    raw = np.arange(6.0).reshape(2, 3)
    file = read_annotations(write_raw(tmp_path / "x.h5ad", np.zeros((2, 1)), form(raw)))
    assert file.genes_of("raw.X").index.tolist() == ["g0", "g1", "g2"]
    assert file.genes_of(None).index.tolist() == ["g0"]
    read_back = read_matrix(file.matrix("raw.X"), np.array([1]), tmp_path)
    assert read_back.toarray().tolist() == [[3, 4, 5]]


def test_x_of_nothing_is_told_from_a_matrix(tmp_path: Path) -> None:
    file = read_annotations(write(tmp_path / "x.h5ad", np.ones((2, 2))))
    assert file.has_x
    obs, var = pd.DataFrame(index=["c0", "c1"]), pd.DataFrame(index=["g0", "g1"])
    anndata.AnnData(None, obs=obs, var=var, layers={"counts": np.ones((2, 2))}).write_h5ad(
        tmp_path / "y.h5ad"
    )
    file = read_annotations(tmp_path / "y.h5ad")
    assert not file.has_x
    with pytest.raises(InputError, match=r"X must hold a matrix where --layer names no other.*'counts'"):
        check_layer(file, None, "--layer")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
def test_every_type_of_number_is_read(tmp_path: Path, form: Form, dtype: type) -> None:
    values: np.ndarray = np.array([[0, 1], [1, 0]]).astype(dtype)
    path = write(tmp_path / "x.h5ad", form(values.astype(np.float64)))
    with h5py.File(path, "a") as file:  # scipy has no sparse float16, but files may
        name = "X" if form is np.asarray else "X/data"
        values, attributes = file[name][:].astype(dtype), dict(file[name].attrs)
        del file[name]
        file[name] = values
        file[name].attrs.update(attributes)
    assert read(path, [0, 1], tmp_path).toarray().tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize("values", [np.array([["a", "b"]], dtype="S1"), np.array([[1j, 2]])])
def test_a_matrix_of_no_numbers_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    path = write(tmp_path / "x.h5ad", np.ones((1, 2)))
    with h5py.File(path, "a") as file:
        del file["X"]
        file["X"] = values
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(InputError, match=r"A matrix must hold numbers, but X of .* is of type"):
        read(path, [0], tmp_path)


@pytest.mark.parametrize("form", FORMS[1:])
def test_values_of_one_place_add_up(tmp_path: Path, form: type) -> None:
    matrix = form(np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    path = write(tmp_path / "x.h5ad", matrix)
    with h5py.File(path, "a") as file:
        file["X/indptr"][...] = [0, 2, 2, 2]
        file["X/indices"][...] = [1, 1]
    assert read(path, [0, 1, 2], tmp_path).sum() == 3
    assert read(path, [0, 1, 2], tmp_path).nnz == 1


def test_sparse_matrices_of_old_anndata_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", scipy.sparse.csr_matrix(np.eye(2)))
    with h5py.File(path, "a") as file:
        for name in list(file["X"].attrs):
            del file["X"].attrs[name]
        file["X"].attrs.update({"h5sparse_format": "csr", "h5sparse_shape": (2, 2)})
    assert read(path, [0, 1], tmp_path).toarray().tolist() == [[1, 0], [0, 1]]


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_tables_of_old_anndata_are_refused_with_a_cure_that_helps(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", np.eye(2))
    with h5py.File(path, "a") as file:
        for name, labels in (("obs", [b"c0", b"c1"]), ("var", [b"g0", b"g1"])):
            del file[name]
            file[name] = np.array([(label,) for label in labels], dtype=[("index", "S2")])
    with pytest.raises(InputError, match=r"anndata\.read_h5ad\(path\)\.write_h5ad\(other_path\)"):
        read_annotations(path)
    anndata.read_h5ad(path).write_h5ad(tmp_path / "new.h5ad")
    assert read_annotations(tmp_path / "new.h5ad").obs.index.tolist() == ["c0", "c1"]


def test_categories_that_no_cell_has_do_no_harm(tmp_path: Path) -> None:
    obs = pd.DataFrame({"line": pd.Categorical(["a", None], categories=["a", "b"])}, index=["c0", "c1"])
    anndata.AnnData(np.eye(2), obs=obs).write_h5ad(tmp_path / "x.h5ad")
    assert read_annotations(tmp_path / "x.h5ad").obs["line"].isna().tolist() == [False, True]


def test_names_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", np.eye(2))
    with h5py.File(path, "a") as file:
        del file["obs/_index"]
        file["obs/_index"] = np.array(["c\xb5".encode("latin-1"), b"c1"], dtype=h5py.string_dtype())
        file["obs/_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    with pytest.raises(InputError, match=r"must be UTF-8 text, but '.*x\.h5ad' holds b'c\\xb5'"):
        read_annotations(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\x1f\x8b\x08", "is gzipped. Unpack it"), (b"PK\x03", "is a zip archive"), (b"", "no HDF5")],
)
def test_what_another_file_is_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.h5ad").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_annotations(tmp_path / "x.h5ad")


def link_externally(file: File, other: str, name: str) -> None:
    file[name] = h5py.ExternalLink(other, "/secret")


def store_externally(file: File, other: str, name: str) -> None:
    with open(other, "rb") as opened:
        size = len(opened.read())
    file.create_dataset(name, (size,), dtype=np.int8, external=[(other, 0, size)])


def map_virtually(file: File, other: str, name: str) -> None:
    layout = h5py.VirtualLayout((3,), dtype=np.float64)
    layout[:] = h5py.VirtualSource(other, "secret", shape=(3,))
    file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("lead", [link_externally, store_externally, map_virtually])
@pytest.mark.parametrize(
    "name", ["X", "X/data", "obs/_index", "obs", "var/note", "layers/counts", "raw/X", "uns/x"]
)
def test_a_file_that_leads_to_another_is_refused(
    tmp_path: Path, lead: Callable[[File, str, str], None], name: str
) -> None:
    other = str(tmp_path / "other.h5")
    with h5py.File(other, "w") as file:
        file["secret"] = np.zeros(3)
    path = write(tmp_path / "x.h5ad", scipy.sparse.csr_matrix(np.eye(2)))
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        lead(file, other, name)
    with pytest.raises(InputError, match=f"must be in one file, but '{name}' of .* is in another file"):
        read_annotations(path)


def test_a_soft_link_inside_the_file_is_followed(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", np.eye(2))
    with h5py.File(path, "a") as file:
        file.move("X", "matrix")
        file["X"] = h5py.SoftLink("/matrix")
    assert read(path, [0, 1], tmp_path).toarray().tolist() == [[1, 0], [0, 1]]


def test_a_group_within_itself_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", np.eye(2))
    with h5py.File(path, "a") as file:
        file["obs/again"] = file["obs"]
    with pytest.raises(InputError, match="is too deep"):
        read_annotations(path)


@pytest.mark.parametrize("name", ["obs/_index", "var/more"])
def test_annotations_declared_larger_than_memory_are_refused_unread(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "x.h5ad", np.eye(2))
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        file.create_dataset(name, (10**12,), dtype=np.float64, chunks=(1000,))
    with pytest.raises(
        InputError, match=r"no more than fits into memory, but '(obs|var)' in .* declares 8,000\.0 GB"
    ):
        read_annotations(path)


@pytest.mark.parametrize("field", ["indptr", "indices", "data"])
def test_a_sparse_matrix_declared_larger_than_memory_is_refused_unread(tmp_path: Path, field: str) -> None:
    path = write(tmp_path / "x.h5ad", scipy.sparse.csr_matrix(np.eye(2)))
    with h5py.File(path, "a") as file:
        del file[f"X/{field}"]
        file.create_dataset(f"X/{field}", (10**12,), dtype=np.int64, chunks=(1000,))
        if field != "indptr":
            del file["X/indptr"]
            file["X/indptr"] = np.array([0, 0, 10**12])
    with pytest.raises(
        InputError, match=r"row pointers do not ascend|more values than the matrix has places"
    ):
        read(path, [0, 1], tmp_path)


def test_a_chunk_declared_larger_than_memory_is_refused_unread(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", np.eye(2))
    with h5py.File(path, "a") as file:
        del file["X"]
        file.create_dataset(
            "X", (2, 2), np.float32, maxshape=(None, None), chunks=(2**14, 2**14), compression="gzip"
        )
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    with pytest.raises(InputError, match=r"a chunk of X in .* declares 1\.1 GB"):
        read(path, [0, 1], tmp_path)


def test_a_file_without_any_matrix_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", np.eye(2))
    with h5py.File(path, "a") as file:
        del file["X"]
    with pytest.raises(InputError, match="Write a file that has one; of a MuData file, one modality"):
        check_layer(read_annotations(path), None, "--counts-layer")


def test_groups_linked_many_times_are_counted_in_time(tmp_path: Path) -> None:
    path = write(tmp_path / "x.h5ad", np.eye(2))
    with h5py.File(path, "a") as file:
        inner = file.create_group("uns/0")
        for level in range(1, 7):
            outer = file.create_group(f"uns/{level}")
            for number in range(60):
                outer[str(number)] = inner
            inner = outer
        file["obs/more"] = inner
    assert len(read_annotations(path).obs) == 2
