"""Delimited and parquet tables of unknown dialect, read with one set of rules."""

import codecs
import csv
import gzip
import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from adapert.data.row_chunks import HARMLESS, require_memory
from adapert.errors import InputError, name_some

GZIP = b"\x1f\x8b"

MAX_LINE = 2**20
"""Characters of a first line that are looked at: enough for the names of any table's columns."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a delimited table is written.

    Attributes:
        n_skipped: Lines before the first that counts: comments and blank ones.
        separator: Between the fields, as pandas takes it.
        fields: Fields of the first line that counts.
        is_quoted: Whether quotes enclose fields.
    """

    n_skipped: int
    separator: str
    fields: tuple[str, ...]
    is_quoted: bool

    @property
    def decimal(self) -> str:
        """Mark of a number's fraction: semicolons stand where commas do not separate fields."""
        return "," if self.separator == ";" else "."

    @property
    def has_header(self) -> bool:
        """Whether the first line holds names: no numbers behind the first field, or a counter's."""
        numbers = [_number(field.replace(self.decimal, ".")) for field in self.fields[1:]]
        is_counter = len(numbers) > 1 and numbers in ([*range(len(numbers))], [*range(1, len(numbers) + 1)])
        return is_counter or all(number is None for number in numbers)


def require_file(path: Path, what: str) -> None:
    """Refuse a path that is no file of what begins the sentence, such as ``"The network"``.

    Raises:
        FileNotFoundError: No such file.
        InputError: One that this user may not read.
    """
    if path.is_dir():
        raise FileNotFoundError(f"{what} must be a file, but '{path}' is a directory.")
    if not path.is_file():
        raise FileNotFoundError(f"{what} must be a file, but there is no file '{path}'.")
    if not os.access(path, os.R_OK):
        raise InputError(
            f"{what} must be a file to read, but '{path}' is not readable. Change its permissions."
        )


def open_binary(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """Open a file's bytes, unpacked where they are gzipped, but no more than memory holds.

    Raises:
        InputError: When more are read than a real file unpacks to.
    """
    with path.open("rb") as file:
        is_packed = path.suffix == ".gz" or file.read(2) == GZIP
    return _BoundedGzip(path) if is_packed else path.open("rb")


def read_table(path: Path, what: str, header: Literal["guess", "none"] = "guess") -> pd.DataFrame:
    """Read a table separated by tabs, commas, semicolons or blanks, perhaps gzipped, or a parquet file.

    Text is UTF-8, or UTF-16 with its mark. Lines with ``#`` at the top are comments, but for the last
    one where it has the names of the columns. Gene symbols such as ``NA`` stay text. An index that
    pandas or R wrote is the first column.

    `what` begins an error's sentence. By `header` ``"guess"`` the first line has the names unless it has
    numbers; without names, columns are numbered.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not a table, or an empty one.
    """
    require_file(path, what)
    try:
        table = _read_parquet(path) if path.suffix == ".parquet" else _read_delimited(path, header)
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    except (InputError, MemoryError):
        raise
    except Exception as error:  # pandas, pyarrow and codecs may raise nearly anything at a damaged file
        message = "it is not UTF-8 text" if isinstance(error, UnicodeError) else str(error)
        reason = message.strip().removeprefix("Error tokenizing data. C error: ") or type(error).__name__
        raise InputError(
            f"{what} must be a table, but '{path}' cannot be read as one: {reason.splitlines()[0]}. "
            f"Name the file of {_uncapitalised(what)}, or save it again as UTF-8 text separated by tabs or "
            "commas, with the same number of columns in every line."
        ) from error
    if table.empty:
        raise InputError(f"{what} must not be empty, but '{path}' has no rows.")
    return table


def _uncapitalised(what: str) -> str:
    return f"the {what.removeprefix('The ')}" if what.startswith("The ") else what


class _BoundedGzip(gzip.GzipFile):
    """A gzip file that ends with an error where it unpacks to more than any real one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._path = path
        self._next_check = HARMLESS

    def read1(self, size: int = -1) -> bytes:
        data = super().read1(size)
        if self.tell() > self._next_check:
            require_memory(self.tell(), "what is packed", self._path)
            self._next_check = self.tell() + HARMLESS // 4
        return data

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size >= 0:
            return super().read(size)
        return b"".join(iter(lambda: self.read1(2**20), b""))


def _read_parquet(path: Path) -> pd.DataFrame:
    # Not pandas' reader: it makes columns of folders with '=' in their names.
    with pyarrow.parquet.ParquetFile(path) as file:
        require_memory(8 * file.metadata.num_rows * file.metadata.num_columns, "the table", path)
        table = file.read()
    table.validate(full=True)
    for place, field in enumerate(table.schema):
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.string()))
    repeated = pd.Index(table.column_names)
    if repeated.has_duplicates:
        raise ValueError(f"several columns are called {name_some(repeated[repeated.duplicated()])}")
    frame: pd.DataFrame = table.to_pandas()
    return _index_first(frame)


def _read_delimited(path: Path, header: Literal["guess", "none"]) -> pd.DataFrame:
    dialect = _find_dialect(path)

    def read(**options: Any) -> pd.DataFrame:
        with _open_text(path) as file:
            table: pd.DataFrame = pd.read_csv(
                file,
                sep=dialect.separator,
                decimal=dialect.decimal,
                skiprows=dialect.n_skipped,
                header=0 if header == "guess" and dialect.has_header else None,
                keep_default_na=False,
                quoting=csv.QUOTE_MINIMAL if dialect.is_quoted else csv.QUOTE_NONE,
                skipinitialspace=dialect.separator in ",;",
                low_memory=False,
                **options,
            )
            return table

    table = read()
    if not isinstance(table.index, pd.RangeIndex) and (table.iloc[:, -1].astype(str) == "").all():
        return read(index_col=False)  # lines that end with a separator, not names of rows
    return _index_first(table)


def _index_first(table: pd.DataFrame) -> pd.DataFrame:
    """Make names of rows, which pandas sets apart, the first column."""
    return table if isinstance(table.index, pd.RangeIndex) else table.reset_index()


def _find_dialect(path: Path) -> Dialect:
    number, line, comment = 0, "", ""
    with _open_text(path) as file:
        while next_line := file.readline(MAX_LINE):
            number, line = number + 1, next_line.rstrip("\r\n")
            if line.strip() and not line.startswith("#"):
                break
            comment = line
    separator = _find_separator(line)
    # STRING and BioGRID write the names of the columns behind a '#'.
    n_fields = len(line.split(separator))
    if comment.startswith("#") and 1 < n_fields == len(comment.split(separator)):
        number, line = number - 1, comment
    return Dialect(
        n_skipped=max(number - 1, 0),
        separator=r"\s+" if separator == " " else separator,
        fields=tuple(field.strip().strip('"') for field in line.split(separator)),
        # Lone quotes in STRING's annotations would swallow lines; a table that quotes does so from its start.
        is_quoted=separator in ",;" or '"' in line,
    )


def _find_separator(line: str) -> str:
    if "\t" in line:
        return "\t"
    separator = max(";,", key=line.count)
    return separator if separator in line else " "


def _open_text(path: Path) -> TextIO:
    file = open_binary(path)
    start = file.read(2)
    file.seek(0)
    encoding = "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return io.TextIOWrapper(file, encoding=encoding, newline="")


def _number(field: str) -> float | None:
    try:
        return float(field)
    except ValueError:
        return None
