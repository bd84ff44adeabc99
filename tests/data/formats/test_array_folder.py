import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest

from adapert.data.array_tables import PerturbationTable
from adapert.data.formats.array_folder import ArrayFolder, FolderWriter, Rule
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32),
        np.arange(24, dtype=np.int64).reshape(8, 3),
        np.array(["small", "medium", "large"] * 4),
        np.zeros((12, 5), dtype=bool),
    ],
)
def test_pieces_make_the_file_that_the_whole_array_does(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "whole.npy", array)
    with FolderWriter(tmp_path / "folder") as writer:
        for part in np.array_split(array, 5):
            writer.append("pieces", part)
    assert (tmp_path / "folder/pieces.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()


def test_rows_of_another_type_are_refused(tmp_path: Path) -> None:
    writer = FolderWriter(tmp_path / "folder")
    writer.append("field", np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(TypeError, match=r"must be of float32 and shape \[3\], but these are of float64"):
        writer.append("field", np.zeros((2, 3)))


@dataclass(frozen=True, kw_only=True)
class Numbers(ArrayFolder):
    index: Annotated[np.ndarray, Rule("int", ("n",), below="n")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Numbers(index=np.arange(3)).write(tmp_path / "numbers")
    return tmp_path / "numbers"


@pytest.mark.parametrize("is_mapped", [True, False])
@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }",
        "{'descr': '<i8', 'fortran_order': False, 'shape': (9223372036854775807, 9), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
        "(" * 5000,
        "__import__('os')",
    ],
)
def test_a_header_that_declares_what_the_file_has_not_is_refused(
    folder: Path, header: str, is_mapped: bool
) -> None:
    written = header.encode() + b"\n"
    (folder / "index.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(written)) + written + bytes(24)
    )
    with pytest.raises(InputError, match=r"index\.npy' is missing or damaged"):
        Numbers.read(folder, is_mapped)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04N."])
def test_a_file_that_is_no_array_is_refused(folder: Path, content: bytes) -> None:
    (folder / "index.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"index\.npy' is missing or damaged"):
        Numbers.read(folder)


def test_a_link_that_leaves_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "index.npy").rename(tmp_path / "index.npy")
    (folder / "index.npy").symlink_to(tmp_path / "index.npy")
    with pytest.raises(InputError, match=r"index\.npy' is a link that leaves the folder"):
        Numbers.read(folder)


def test_what_is_written_is_read_back(folder: Path) -> None:
    assert Numbers.read(folder).index.tolist() == [0, 1, 2]


def test_fields_that_are_read_alone_are_checked(folder: Path) -> None:
    [index] = Numbers.read_fields(folder, "index")
    assert index.tolist() == [0, 1, 2]
    np.save(folder / "index.npy", np.array([0.5]))
    with pytest.raises(InputError, match="holds values of type float64, not int"):
        Numbers.read_fields(folder, "index")


def test_fields_that_are_read_together_fit_each_other(tiny_dataset: PreparedDataset, tmp_path: Path) -> None:
    tiny_dataset.splits["train"].table.write(tmp_path / "train")
    np.save(tmp_path / "train/n_cells.npy", np.arange(1, 4))
    with pytest.raises(InputError, match=r"n_cells\.npy' has shape \(3,\), which does not fit"):
        PerturbationTable.read_fields(tmp_path / "train", "effect_size", "n_cells")
