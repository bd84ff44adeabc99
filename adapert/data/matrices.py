"""An .h5ad file: its annotations, and its matrices read a stretch of rows at a time."""

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

from adapert.data import stretches
from adapert.data.hdf5 import check_hdf5
from adapert.data.schema import FloatArray, IntArray
from adapert.data.stretches import cut_rows
from adapert.data.tables import require_file
from adapert.errors import InputError, name_some, nearest

ENTRY = np.dtype([("row", np.int32), ("column", np.int32), ("value", np.float32)])
"""A value of a column-wise matrix on its way to its row."""


@dataclass(frozen=True, kw_only=True)
class MatrixFile:
    """Where an .h5ad file's matrices are.

    Attributes:
        path: The file.
        n_rows: Number of cells, or of the perturbations of a response table.
        n_genes: Number of genes.
        layers: Names of the layers.
    """

    path: Path
    n_rows: int
    n_genes: int
    layers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AnnotatedFile:
    """An .h5ad file without its matrices.

    Attributes:
        path: The file.
        obs: Annotations of the cells, or of the perturbations of a response table.
        var: Annotations of the genes.
        layers: Names of the layers.
    """

    path: Path
    obs: pd.DataFrame
    var: pd.DataFrame
    layers: tuple[str, ...]

    @property
    def matrices(self) -> MatrixFile:
        """The file without its annotations, which take memory."""
        return MatrixFile(path=self.path, n_rows=len(self.obs), n_genes=len(self.var), layers=self.layers)


def read_annotations(path: Path) -> AnnotatedFile:
    """Read what an .h5ad file says of its cells and genes, and none of its values.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not an .h5ad file, a damaged one, or one without cells or genes.
    """
    require_file(path, "The cells")
    if not h5py.is_hdf5(path):
        raise InputError(f"The cells must be an .h5ad file, but '{path}' is no HDF5 file.")
    with _open(path) as file:
        check_hdf5(file, path, "The cells")
        missing = [name for name in ("X", "obs", "var") if name not in file]
        if missing:
            raise InputError(
                f"The cells must be an .h5ad file, but '{path}' is HDF5 without {name_some(missing)}. "
                "Write it with anndata."
            )
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        layers = tuple(file["layers"]) if "layers" in file else ()
    # A matrix in place of the names makes an index of arrays.
    if not all(isinstance(each, pd.DataFrame) and all(map(is_scalar, each.index)) for each in (obs, var)):
        raise InputError(
            f"The cells must be an .h5ad file, but 'obs' and 'var' of '{path}' are no tables. "
            "Write it again with anndata."
        )
    if not len(obs) or not len(var):
        raise InputError(
            f"The cells must have rows and genes, but '{path}' is of {len(obs)} rows x {len(var)} genes."
        )
    return AnnotatedFile(path=path, obs=obs, var=var, layers=layers)


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


def read_matrix(file: MatrixFile, layer: str | None, rows: IntArray, scratch: Path) -> scipy.sparse.csr_array:
    """Read some rows of a matrix into memory; as `read_stretches`.

    Returns:
        float32, (n_rows, n_genes of the file).
    """
    parts = list(read_stretches(file, layer, rows, scratch))
    return scipy.sparse.csr_array(scipy.sparse.vstack(parts, format="csr"))


def read_stretches(
    file: MatrixFile, layer: str | None, rows: IntArray, scratch: Path
) -> Iterator[scipy.sparse.csr_array]:
    """Read some rows of a matrix, about `stretches.VALUES_AT_ONCE` values at a time.

    Args:
        file: The file.
        layer: The layer; ``None`` for ``X``.
        rows: Ascending row numbers, (n_rows,).
        scratch: Folder in which a column-wise matrix is turned.

    Yields:
        The next rows without explicit zeros, float32, (n_rows of the stretch, n_genes of the file).

    Raises:
        InputError: A damaged file, or a matrix of another size than its annotations.
    """
    form = _find_form(file, layer)
    if form == "csc":
        parts = _read_turned(file, layer, rows, scratch)
    else:
        parts = _read_rows(file, layer, rows) if form == "csr" else _read_dense(file, layer, rows)
    for part in parts:
        part.eliminate_zeros()
        yield part


@contextmanager
def _open(path: Path) -> Iterator[h5py.File]:
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (InputError, MemoryError):
        raise
    except Exception as error:  # HDF5 and anndata may raise nearly anything at a damaged file
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"The cells must be a whole .h5ad file, but '{path}' is damaged: {reason}. Copy it again, or "
            "write it again with anndata."
        ) from error


def _element(opened: h5py.File, layer: str | None) -> Any:
    return opened["X"] if layer is None else opened[f"layers/{layer}"]


