"""A folder of ``.npy`` files, one a field: read into memory maps, written whole or in pieces."""

from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from adapert.errors import InputError


class ArrayFolder:
    """A dataclass of arrays that is written as one ``.npy`` file a field."""

    def write(self, path: Path) -> None:
        """Write every field as ``<field>.npy`` into a new directory."""
        path.mkdir()
        for field in fields(self):  # type: ignore[arg-type]
            np.save(path / f"{field.name}.npy", getattr(self, field.name), allow_pickle=False)

    @classmethod
    def read(cls, path: Path, is_mapped: bool = True) -> Self:
        """Read every field's file.

        Args:
            path: The directory.
            is_mapped: Whether to map the files into memory, read-only, not to load them.

        Raises:
            InputError: A file that is missing or damaged.
        """
        files = {field.name: path / f"{field.name}.npy" for field in fields(cls)}  # type: ignore[arg-type]
        return cls(**{name: _read_array(file, is_mapped) for name, file in files.items()})


def _read_array(file: Path, is_mapped: bool) -> Any:
    try:
        return np.load(file, mmap_mode="r" if is_mapped else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:  # missing; cut in its values; cut in its header
        raise InputError(
            f"A prepared data set must be whole, but '{file}' is missing or damaged. Run 'adapert prepare' "
            "again, or copy the data set again."
        ) from error


class FolderWriter:
    """Writes a `ArrayFolder` whose arrays come in pieces, larger than memory.

    A context manager: the files are what `numpy.save` would have made of the whole arrays once it ends.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._files: dict[str, BinaryIO] = {}
        self._shapes: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {}

    def append(self, field: str, rows: NDArray[Any]) -> None:
        """Write the next rows of a field; all must be of one type and row shape."""
        if field not in self._files:
            self._files[field] = (self._path / f"{field}.npy").open("wb")
            self._shapes[field] = (rows.dtype, (0, *rows.shape[1:]))
            self._write_header(field)
        dtype, (n_rows, *row_shape) = self._shapes[field]
        if rows.dtype != dtype or rows.shape[1:] != tuple(row_shape):
            raise TypeError(
                f"All rows of '{field}' must be of {dtype} and shape {row_shape}, but these are of "
                f"{rows.dtype} and shape {list(rows.shape[1:])}."
            )
        rows.tofile(self._files[field])
        self._shapes[field] = (dtype, (n_rows + len(rows), *row_shape))

    def _write_header(self, field: str) -> None:
        # numpy pads the header so that the number of rows can grow in place.
        dtype, shape = self._shapes[field]
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._files[field], header)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for field, file in self._files.items():
            with file:
                if kind is None:
                    file.seek(0)
                    self._write_header(field)
