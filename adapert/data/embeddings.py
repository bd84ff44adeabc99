"""Embeddings of genes: read from npz, tables or GenePT's pickle, aligned to the graph's nodes."""

import gzip
import io
import json
import logging
import math
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Any, NoReturn

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from adapert.data.array_tables import NodeVectors
from adapert.data.formats.tables import open_binary, read_table, require_file
from adapert.data.labels.aliases import Aliases, match_names
from adapert.data.row_chunks import require_memory
from adapert.data.schema import BoolArray, FloatArray, StringArray
from adapert.data.screens import read_screen
from adapert.errors import InputError, format_count, name_some

_LOGGER = logging.getLogger(__name__)

NPZ_ARRAYS = ("symbols", "embedding")

PLAIN_OPERATIONS = re.compile(
    rb"(?:(?:G.{8})++|[Kqh].|M..|[Jj].{4}|\x80.|\x95.{8}|[]}()euastN\x85-\x89\x94])*+", re.DOTALL
)
"""Operations of a pickle of dicts, lists and numbers that have arguments of fixed size and need no memory."""


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
    """Read embeddings; of a repeated symbol the first row counts.

    Args:
        path: ``.npz`` of ``symbols`` and ``embedding``; a dict of gene to list of numbers (GenePT) as
            ``.pickle``, ``.pkl`` or ``.json``; a table (``.csv``, ``.tsv``, ``.parquet``) whose first column
            is the symbol; or an ``.h5ad`` of another screen's responses, see
            `adapert.data.screens.read_screen`. All but ``.npz`` and ``.h5ad`` may be gzipped.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not such a file, rows of unequal length, values that are no finite numbers, or a
            pickle that would execute code.
    """
    require_file(path, "The embeddings")
    form = PurePath(path.name.casefold().removesuffix(".gz")).suffix
    symbols, vectors = _READERS.get(form, _read_table)(path)
    symbols = np.strings.strip(symbols)
    if not vectors.size:
        raise InputError(f"The embeddings must not be empty, but '{path}' is.")
    bad = ~np.isfinite(vectors).all(axis=1)
    if bad.all():
        raise InputError(
            f"Embeddings must be finite numbers, but '{path}' has no row of such: it is no table of "
            "embeddings. Name a file with a gene and its numbers in each row."
        )
    if bad.any():
        named = name_some(dict.fromkeys(symbols[bad].tolist()))
        raise InputError(
            f"Embeddings must be finite numbers, but {int(bad.sum()):,} of "
            f"{format_count(len(symbols), 'row')} in '{path}' are not: {named}. Remove these rows."
        )
    _, first, place = np.unique(symbols, return_index=True, return_inverse=True)
    differs = (vectors != vectors[first[place]]).any(axis=1)
    if differs.any():
        repeated = np.unique(symbols[differs]).tolist()
        _LOGGER.info(f"symbols with several embeddings, of which the first counts: {name_some(repeated)}")
    return Embeddings(symbols=symbols[first], vectors=vectors[first])


def is_embedding_table(table: pd.DataFrame) -> bool:
    """Whether a table is of embeddings, not of pairs: a symbol, then numbers alone, or a list of them."""
    if table.shape[1] == 2:
        return _is_of_lists(table)
    return not is_numeric_dtype(table.dtypes.iloc[0]) and all(map(is_numeric_dtype, table.dtypes.iloc[1:]))


def align_embeddings(embeddings: Embeddings, node_names: StringArray, aliases: Aliases) -> NodeVectors:
    """Give each node of the graph, (n_nodes,), its embedding, L2-normalised.

    Returns:
        The rows, float32, and whether a gene has one. A vector of zeros counts as none.

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
    has_embedding: BoolArray = lengths[:, 0] > 0
    if not has_embedding.any():
        raise InputError(
            f"The embeddings must cover genes of the data, but of their {len(row_of)} symbols "
            f"({name_some(row_of, 3)}) none is among the data's {len(node_names)} "
            f"({name_some(node_names.tolist(), 3)}). Use embeddings by gene symbol, or give --aliases."
        )
    unit = (aligned / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return NodeVectors(embedding=unit, has_embedding=has_embedding)


def _read_npz(path: Path) -> tuple[StringArray, FloatArray]:
    try:
        with zipfile.ZipFile(path) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist()]
            if not set(NPZ_ARRAYS).issubset(held):
                raise InputError(
                    f"An .npz of embeddings must hold 'symbols' and 'embedding', but '{path}' holds "
                    f"{name_some(held) or 'nothing'}. Write it with "
                    "numpy.savez(path, symbols=..., embedding=...)."
                )
            symbols, vectors = (_read_array(archive, name, path) for name in NPZ_ARRAYS)
    except InputError:
        raise
    except Exception as error:  # zipfile and numpy may raise nearly anything at a damaged file
        raise InputError(
            f"The embeddings must be plain arrays in an .npz file, but '{path}' is damaged or something "
            "else. Write it with numpy.savez(path, symbols=..., embedding=...)."
        ) from error
    if symbols.ndim != 1 or vectors.ndim != 2 or len(symbols) != len(vectors):
        raise InputError(
            f"The embeddings must have a row for each symbol, but 'symbols' is {symbols.shape} and "
            f"'embedding' {vectors.shape} in '{path}'. Make them (n,) and (n, size)."
        )
    if not np.issubdtype(vectors.dtype, np.number) or np.iscomplexobj(vectors):
        raise InputError(
            f"Embeddings must be numbers, but 'embedding' in '{path}' is of type {vectors.dtype}. "
            "Convert it to float32."
        )
    return symbols.astype(str), vectors.astype(np.float64)


def _read_array(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    """Read an array whose header declares no objects, and no more bytes than are there and fit."""
    member = f"{name}.npy"
    with archive.open(member) as file:
        is_first_version = np.lib.format.read_magic(file) == (1, 0)
        read_header = (
            np.lib.format.read_array_header_1_0 if is_first_version else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(file)
        n_bytes = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise InputError(
                f"The embeddings must be plain arrays, but '{name}' in '{path}' holds Python objects, "
                f"which only code could read. Write it with numpy.savez(..., {name}={name}.astype("
                f"{'str' if name == 'symbols' else 'float'}))."
            )
        if n_bytes != archive.getinfo(member).file_size - file.tell():
            raise ValueError(f"'{name}' has other bytes than it declares")
        require_memory(max(n_bytes, 8 * math.prod(shape)), f"'{name}'", path)
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _read_table(path: Path) -> tuple[StringArray, FloatArray]:
    table = read_table(path, "The embeddings")
    if table.shape[1] < 2:
        raise InputError(
            f"A table of embeddings must have a symbol and then numbers, but '{path}' has one column."
        )
    if table.shape[1] == 2 and _is_of_lists(table):
        return _read_dict(
            dict(zip(table.iloc[:, 0].astype(str), map(list, table.iloc[:, 1]), strict=True)), path
        )
    # A blank cell, or a word among the numbers, becomes NaN and is refused with the others.
    vectors = table.iloc[:, 1:].apply(pd.to_numeric, errors="coerce")
    return table.iloc[:, 0].to_numpy(dtype=str), vectors.to_numpy(np.float64)


def _is_of_lists(table: pd.DataFrame) -> bool:
    return isinstance(table.iloc[0, 1], list | np.ndarray)


class _Plain:
    """Reads dicts, lists and numbers; whatever needs a class or a function is refused."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise InputError(
            "A pickle of embeddings must be a plain dict of gene to list of numbers, but reading this "
            f"one would execute code ('{module}.{name}'). Convert it to .npz with 'symbols' and 'embedding' "
            "where you trust it."
        )


