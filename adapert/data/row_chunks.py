"""How much of a file is in memory at once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil

from adapert.data.schema import IntArray
from adapert.errors import InputError

VALUES_AT_ONCE = 2**22
"""Most values in a chunk of an array, non-zeros of a sparse one: no step makes a large copy."""

HARMLESS = 2**28
"""Bytes that any file may declare, whatever its own size."""

MAX_PACKING = 100
"""Times its own size that a file may declare beyond that: a real one is packed far less."""


def require_memory(n_bytes: int, what: str, path: Path) -> None:
    """Refuse a file that declares more than memory holds, or more than a real file packs, before reading it.

    Raises:
        InputError: `what` declares more than `HARMLESS` bytes, and more than a real file packs or than memory
            has room for.
    """
    room = min(MAX_PACKING * path.stat().st_size, psutil.virtual_memory().available)
    if n_bytes > max(HARMLESS, room):
        raise InputError(
            f"A file must hold no more than fits into memory, but {what} in '{path}' declares "
            f"{n_bytes / 1e9:,.1f} GB. Write the file again from its source."
        )


def cut_rows(row_start: IntArray) -> Iterator[tuple[int, int]]:
    """Cut rows into chunks of at most `VALUES_AT_ONCE` values, or of one row that has more.

    Args:
        row_start: Where each row's values start, and where the last row's end, (n_rows + 1,).

    Yields:
        First row of a chunk, and the row after its last.
    """
    start = 0
    while start < len(row_start) - 1:
        limit = row_start[start] + VALUES_AT_ONCE
        stop = max(start + 1, int(np.searchsorted(row_start, limit, side="right")) - 1)
        yield start, stop
        start = stop


def starts_of(lengths: IntArray) -> IntArray:
    """Compute where runs of these lengths, (n,), start, and where the last ends, (n + 1,)."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
