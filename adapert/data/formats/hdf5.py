"""What an HDF5 file that may be anybody's must not do: reach out of itself, or declare more than it holds."""

from pathlib import Path
from typing import Any

import h5py

from adapert.errors import InputError

SMALL_BYTES = 500_000_000
"""Of annotations: fewer are read, whatever the file's size."""

MOST_TIMES = 20
"""Bytes of annotations for each of the file's: compression of labels gives less."""


def check_hdf5(file: h5py.File, path: Path, what: str, tables: tuple[str, ...] = ("obs", "var")) -> None:
    """Refuse data that lie in other files, and tables larger than the file could hold.

    HDF5 opens whatever file of this user an external link or an external storage names; and room for a table
    is made by its declared size, which may be anything.

    Args:
        file: Opened; none of its values are read.
        path: Of it.
        what: It holds, to begin the sentence: ``"The cells"``.
        tables: Groups that are read whole.

    Raises:
        InputError: It does one of these.
    """
    outside: list[str] = []
    n_bytes = 0

    def see_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            outside.append(name)

    def see_item(name: str, item: Any) -> None:
        nonlocal n_bytes
        if isinstance(item, h5py.Dataset):
            if item.is_virtual or item.external:
                outside.append(name)
            if name.split("/")[0] in tables:
                n_bytes += item.size * item.dtype.itemsize if item.shape is not None else 0

    file.visititems_links(see_link)
    file.visititems(see_item)
    if outside:
        raise InputError(
            f"{what} must lie in one file, but '{outside[0]}' of '{path}' lies in another file. "
            "Write it with anndata: read_h5ad, then write_h5ad."
        )
    limit = max(SMALL_BYTES, MOST_TIMES * path.stat().st_size)
    if n_bytes > limit:
        raise InputError(
            f"{what} must be a whole file, but '{path}' declares {n_bytes:,} bytes of {' and '.join(tables)} "
            f"in {path.stat().st_size:,}. Write it again with anndata."
        )
