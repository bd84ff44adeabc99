"""Delimited and parquet tables of unknown dialect, read with one set of rules."""

import csv
import gzip
import zlib
from pathlib import Path
from typing import Literal

import pandas as pd

from adapert.errors import InputError


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
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else _read_delimited(path, header)
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    # pandas' parser errors, pyarrow's and codecs' are ValueErrors; a cut gzip file raises the last two.
    except (ValueError, OSError, EOFError, zlib.error) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise InputError(
            f"{what} must be a table, but '{path}' cannot be read as one: {reason}. "
            "Save it again as text separated by tabs or commas, with as many fields in each line."
        ) from error
    if table.empty:
        raise InputError(f"{what} must not be empty, but '{path}' has no rows.")
    return table


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