class _FastUnpickler(_Plain, pickle.Unpickler):
    """For pickles that `_is_plain` knows: a number in others makes it take any amount of memory."""


class _FrugalUnpickler(_Plain, pickle._Unpickler):
    """For all others: Python's own, which is slow, but takes no more memory than the content needs."""


def _load_pickle(file: gzip.GzipFile | io.BufferedReader) -> Any:
    data = file.read()
    unpickler = _FastUnpickler if _is_plain(data) else _FrugalUnpickler
    return unpickler(io.BytesIO(data)).load()


def _is_plain(data: bytes) -> bool:
    """Check that a pickle has only texts, numbers, lists and dicts, and numbers them as Python does."""
    position = 0
    while True:
        match = PLAIN_OPERATIONS.match(data, position)
        position = len(data) if match is None else match.end()
        operation, argument = data[position : position + 1], data[position + 1 : position + 5]
        # Texts (\x8c, X) and long numbers (\x8a) follow their length. What is kept (r) is numbered:
        # for a larger number the reader in C would make room for all up to it.
        if operation == b"\x8c" or operation == b"\x8a":
            position += 2 + int.from_bytes(argument[:1], "little")
        elif operation == b"X":
            position += 5 + int.from_bytes(argument, "little")
        elif operation == b"r" and int.from_bytes(argument, "little") < position:
            position += 5
        else:
            return operation == b"."


def _read_dict_file(
    path: Path, form: str, load: Callable[[gzip.GzipFile | io.BufferedReader], Any]
) -> tuple[StringArray, FloatArray]:
    try:
        with open_binary(path) as file:
            content = load(file)
    except InputError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        raise InputError(
            f"The embeddings must be {form}, but '{path}' is damaged or something else. Copy it "
            "again, or give them as .npz, .csv or .parquet."
        ) from error
    return _read_dict(content, path)


def _read_dict(content: Any, path: Path) -> tuple[StringArray, FloatArray]:
    if not isinstance(content, dict) or not all(
        isinstance(symbol, str) and isinstance(row, list | tuple) for symbol, row in content.items()
    ):
        raise InputError(
            f"Embeddings as a pickle or JSON must be a dict of gene to list, but '{path}' is not. "
            "Convert it to {symbol: [number, ...]}."
        )
    if not content:
        raise InputError(f"The embeddings must not be empty, but '{path}' is.")
    symbols, rows = list(content), list(content.values())
    length = len(rows[0])
    ragged = [symbol for symbol, row in zip(symbols, rows, strict=True) if len(row) != length]
    if ragged:
        raise InputError(
            f"Embeddings must all have one length, but of {len(rows)} in '{path}' {len(ragged)} "
            f"do not have the first's {length}: {name_some(ragged)}."
        )
    require_memory(8 * len(rows) * length, "the table of embeddings", path)
    vectors = np.empty((len(rows), length))
    try:
        for place, row in enumerate(rows):  # row by row: lists within a row would become a larger array
            vectors[place] = np.fromiter(row, np.float64, length)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"Embeddings must be numbers, but '{symbols[place]}' in '{path}' has others: {error}. "
            "Remove or convert them."
        ) from error
    return np.array(symbols), vectors


_READERS: dict[str, Callable[[Path], tuple[StringArray, FloatArray]]] = {
    ".npz": _read_npz,
    ".npy": _read_npz,
    ".h5ad": read_screen,
    ".json": partial(_read_dict_file, form="JSON", load=json.load),
    ".pkl": partial(_read_dict_file, form="a pickle", load=_load_pickle),
    ".pickle": partial(_read_dict_file, form="a pickle", load=_load_pickle),
}

FILE_FORMS = tuple(_READERS)
"""Suffixes of files of embeddings that are no tables."""
