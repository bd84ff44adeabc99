"""A folder of ``.npy`` files, one a field: checked when read into memory maps, written whole or in pieces."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self, get_type_hints

import numpy as np
from numpy.typing import NDArray

from adapert.data.row_chunks import VALUES_AT_ONCE
from adapert.errors import InputError, format_count

Kind = Literal["float", "int", "bool", "text"]

DTYPES: Mapping[Kind, tuple[str, ...]] = {
    "float": ("<f4", "<f8"),
    "int": ("<i4", "<i8"),
    "bool": ("|b1",),
    "text": ("<U",),
}
"""Types of the arrays of each kind; all code that reads them takes any of these."""


@dataclass(frozen=True)
class Rule:
    """What an array of a folder must be.

    Attributes:
        kind: Kind of its values; numbers are finite.
        shape: Names of its sizes, the same in all arrays of a data set; ``"n_cells + 1"`` is one more.
        least: Least whole number.
        below: Name of the size that whole numbers are below.
        is_size: Whether the array is one number that gives the size of its field's name.
        is_distinct: Whether no text may be empty or repeated.
        is_large: Whether its values are only checked by `ArrayFolder.check_values`: every trial reads the
            folder, and need not go through gigabytes for it.
    """

    kind: Kind
    shape: tuple[str, ...]
    least: int = 0
    below: str = ""
    is_size: bool = False
    is_distinct: bool = False
    is_large: bool = False


class DamagedError(InputError):
    """An array that is not what it must be; `found` names file and fault, to go into another sentence."""

    def __init__(self, file: Path, fault: str) -> None:
        self.found = f"'{file}' {fault}"
        super().__init__(
            f"A prepared data set must be whole, but {self.found}. Run 'adapert prepare' again, or copy the "
            "data set again."
        )


class ArrayFolder:
    """A dataclass of arrays, each annotated with its `Rule`, that is written as one ``.npy`` file a field.

    Fields without a rule are no arrays: a subclass that has such reads and writes them itself.
    """

    def write(self, path: Path) -> None:
        """Write every field as ``<field>.npy`` into a new directory."""
        path.mkdir()
        for name in self.rules():
            np.save(path / f"{name}.npy", getattr(self, name), allow_pickle=False)

    @classmethod
    def read(cls, path: Path, is_mapped: bool = True, sizes: Mapping[str, int] | None = None) -> Self:
        """Read every field's file, and check it against its rule; of large ones all but their values.

        Args:
            path: The directory.
            is_mapped: Whether to map the files, read-only, instead of loading them.
            sizes: Sizes that are known from elsewhere, by name.

        Raises:
            InputError: A file that is missing, damaged, or not what it must be.
        """
        known = dict(sizes or {})
        table = cls(**_read_arrays(path, cls.rules(), is_mapped, known))
        if broken := table.find_fault(known):
            name, fault = broken
            raise DamagedError(path / f"{name}.npy", fault)
        return table

    @classmethod
    def read_fields(cls, path: Path, *names: str) -> list[NDArray[Any]]:
        """Read some fields into memory, checked against their rules and each other's shapes.

        Raises:
            InputError: A file that is missing, damaged, or not what it must be.
        """
        rules = {name: cls.rules()[name] for name in names}
        return list(_read_arrays(path, rules, is_mapped=False, sizes={}).values())

    def find_fault(self, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        """Find what is wrong between arrays: field and fault; overridden where there are such rules."""
        return None

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes that the arrays have, by name."""
        sizes: dict[str, int] = {}
        for name, rule in self.rules().items():
            array = getattr(self, name)
            for size, length in zip(rule.shape, array.shape, strict=True):
                plain, _, more = size.partition(" + ")
                sizes[plain] = length - int(more or 0)
            if rule.is_size:
                sizes[name] = int(array)
        return sizes

    def check_values(self, path: Path, sizes: Mapping[str, int]) -> None:
        """Check the values of the large arrays, through ordinary reads: mapped pages would count as memory.

        Raises:
            InputError: A value that is not what it must be.
        """
        for name, rule in self.rules().items():
            if rule.is_large:
                file = path / f"{name}.npy"
                if fault := _find_value_fault(_pieces(file, getattr(self, name)), rule, sizes):
                    raise DamagedError(file, fault)

    @classmethod
    @cache
    def rules(cls) -> dict[str, Rule]:
        """Rule of each field."""
        hints = get_type_hints(cls, include_extras=True)
        return {name: hint.__metadata__[0] for name, hint in hints.items() if hasattr(hint, "__metadata__")}


