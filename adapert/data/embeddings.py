"""Text embeddings of genes: read from npz, tables or GenePT's pickle, aligned to the graph's nodes."""

import math
import pickle
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import pandas as pd

from adapert.data.aliases import Aliases, match_names
from adapert.data.schema import BoolArray, FloatArray, StringArray
from adapert.data.tables import MOST_TIMES, SMALL_BYTES, read_table, require_file
from adapert.errors import InputError, name_some


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """A vector for each gene symbol.

    Attributes:
        symbols: Gene symbols, each once, (n_symbols,).
        vectors: As in the file, (n_symbols, text_size).
    """

    symbols: StringArray
    vectors: FloatArray


def read_embeddings(path: Path) -> Embeddings:
    """Read text embeddings; of a repeated symbol the first row counts.

    Args:
        path: ``.npz`` of ``symbols`` and ``embedding``; a pickled dict of gene to list of numbers
            (GenePT); or a table (``.csv``, ``.tsv``, ``.parquet``) whose first column is the symbol.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not such a file, rows of unequal length, values that are no finite numbers, or a
            pickle that would execute code.
    """
    require_file(path, "The text embeddings")
    symbols, vectors = _READERS.get(path.suffix, _read_table)(path)
    if not vectors.size:
        raise InputError(f"The text embeddings must not be empty, but '{path}' is.")
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.any():
        raise InputError(
            f"Text embeddings must be finite numbers, but {int(bad.sum())} of {len(symbols)} rows in "
            f"'{path}' are not: {name_some(symbols[bad].tolist())}. Remove these rows."
        )
    _, first = np.unique(symbols, return_index=True)
    return Embeddings(symbols=symbols[first], vectors=vectors[first])


def align_embeddings(
    embeddings: Embeddings, node_names: StringArray, aliases: Aliases
) -> tuple[FloatArray, BoolArray]:
    """Give each node its embedding, L2-normalised.

    Args:
        embeddings: From `read_embeddings`.
        node_names: Genes of the graph, (n_nodes,).
        aliases: Other names of a symbol.

    Returns:
        The rows, float32, zeros where a gene has none, (n_nodes, text_size), and whether a gene
        has one, (n_nodes,). A vector of zeros counts as none.

    Raises:
        InputError: No node has an embedding.
    """
    row_of = {str(symbol): row for row, symbol in enumerate(embeddings.symbols)}
    matches = match_names(node_names.tolist(), row_of, aliases)
    aligned = np.zeros((len(node_names), embeddings.vectors.shape[1]))
    for node, name in enumerate(node_names.tolist()):
        if name in matches:
            aligned[node] = embeddings.vectors[row_of[matches[name]]]
    lengths = np.linalg.norm(aligned, axis=1, keepdims=True)
    has_text: BoolArray = lengths[:, 0] > 0
    if not has_text.any():
        raise InputError(
            f"The text embeddings must cover genes of the data, but of their {len(row_of)} symbols "
            f"({name_some(row_of, 3)}) none is among the data's {len(node_names)} "
            f"({name_some(node_names.tolist(), 3)}). Use embeddings by gene symbol, or give --aliases."
        )
    return (aligned / np.where(lengths > 0, lengths, 1)).astype(np.float32), has_text


