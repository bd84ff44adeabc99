"""An .h5ad file: its annotations, and its matrices read in chunks of rows."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse
from anndata.io import read_elem, sparse_dataset
from pandas.api.types import is_scalar

from adapert.data import row_chunks
from adapert.data.formats.hdf5 import check_hdf5
from adapert.data.formats.tables import require_file
from adapert.data.row_chunks import cut_rows, require_memory
from adapert.data.schema import FloatArray, IntArray
from adapert.errors import InputError, first_line, name_some, nearest

ENTRY = np.dtype([("row", np.int32), ("column", np.int32), ("value", np.float32)])
"""A value of a column-wise matrix on its way to its row."""

RAW = "raw.X"
"""Name of an .h5ad file's ``.raw`` matrix, which has genes of its own, as a layer."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """A matrix of an .h5ad file, of which no value is in memory.

    Attributes:
        path: The file.
        layer: The layer; ``None`` for ``X``, `RAW` for ``.raw``.
        n_rows: Number of cells, or of the perturbations of a response table.
        n_genes: Number of genes.
        others: Names of the file's other layers.
    """

    path: Path
    layer: str | None
    n_rows: int
    n_genes: int
    others: tuple[str, ...]

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open it: a data set of HDF5, or a group of them where it is sparse.

        Raises:
            InputError: A damaged file, also where the block finds it.
        """
        with _open(self.path) as file:
            yield file[{None: "X", RAW: "raw/X"}.get(self.layer, f"layers/{self.layer}")]


@dataclass(frozen=True, kw_only=True)
class AnnotatedFile:
    """An .h5ad file without its matrices.

    Attributes:
        path: The file.
        obs: Annotations of the cells, or of the perturbations of a response table.
        var: Annotations of the genes.
        layers: Names of the layers, with `RAW` where the file has a ``.raw``.
        has_x: Whether ``X`` holds a matrix.
        raw_var: Annotations of the genes of `RAW`; ``None`` where there is none.
    """

    path: Path
    obs: pd.DataFrame
    var: pd.DataFrame
    layers: tuple[str, ...]
    has_x: bool = True
    raw_var: pd.DataFrame | None = None

    def genes_of(self, layer: str | None) -> pd.DataFrame:
        """Annotations of a layer's genes; ``None`` for ``X``."""
        return self.raw_var if layer == RAW and self.raw_var is not None else self.var

    def matrix(self, layer: str | None) -> Matrix:
        """A layer, ``None`` for ``X``, without the file's annotations, which take memory."""
        n_genes, others = len(self.genes_of(layer)), tuple(name for name in self.layers if name != layer)
        return Matrix(path=self.path, layer=layer, n_rows=len(self.obs), n_genes=n_genes, others=others)


def read_annotations(path: Path) -> AnnotatedFile:
    """Read the annotations of an .h5ad file's cells and genes, and no values.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not an .h5ad file, a damaged one, or one without cells or genes.
    """
    require_file(path, "The cells")
    if not h5py.is_hdf5(path):
        with path.open("rb") as opened:
            start = opened.read(2)
        kinds = {b"\x1f\x8b": "gzipped. Unpack it with gunzip", b"PK": "a zip archive. Unpack it"}
        other = "no HDF5 file. Write it with anndata, or copy it again if it was cut off"
        raise InputError(f"The data must be an .h5ad file, but '{path}' is {kinds.get(start, other)}.")
    with _open(path) as file:
        check_hdf5(file, path, "The cells", ("obs", "var", "raw/var"))
        missing = [name for name in ("obs", "var") if name not in file]
        if missing:
            raise InputError(
                f"The data must be an .h5ad file, but '{path}' is HDF5 without {name_some(missing)}. "
                "Write it with anndata."
            )
        has_raw = isinstance(file.get("raw"), h5py.Group) and "X" in file["raw"] and "var" in file["raw"]
        obs, var = _read_frame(file, "obs"), _read_frame(file, "var")
        raw_var = _read_frame(file, "raw/var") if has_raw else None
        layers = tuple(file["layers"]) if isinstance(file.get("layers"), h5py.Group) else ()
        has_x = "X" in file and file["X"].attrs.get("encoding-type") != "null"
    if not len(obs) or not len(var):
        raise InputError(
            f"The cells must have rows and genes, but '{path}' is of {len(obs)} rows x {len(var)} genes. "
            "Name a file that holds some."
        )
    return AnnotatedFile(
        path=path,
        obs=obs,
        var=var,
        layers=(*layers, RAW) if has_raw else layers,
        has_x=has_x,
        raw_var=raw_var,
    )