def find_index_fault(index: NDArray[Any], size: int) -> str:
    """Describe numbers of an array that are no index below a size; empty where all are."""
    return _find_value_fault([index], Rule("int", (), below="size"), {"size": size})


def _read_arrays(
    path: Path, rules: Mapping[str, Rule], is_mapped: bool, sizes: dict[str, int]
) -> dict[str, NDArray[Any]]:
    """Read and check arrays; sizes that are met for the first time become known."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, rule in rules.items():
        file = path / f"{name}.npy"
        arrays[name] = _read_array(file, is_mapped)
        if fault := _find_form_fault(arrays[name], rule, sizes):
            raise DamagedError(file, fault)
        if rule.is_size:
            if fault := _find_value_fault([arrays[name]], rule, sizes):
                raise DamagedError(file, fault)
            sizes[name] = int(arrays[name])
    # Only once all sizes are known, of which some are the limits of others' values.
    for name, rule in rules.items():
        if not rule.is_large and (fault := _find_value_fault([arrays[name]], rule, sizes)):
            raise DamagedError(path / f"{name}.npy", fault)
    return arrays


def _read_array(file: Path, is_mapped: bool) -> Any:
    # A data set is copied and shipped as a folder, without what links in it point to.
    if file.is_symlink() and not file.resolve().is_relative_to(file.parent.resolve()):
        raise DamagedError(file, "is a link that leaves the folder")
    try:
        with np.errstate(over="ignore"):  # of declared sizes
            # Mapped first in any case: a file shorter than it declares is then refused, not made room for.
            # By its name: numpy resolves each part of a `Path`.
            array = np.lib.format.open_memmap(str(file), mode="r")
    except Exception as error:  # a damaged header may raise nearly anything
        raise DamagedError(file, "is missing or damaged") from error
    return array if is_mapped else np.array(array)


def _find_form_fault(array: Any, rule: Rule, sizes: dict[str, int]) -> str:
    """Check type and shape; sizes that are met for the first time become known."""
    dtype = array.dtype.str
    if not dtype.startswith(DTYPES[rule.kind]):
        return f"holds values of type {array.dtype}, not {rule.kind}"
    if array.ndim != len(rule.shape):
        return f"has {format_count(array.ndim, 'dimension')} in place of {len(rule.shape)}"
    for size, length in zip(rule.shape, array.shape, strict=True):
        plain, _, more = size.partition(" + ")
        wanted = sizes.setdefault(plain, length - int(more or 0)) + int(more or 0)
        if length != wanted or sizes[plain] < 0:  # below 0 where "n_cells + 1" is 0 long
            return f"has shape {array.shape}, which does not fit the other arrays: {size} is {wanted}"
    return ""


def _find_value_fault(pieces: Iterable[NDArray[Any]], rule: Rule, sizes: Mapping[str, int]) -> str:
    for values in pieces:
        if rule.kind == "float" and not np.isfinite(values).all():
            return "holds values that are no finite numbers"
        if rule.kind == "int" and values.size:
            least, most = int(values.min()), int(values.max())
            limit = sizes.get(rule.below)
            if least < rule.least:
                return f"holds {least}, but its numbers must be at least {rule.least}"
            if limit is not None and most >= limit:
                return f"holds {most}, but its numbers must be below {limit}"
        if rule.kind == "text" and (fault := _find_text_fault(values, rule.is_distinct)):
            return fault
    return ""


def _find_text_fault(values: NDArray[Any], is_distinct: bool) -> str:
    try:
        texts = values.tolist()
        "".join(texts).encode()
    except ValueError:  # numbers that stand for no letter
        return "holds names that are no text"
    if is_distinct and "" in texts:
        return "holds an empty name"
    if is_distinct and len(set(texts)) < len(texts):
        return "holds a name twice"
    return ""


def _pieces(file: Path, array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    if not isinstance(array, np.memmap):
        yield array
        return
    left = array.size
    with file.open("rb") as opened:
        opened.seek(array.offset)
        while left:
            values = np.fromfile(opened, dtype=array.dtype, count=min(left, VALUES_AT_ONCE))
            if not len(values):  # cut since it was mapped
                raise DamagedError(file, "is missing or damaged")
            left -= len(values)
            yield values


class FolderWriter:
    """Writes an `ArrayFolder` whose arrays come in pieces, larger than memory.

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