def _find_form(file: MatrixFile, layer: str | None) -> str:
    """Tell a matrix's form, ``"dense"``, ``"csr"`` or ``"csc"``; refuse one of another size."""
    with _open(file.path) as opened:
        element = _element(opened, layer)
        is_dense = isinstance(element, h5py.Dataset)
        source = element if is_dense else sparse_dataset(element)
        shape, form = tuple(source.shape), "dense" if is_dense else str(source.format)
    if shape != (file.n_rows, file.n_genes):
        raise InputError(
            f"A matrix must have a row for each cell and a column for each gene, but '{file.path}' has "
            f"{file.n_rows} x {file.n_genes} of these and a matrix of {' x '.join(map(str, shape))}. "
            "Write it again with anndata."
        )
    return form


def _read_dense(file: MatrixFile, layer: str | None, rows: IntArray) -> Iterator[scipy.sparse.csr_array]:
    n_at_once = max(1, stretches.VALUES_AT_ONCE // file.n_genes)
    with _open(file.path) as opened:
        source = _element(opened, layer)
        for start in range(0, file.n_rows, n_at_once):
            inside = _inside(rows, start, start + n_at_once)
            if len(inside):
                yield scipy.sparse.csr_array(source[start : start + n_at_once][inside], dtype=np.float32)


def _read_rows(file: MatrixFile, layer: str | None, rows: IntArray) -> Iterator[scipy.sparse.csr_array]:
    with _open(file.path) as opened:
        group = _element(opened, layer)
        row_start = _read_starts(group, file.n_rows)
        for start, stop in cut_rows(row_start):
            inside = _inside(rows, start, stop)
            if len(inside):
                gene_index, values = _read_values(group, row_start[start], row_start[stop], file.n_genes)
                part = scipy.sparse.csr_array(
                    (values, gene_index, row_start[start : stop + 1] - row_start[start]),
                    shape=(stop - start, file.n_genes),
                )
                yield part if len(inside) == part.shape[0] else part[inside]


def _read_turned(
    file: MatrixFile, layer: str | None, rows: IntArray, scratch: Path
) -> Iterator[scipy.sparse.csr_array]:
    with _open(file.path) as opened:
        n_values = len(_element(opened, layer)["indices"])
    n_stretches = min(1 + n_values // stretches.VALUES_AT_ONCE, len(rows))
    edges = np.linspace(0, len(rows), n_stretches + 1).astype(np.int64)
    position = np.full(file.n_rows, -1, dtype=np.int32)
    position[rows] = np.arange(len(rows))
    return _turn(_read_columns(file, layer), edges, position, file.n_genes, scratch)


def _read_columns(file: MatrixFile, layer: str | None) -> Iterator[tuple[IntArray, IntArray, FloatArray]]:
    """Yield row, column and value of the next non-zeros of a column-wise matrix."""
    with _open(file.path) as opened:
        group = _element(opened, layer)
        column_start = _read_starts(group, file.n_genes)
        for start in range(0, int(column_start[-1]), stretches.VALUES_AT_ONCE):
            stop = min(start + stretches.VALUES_AT_ONCE, int(column_start[-1]))
            row, values = _read_values(group, start, stop, file.n_rows)
            inside = np.clip(column_start, start, stop)
            column = np.repeat(np.arange(file.n_genes, dtype=np.int32), inside[1:] - inside[:-1])
            yield row, column, values


def _read_starts(group: Any, n_lines: int) -> IntArray:
    # Of its declared size before any room is made for it.
    starts: IntArray = group["indptr"][: n_lines + 2].astype(np.int64)
    if len(starts) != n_lines + 1 or starts[0] != 0 or (np.diff(starts) < 0).any():
        raise ValueError("its row pointers do not ascend")
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
    """Rows of a stretch, counted from its start."""
    inside: IntArray = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
    return inside


def _turn(
    columns: Iterator[tuple[IntArray, IntArray, FloatArray]],
    edges: IntArray,
    position: IntArray,
    n_genes: int,
    scratch: Path,
) -> Iterator[scipy.sparse.csr_array]:
    """Turn columns into stretches of rows: each value goes to its stretch's file, which is then read.

    Args:
        columns: From `_read_columns`.
        edges: First row of each stretch, and the number of rows, (n_stretches + 1,).
        position: Row that each row of the file becomes, -1 where it is not wanted, (n_rows of the file,).
        n_genes: Genes of the file.
        scratch: Folder for the files.
    """
    paths = [scratch / f"rows_from_{start}" for start in edges[:-1].tolist()]
    for path in paths:
        path.touch()
    for row, column, values in columns:
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
        yield scipy.sparse.csr_array((entries["value"], coordinates), shape=(stop - start, n_genes))
