"""Delimited and parquet tables of unknown dialect, read with one set of rules."""

import csv
import gzip
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Literal

import pandas as pd

from adapert.errors import InputError

SMALL_BYTES = 200_000_000
"""Of a table once it is unpacked: fewer are read, whatever the file's size."""

MOST_TIMES = 40
"""Bytes of a table for each of the file's."""


def require_file(path: Path, what: str) -> None:
    """Refuse a path that is no file, before anything is read.

    Args:
        path: Where the file should be.
        what: What it holds, to begin the sentence: ``"The network"``.

    Raises:
        FileNotFoundError: No such file.
    """
    if path.is_dir():
        raise FileNotFoundError(f"{what} must be a file, but '{path}' is a directory.")
    if not path.is_file():
        raise FileNotFoundError(f"{what} must be a file, but there is no file '{path}'.")


def read_table(path: Path, what: str, header: Literal["guess", "none"] = "guess") -> pd.DataFrame:
    """Read a table separated by tabs, commas or blanks, perhaps gzipped, or a parquet file.

    Gene symbols such as ``NA`` stay text.

    Args:
        path: The table.
        what: What it holds, to begin an error's sentence.
        header: ``"guess"`` takes the first line as names unless its last field is a number.

    Returns:
        The table; its columns are numbered where it has no header.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not a table, or an empty one.
    """
    require_file(path, what)
    check_inflated(path, what)
    try:
        table = _read_parquet(path, what) if path.suffix == ".parquet" else _read_delimited(path, header)
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    except InputError:
        raise
    # Parsers', codecs' and compressions' own errors; pyarrow may raise nearly anything at a damaged file.
    except Exception as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise InputError(
            f"{what} must be a table, but '{path}' cannot be read as one: {reason}. "
            "Save it again as text separated by tabs or commas, with as many fields in each line."
        ) from error
    if table.empty:
        raise InputError(f"{what} must not be empty, but '{path}' has no rows.")
    return table


def check_inflated(path: Path, what: str) -> None:
    """Refuse a gzip file that would fill the memory: names and numbers become a tenth, no thousandth.

    Raises:
        InputError: It holds more than `MOST_TIMES` its size, and more than `SMALL_BYTES`.
    """
    limit = max(SMALL_BYTES, MOST_TIMES * path.stat().st_size)
    # No gzip packs better than this; smaller files cannot reach the limit.
    if path.suffix != ".gz" or path.stat().st_size * 1_040 < limit:
        return
    n_bytes = 0
    with (
        suppress(OSError, EOFError, zlib.error),
        gzip.open(path) as file,
    ):  # damaged ones are told by who reads
        while block := file.read(2**20):
            n_bytes += len(block)
            if n_bytes > limit:
                raise InputError(
                    f"{what} must be a file of names and numbers, but '{path}' holds more than {limit:,} "
                    f"bytes in {path.stat().st_size:,}. Unpack it, and see what it is."
                )


def _read_parquet(path: Path, what: str) -> pd.DataFrame:
    import pyarrow.parquet

    metadata = pyarrow.parquet.read_metadata(path)
    n_bytes = 8 * metadata.num_rows * metadata.num_columns
    limit = max(SMALL_BYTES, MOST_TIMES * path.stat().st_size)
    if n_bytes > limit:
        raise InputError(
            f"{what} must be a file of names and numbers, but '{path}' declares {metadata.num_rows:,} rows "
            f"of {metadata.num_columns:,} columns in {path.stat().st_size:,} bytes. See what it is."
        )
    table = pd.read_parquet(path)
    first = table.iloc[:, :1].map(lambda value: value.decode() if isinstance(value, bytes) else value)
    return pd.concat([first, table.iloc[:, 1:]], axis="columns")


def _read_delimited(path: Path, header: Literal["guess", "none"]) -> pd.DataFrame:
    first_line = _first_line(path)
    separator = next((mark for mark in "\t," if mark in first_line), " ")
    fields = first_line.split(separator)
    has_header = header == "guess" and not _is_number(fields[-1])
    # Lone quotes in STRING's annotations would swallow lines; a table that quotes does so from its start.
    is_quoted = separator == "," or '"' in first_line
    return pd.read_csv(
        path,
        sep=separator,
        header=0 if has_header else None,
        keep_default_na=False,
        quoting=csv.QUOTE_MINIMAL if is_quoted else csv.QUOTE_NONE,
        low_memory=False,
    )


def _first_line(path: Path) -> str:
    if path.suffix == ".gz":
        with gzip.open(path, "rt") as file:
            return file.readline().rstrip("\r\n")
    with path.open() as file:
        return file.readline().rstrip("\r\n")


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True
