"""Sparse rows on disk, read back a piece at a time through ordinary file reads.

Not memory-mapped: mapped pages count as the process's memory as long as the system has room for them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import scipy.sparse

from adapert.data.row_chunks import cut_rows, starts_of
from adapert.data.schema import IntArray


@dataclass(frozen=True, kw_only=True)
class StoredRows:
    """Rows of a sparse matrix, their values in one file and their columns in another.

    Attributes:
        folder: Holds the two files.
        row_start: Where each row's values start, (n_rows + 1,).
        n_columns: Columns of the matrix.
    """

    folder: Path
    row_start: IntArray
    n_columns: int

    @classmethod
    def write(cls, folder: Path, parts: Iterable[scipy.sparse.csr_array], n_columns: int) -> "StoredRows":
        """Write rows, part by part, into a new folder."""
        folder.mkdir()
        lengths = []
        with (folder / "values").open("wb") as values, (folder / "columns").open("wb") as columns:
            for part in parts:
                part.data.astype(np.float32, copy=False).tofile(values)
                part.indices.astype(np.int32, copy=False).tofile(columns)
                lengths.append(np.diff(part.indptr))
        return cls(folder=folder, row_start=starts_of(np.concatenate(lengths)), n_columns=n_columns)

    def __len__(self) -> int:
        return len(self.row_start) - 1

    def take(self, rows: IntArray) -> scipy.sparse.csr_array:
        """Read some rows, in the order given."""
        start = starts_of(self.lengths(rows))
        values, columns = np.empty(start[-1], dtype=np.float32), np.empty(start[-1], dtype=np.int32)
        for name, array in (("values", values), ("columns", columns)):
            as_bytes = array.view(np.uint8)
            with (self.folder / name).open("rb", buffering=0) as file:
                for row, (first, last) in zip(rows.tolist(), pairwise((4 * start).tolist()), strict=True):
                    file.seek(4 * int(self.row_start[row]))
                    file.readinto(as_bytes[first:last].data)
        return scipy.sparse.csr_array((values, columns, start), shape=(len(rows), self.n_columns))

    def some(self, rows: IntArray) -> "StoredSubset":
        """Choose rows to go through, as often as wanted."""
        return StoredSubset(stored=self, rows=rows)

    def cut(self, rows: IntArray) -> Iterator[tuple[int, int]]:
        """Cut some rows into chunks to take one at a time; as `cut_rows`."""
        return cut_rows(starts_of(self.lengths(rows)))

    def lengths(self, rows: IntArray) -> IntArray:
        """Number of values of some rows, (n_rows,)."""
        return self.row_start[rows + 1] - self.row_start[rows]


@dataclass(frozen=True, kw_only=True)
class StoredSubset:
    """Some of the stored rows, read again in chunks each time it is iterated."""

    stored: StoredRows
    rows: IntArray

    def __iter__(self) -> Iterator[scipy.sparse.csr_array]:
        for start, stop in self.stored.cut(self.rows):
            yield self.stored.take(self.rows[start:stop])