def check_layer(file: AnnotatedFile, layer: str | None, option: str) -> None:
    """Refuse a layer that the file does not have; ``None`` is ``X``.

    Raises:
        InputError: No such layer.
    """
    if layer is not None and layer not in file.layers:
        raise InputError(
            f"{option} must name a layer, but '{file.path}' has no '{layer}'.{nearest(layer, file.layers)} "
            f"Its layers are {name_some(file.layers) or 'none'}."
        )
    if layer is None and not file.has_x:
        cure = (
            f"Its layers are {name_some(file.layers)}."
            if file.layers
            else "Write a file that has one; of a MuData file, one modality."
        )
        raise InputError(
            f"X must hold a matrix where {option} names no other, but '{file.path}' has none. {cure}"
        )


def describe_layer(layer: str | None) -> str:
    """Name a matrix in a message; ``None`` for ``X``."""
    return layer if layer == RAW else "X" if layer is None else f"layer '{layer}'"


def read_matrix(matrix: Matrix, rows: IntArray, scratch: Path) -> scipy.sparse.csr_array:
    """Read some rows of a matrix into memory; as `read_chunks`.

    Returns:
        float32, (n_rows, n_genes of the file).
    """
    parts = list(read_chunks(matrix, rows, scratch))
    return scipy.sparse.csr_array(scipy.sparse.vstack(parts, format="csr"))


def read_chunks(matrix: Matrix, rows: IntArray, scratch: Path) -> Iterator[scipy.sparse.csr_array]:
    """Read some rows of a matrix, about `row_chunks.VALUES_AT_ONCE` values at a time.

    Args:
        matrix: The matrix.
        rows: Ascending row numbers, (n_rows,).
        scratch: Folder in which a column-wise matrix is turned.

    Yields:
        The next rows without explicit zeros, float32, (n_rows of the chunk, n_genes of the file).

    Raises:
        InputError: A damaged file, or a matrix of another size than its annotations, or not of numbers.
    """
    form = _find_form(matrix)
    if form == "csc":
        parts = _read_turned(matrix, rows, scratch)
    else:
        parts = _read_rows(matrix, rows) if form == "csr" else _read_dense(matrix, rows)
    for part in parts:
        part.eliminate_zeros()
        # scipy allows several values of one place, which add up; without any, the file's order stays.
        if not part.has_canonical_format:
            summed = part.copy()
            summed.sum_duplicates()
            part = summed if summed.nnz < part.nnz else part
        yield part


def _read_frame(file: h5py.File, name: str) -> pd.DataFrame:
    frame = read_elem(file[name]) if isinstance(file[name], h5py.Group) else None
    # A matrix in place of the names makes an index of arrays.
    if not isinstance(frame, pd.DataFrame) or not all(map(is_scalar, frame.index)):
        raise InputError(
            f"The data must be an .h5ad file, but '{name}' of '{file.filename}' is no table that this "
            "anndata writes. Write it again with anndata: anndata.read_h5ad(path).write_h5ad(other_path)."
        )
    return frame


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (InputError, MemoryError):
        raise
    except UnicodeDecodeError as error:
        raise InputError(
            f"Names and annotations must be UTF-8 text, but '{path}' holds {error.object[:40]!r}. "
            "Decode them where the file is made (in Python: name.decode('latin-1')), and write it again."
        ) from error
    except Exception as error:  # HDF5 and anndata may raise nearly anything at a damaged file
        raise InputError(
            f"The data must be a whole .h5ad file, but '{path}' is damaged: {first_line(error)} Copy it "
            "again, or write it again with anndata."
        ) from error


def _find_form(matrix: Matrix) -> str:
    """Find a matrix's form, ``"dense"``, ``"csr"`` or ``"csc"``; refuse a wrong size or type."""
    with matrix.opened() as element:
        is_dense = isinstance(element, h5py.Dataset)
        source = element if is_dense else sparse_dataset(element)
        shape, form = tuple(source.shape), "dense" if is_dense else str(source.format)
        values = element if is_dense else element["data"]
        kind = values.dtype
        n_chunk = 0 if values.chunks is None else math.prod(values.chunks)
    if shape != (matrix.n_rows, matrix.n_genes):
        raise InputError(
            f"A matrix must have a row for each cell and a column for each gene, but '{matrix.path}' has "
            f"{matrix.n_rows} x {matrix.n_genes} of these and a matrix of {' x '.join(map(str, shape))}. "
            "Write it again with anndata."
        )
    name = describe_layer(matrix.layer)
    if kind.kind not in "biuf":
        raise InputError(
            f"A matrix must hold numbers, but {name} of '{matrix.path}' is of type {kind}. Convert it to "
            "float32 and write it again with anndata."
        )
    require_memory(n_chunk * kind.itemsize, f"a chunk of {name}", matrix.path)
    return form