def _read_npz(path: Path) -> tuple[StringArray, FloatArray]:
    try:
        _check_declared(path)
        with np.load(path, allow_pickle=False) as arrays:
            content = {name: arrays[name] for name in arrays.files}
    except InputError:
        raise
    except Exception as error:  # a damaged archive may raise nearly anything
        # numpy's own message would advise to load the file unsafely.
        raise InputError(
            f"The text embeddings must be plain arrays in an .npz file, but '{path}' is damaged or something "
            "else. Write it with numpy.savez(path, symbols=..., embedding=...)."
        ) from error
    symbols, vectors = content.get("symbols"), content.get("embedding")
    if symbols is None or vectors is None:
        raise InputError(
            f"An .npz of text embeddings must hold 'symbols' and 'embedding', but '{path}' holds "
            f"{name_some(content)}."
        )
    if symbols.ndim != 1 or vectors.ndim != 2 or len(symbols) != len(vectors):
        raise InputError(
            f"The text embeddings must have a row for each symbol, but 'symbols' is {symbols.shape} and "
            f"'embedding' {vectors.shape} in '{path}'."
        )
    if not np.issubdtype(vectors.dtype, np.number) or np.iscomplexobj(vectors):
        raise InputError(
            f"Text embeddings must be numbers, but 'embedding' in '{path}' is of type {vectors.dtype}. "
            "Convert it to float32."
        )
    return symbols.astype(str), vectors.astype(np.float64)


def _check_declared(path: Path) -> None:
    """Refuse arrays that would fill the memory: room is made for what they declare."""
    n_bytes = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                # A version without one of these is of arrays of structures: the KeyError.
                read_header = _HEADERS[np.lib.format.read_magic(file)]
                shape, _, dtype = read_header(file)
                n_bytes += math.prod(shape) * dtype.itemsize
    limit = max(SMALL_BYTES, MOST_TIMES * path.stat().st_size)
    if n_bytes > limit:
        raise InputError(
            f"The text embeddings must be a file of names and numbers, but '{path}' declares {n_bytes:,} "
            f"bytes in {path.stat().st_size:,}. See what it is."
        )


_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def _read_table(path: Path) -> tuple[StringArray, FloatArray]:
    table = read_table(path, "The text embeddings")
    if table.shape[1] < 2:
        raise InputError(
            f"A table of text embeddings must have a symbol and then numbers, but '{path}' has one column."
        )
    # A blank cell, or a word among the numbers, becomes NaN and is refused with the others.
    vectors = table.iloc[:, 1:].apply(pd.to_numeric, errors="coerce")
    return table.iloc[:, 0].to_numpy(dtype=str), vectors.to_numpy(np.float64)


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists and numbers; whatever needs a class or a function is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise InputError(
            "A pickle of text embeddings must be a plain dict of gene to list of numbers, but reading this "
            f"one would execute code ('{module}.{name}'). Convert it to .npz with 'symbols' and 'embedding' "
            "where you trust it."
        )


def _read_pickle(path: Path) -> tuple[StringArray, FloatArray]:
    with path.open("rb") as file:
        content = _unpickle(file, path)
    if not isinstance(content, dict) or not all(isinstance(row, list | tuple) for row in content.values()):
        raise InputError(f"A pickle of text embeddings must be a dict of gene to list, but '{path}' is not.")
    if not content:
        raise InputError(f"The text embeddings must not be empty, but '{path}' is.")
    symbols = [str(symbol) for symbol in content]
    return np.array(symbols), _stack(symbols, list(content.values()), path)


def _unpickle(file: BinaryIO, path: Path) -> Any:
    try:
        return _PlainUnpickler(file).load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise InputError(
            f"The text embeddings must be a pickle, but '{path}' is damaged or something else. Copy it "
            "again, or give them as .npz, .csv or .parquet."
        ) from error


def _stack(symbols: Sequence[str], rows: Sequence[Sequence[float]], path: Path) -> FloatArray:
    length = len(rows[0])
    ragged = [symbol for symbol, row in zip(symbols, rows, strict=True) if len(row) != length]
    if ragged:
        raise InputError(
            f"Text embeddings must all have one length, but of {len(rows)} rows in '{path}' {len(ragged)} "
            f"have another than the first's {length}: {name_some(ragged)}."
        )
    try:
        return np.array(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Text embeddings must be numbers, but '{path}' has others: {error}") from error


_READERS: dict[str, Callable[[Path], tuple[StringArray, FloatArray]]] = {
    ".npz": _read_npz,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
}
