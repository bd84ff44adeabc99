"""What an HDF5 file of unknown origin must not do: reach out of itself, or declare more than it holds."""

from pathlib import Path
from typing import Any

import h5py

from adapert.data.row_chunks import require_memory
from adapert.errors import InputError

MAX_DEPTH = 8
"""Nested groups of a table's annotations; anndata makes two."""


def check_hdf5(file: h5py.File, path: Path, what: str, tables: tuple[str, ...] = ("obs", "var")) -> None:
    """Refuse data in other files, and tables larger than memory, before any value is read.

    HDF5 opens whatever file of this user an external link or an external storage names; and memory for a
    table is reserved by its declared size, which may be anything. `what` begins an error's sentence, such as
    ``"The cells"``; of `tables`, members that are read whole, those that are missing do not count.

    Raises:
        InputError: It does one of these.
        ValueError: Groups that are nested too deeply.
    """
    outside: list[str] = []

    def check_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            outside.append(name)

    def check_storage(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            outside.append(name)

    file.visititems_links(check_link)
    file.visititems(check_storage)
    if outside:
        raise InputError(
            f"{what} must be in one file, but '{outside[0]}' of '{path}' is in another file. "
            "Write it with anndata: read_h5ad, then write_h5ad."
        )
    for name in tables:
        require_memory(_declared_bytes(file[name], {}) if name in file else 0, f"'{name}'", path)


def _declared_bytes(item: Any, known: dict[int, int], depth: int = 0) -> int:
    """Add up what an item's datasets declare; `known` has the sum of each group that was seen."""
    if isinstance(item, h5py.Dataset):
        return item.nbytes or 0
    if depth > MAX_DEPTH:
        raise ValueError(f"its '{item.name}' is too deep")
    # A group may be a member of itself, or of many groups: its address tells.
    address = h5py.h5o.get_info(item.id).addr
    if address not in known:
        # By name: unlike visititems, this follows soft links, as reading does.
        known[address] = sum(_declared_bytes(item[name], known, depth + 1) for name in item)
    return known[address]