def _read_dense(matrix: Matrix, rows: IntArray) -> Iterator[scipy.sparse.csr_array]:
    n_at_once = max(1, row_chunks.VALUES_AT_ONCE // matrix.n_genes)
    with matrix.opened() as source:
        for start in range(0, matrix.n_rows, n_at_once):
            inside = _inside(rows, start, start + n_at_once)
            if len(inside):
                yield scipy.sparse.csr_array(source[start : start + n_at_once][inside], dtype=np.float32)


def _read_rows(matrix: Matrix, rows: IntArray) -> Iterator[scipy.sparse.csr_array]:
    with matrix.opened() as group:
        row_start = _read_starts(group, matrix.n_rows, matrix.n_genes)
        for start, stop in cut_rows(row_start):
            inside = _inside(rows, start, stop)
            if len(inside):
                gene_index, values = _read_values(group, row_start[start], row_start[stop], matrix.n_genes)
                part = scipy.sparse.csr_array(
                    (values, gene_index, row_start[start : stop + 1] - row_start[start]),
                    shape=(stop - start, matrix.n_genes),
                )
                yield part if len(inside) == part.shape[0] else part[inside]


def _read_turned(matrix: Matrix, rows: IntArray, scratch: Path) -> Iterator[scipy.sparse.csr_array]:
    """Turn a column-wise matrix into chunks of rows, through a file for each chunk."""
    with matrix.opened() as group:
        n_values = len(group["indices"])
    n_chunks = min(1 + n_values // row_chunks.VALUES_AT_ONCE, len(rows))
    # First rows of the chunks, and the number of rows.
    edges = np.linspace(0, len(rows), n_chunks + 1).astype(np.int64)
    paths = [scratch / f"rows_from_{start}" for start in edges[:-1].tolist()]
    for path in paths:
        path.touch()
    # The row that each row of the file becomes, -1 where it is not wanted.
    position = np.full(matrix.n_rows, -1, dtype=np.int32)
    position[rows] = np.arange(len(rows))
    for row, column, values in _read_columns(matrix):
        is_wanted = position[row] >= 0
        entries = np.empty(int(is_wanted.sum()), dtype=ENTRY)
        entries["row"] = position[row[is_wanted]]
        entries["column"], entries["value"] = column[is_wanted], values[is_wanted]
        entries = entries[np.argsort(np.searchsorted(edges, entries["row"], side="right"), kind="stable")]
        ends = np.searchsorted(np.sort(entries["row"]), edges)
        for path, (start, stop) in zip(paths, pairwise(ends.tolist()), strict=True):
            with path.open("ab") as opened:
                entries[start:stop].tofile(opened)
    for path, (start, stop) in zip(paths, pairwise(edges.tolist()), strict=True):
        entries = np.fromfile(path, dtype=ENTRY)
        path.unlink()
        coordinates = (entries["row"] - start, entries["column"])
        yield scipy.sparse.csr_array((entries["value"], coordinates), shape=(stop - start, matrix.n_genes))


def _read_columns(matrix: Matrix) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Yield row, column and value of the next non-zeros of a column-wise matrix."""
    with matrix.opened() as group:
        column_start = _read_starts(group, matrix.n_genes, matrix.n_rows)
        for start in range(0, int(column_start[-1]), row_chunks.VALUES_AT_ONCE):
            stop = min(start + row_chunks.VALUES_AT_ONCE, int(column_start[-1]))
            row, values = _read_values(group, start, stop, matrix.n_rows)
            inside = np.clip(column_start, start, stop)
            column = np.repeat(np.arange(matrix.n_genes, dtype=np.int32), inside[1:] - inside[:-1])
            yield row, column, values


def _read_starts(group: Any, n_lines: int, n_across: int) -> IntArray:
    if group["indptr"].shape != (n_lines + 1,):  # before it is read: it may be declared of any size
        raise ValueError("its row pointers do not ascend")
    starts: IntArray = group["indptr"][:].astype(np.int64)
    lengths = np.diff(starts)
    if starts[0] != 0 or (lengths < 0).any():
        raise ValueError("its row pointers do not ascend")
    if (lengths > n_across).any():
        raise ValueError("a line has more values than the matrix has places")
    return starts


def _read_values(group: Any, start: int, stop: int, n_across: int) -> tuple[IntArray, FloatArray]:
    index = group["indices"][start:stop].astype(np.int32, copy=False)
    values = group["data"][start:stop].astype(np.float32, copy=False)
    # scipy trusts indices: one outside the matrix would write into other memory.
    if not len(index) == len(values) == stop - start or (
        len(index) and not 0 <= index.min() <= index.max() < n_across
    ):
        raise ValueError("an index lies outside the matrix")
    return index, values


def _inside(rows: IntArray, start: int, stop: int) -> IntArray:
    """Rows of a chunk, counted from its start."""
    return rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
