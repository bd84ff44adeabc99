"""How much of a matrix is in memory at once."""

from collections.abc import Iterator

import numpy as np

from adapert.data.schema import IntArray

VALUES_AT_ONCE = 2**22
"""Values that a stretch of rows holds at most: non-zeros of a sparse matrix, all of a dense one."""


def cut_rows(row_start: IntArray) -> Iterator[tuple[int, int]]:
    """Cut rows into stretches of at most `VALUES_AT_ONCE` values, or of one row that has more.

    Args:
        row_start: Where each row's values start, and where the last row's end, (n_rows + 1,).

    Yields:
        First row of a stretch, and the row after its last.
    """
    start = 0
    while start < len(row_start) - 1:
        limit = row_start[start] + VALUES_AT_ONCE
        stop = max(start + 1, int(np.searchsorted(row_start, limit, side="right")) - 1)
        yield start, stop
        start = stop


def starts_of(lengths: IntArray) -> IntArray:
    """Say where each of a row of stretches starts, and where the last ends.

    Args:
        lengths: (n_stretches,).

    Returns:
        (n_stretches + 1,).
    """
    starts: IntArray = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return starts
