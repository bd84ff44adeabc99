"""Cells from an .h5ad file: checked, recognised as counts or log values, normalised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse
from anndata.io import read_elem, sparse_dataset

from adapert.data.schema import IntArray, StringArray
from adapert.data.tables import require_file
from adapert.errors import InputError, name_some, nearest

LIBRARY_SIZE = 4_000
"""Counts a cell is scaled to before log1p: TxPert's representation."""

LOG_MAXIMUM = 20.0
"""Above any log1p or log2 of a share of a million; values beyond it were not logged."""

ROWS_AT_ONCE = 2_048


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
        missing = [name for name in ("X", "obs", "var") if name not in file]
        if missing:
            raise InputError(
                f"The cells must be an .h5ad file, but '{path}' is HDF5 without {name_some(missing)}. "
                "Write it with anndata."
            )
        obs, var = read_elem(file["obs"]), read_elem(file["var"])
        layers = tuple(file["layers"]) if "layers" in file else ()
    if not isinstance(obs, pd.DataFrame) or not isinstance(var, pd.DataFrame):
        raise InputError(
            f"The cells must be an .h5ad file, but 'obs' and 'var' of '{path}' are no tables. "
            "Write it again with anndata."
        )
    if not len(obs) or not len(var):
        raise InputError(
            f"The cells must have rows and genes, but '{path}' is of {len(obs)} rows x {len(var)} genes."
        )
    return AnnotatedFile(path=path, obs=obs, var=var, layers=layers)


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


def read_matrix(file: AnnotatedFile, layer: str | None, rows: IntArray) -> scipy.sparse.csr_array:
    """Read some rows of a matrix, a stretch of the file at a time.

    Args:
        file: From `read_annotations`.
        layer: The layer; ``None`` for ``X``.
        rows: Ascending row numbers, (n_rows,).

    Returns:
        float32, (n_rows, n_genes of the file).

    Raises:
        InputError: A damaged file, or a matrix of another size than its annotations.
    """
    with _open(file.path) as opened:
        element = opened["X"] if layer is None else opened[f"layers/{layer}"]
        source: Any = element if isinstance(element, h5py.Dataset) else sparse_dataset(element)
        _check_size(file, source.shape)
        if getattr(source, "format", "csr") == "csc":
            # Rows of a column-wise file lie everywhere in it: one pass over the whole is faster.
            parts = [scipy.sparse.csr_array(source.to_memory(), dtype=np.float32)[rows]]
        else:
            parts = [scipy.sparse.csr_array(part, dtype=np.float32) for part in _stretches(source, rows)]
    matrix = scipy.sparse.csr_array(scipy.sparse.vstack(parts, format="csr"))
    matrix.eliminate_zeros()
    return matrix


def _check_size(file: AnnotatedFile, shape: tuple[int, ...]) -> None:
    if tuple(shape) != (len(file.obs), len(file.var)):
        raise InputError(
            f"A matrix must have a row for each cell and a column for each gene, but '{file.path}' has "
            f"{len(file.obs)} x {len(file.var)} of these and a matrix of {' x '.join(map(str, shape))}. "
            "Write it again with anndata."
        )


def _stretches(source: Any, rows: IntArray) -> Iterator[Any]:
    for start in range(0, source.shape[0], ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, source.shape[0])
        inside = rows[np.searchsorted(rows, start) : np.searchsorted(rows, stop)] - start
        if len(inside):
            yield source[start:stop][inside]


def check_finite(matrix: scipy.sparse.csr_array, gene_names: StringArray, what: str) -> None:
    """Refuse NaN and infinite values, with their count and the first gene.

    Args:
        matrix: Values, (n_rows, n_genes).
        gene_names: (n_genes,).
        what: What the values are, to begin the sentence.

    Raises:
        InputError: NaN or infinite values.
    """
    _refuse_values(matrix, np.isnan(matrix.data), gene_names, f"{what} must be numbers", "NaN")
    _refuse_values(matrix, np.isinf(matrix.data), gene_names, f"{what} must be finite", "infinite")


def recognise_counts(
    matrix: scipy.sparse.csr_array, gene_names: StringArray, layers: tuple[str, ...]
) -> bool:
    """Tell counts from log values, and refuse everything else.

    Args:
        matrix: Values of the cells, (n_cells, n_genes).
        gene_names: (n_genes,).
        layers: The file's layers, to name in an error.

    Returns:
        Whether the values are counts (all integers), not log values (none above `LOG_MAXIMUM`).

    Raises:
        InputError: NaN, infinite or negative values, nothing but zeros, or values that were normalised
            but not logged.
    """
    check_finite(matrix, gene_names, "Expression")
    _refuse_values(matrix, matrix.data < 0, gene_names, "Expression must not be negative", "below 0")
    if not matrix.nnz:
        raise InputError(
            "Expression must not be zero everywhere, but it is. Name counts with --counts-layer."
        )
    if not np.any(matrix.data % 1):
        return True
    maximum = float(matrix.data.max())
    if maximum > LOG_MAXIMUM:
        has = f"the layers are {name_some(layers)}" if layers else "the file has no layers"
        raise InputError(
            f"Expression must be raw counts or log values, but these are fractions of up to {maximum:g}: "
            f"normalised, not logged. Apply log1p first, or name raw counts with --counts-layer ({has})."
        )
    return False


def normalise_counts(counts: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Scale each cell to `LIBRARY_SIZE` counts and take log1p.

    Args:
        counts: Over all genes that were measured, (n_cells, n_genes).

    Returns:
        Expression, log1p units, float32, (n_cells, n_genes); a cell without counts stays zeros.
    """
    library_sizes = counts.sum(axis=1, dtype=np.float64)
    scale = LIBRARY_SIZE / np.where(library_sizes > 0, library_sizes, 1)
    values = np.log1p(counts.data * np.repeat(scale, np.diff(counts.indptr))).astype(np.float32)
    return scipy.sparse.csr_array((values, counts.indices, counts.indptr), shape=counts.shape)


def _refuse_values(
    matrix: scipy.sparse.csr_array, bad: Any, gene_names: StringArray, rule: str, found: str
) -> None:
    n_bad = int(bad.sum())
    if n_bad:
        gene = gene_names[matrix.indices[np.argmax(bad)]]
        values = "1 value is" if n_bad == 1 else f"{n_bad:,} values are"
        raise InputError(
            f"{rule}, but {values} {found}, the first in gene '{gene}'. "
            "Correct the file, or name another layer with --counts-layer."
        )
