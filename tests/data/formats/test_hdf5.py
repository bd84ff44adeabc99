from collections.abc import Callable
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from h5py import File

from adapert.data.formats.matrices import read_annotations, read_matrix
from adapert.errors import InputError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "cells.h5ad"
    obs = pd.DataFrame({"perturbation": ["a", "b"]}, index=["c1", "c2"])
    anndata.AnnData(np.ones((2, 3), dtype=np.float32), obs=obs).write_h5ad(file)
    return file


def external(file: File) -> None:
    file["uns/more"] = h5py.ExternalLink("/etc/other.h5", "/X")


def stored_elsewhere(file: File) -> None:
    file.create_dataset("uns/more", (32,), dtype="u1", external=[("/etc/passwd", 0, 32)])


def virtual(file: File) -> None:
    layout = h5py.VirtualLayout((4,), dtype="f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "X", (4,))
    file.create_virtual_dataset("uns/more", layout)


@pytest.mark.parametrize("reach_out", [external, stored_elsewhere, virtual])
def test_a_file_that_reaches_out_of_itself_is_refused(path: Path, reach_out: Callable[[File], None]) -> None:
    assert read_annotations(path).obs["perturbation"].tolist() == ["a", "b"]
    with h5py.File(path, "r+") as file:
        reach_out(file)
    with pytest.raises(
        InputError, match=r"must be in one file, but '.*more' of '.*cells\.h5ad' is in another"
    ):
        read_annotations(path)


def test_annotations_larger_than_the_file_could_hold_are_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.create_dataset("obs/more", (2**40,), dtype="f8", chunks=(1024,))
    with pytest.raises(InputError, match=r"'obs' in .* declares 8,796\.1 GB"):
        read_annotations(path)


def test_row_pointers_of_a_huge_declared_size_are_refused(path: Path, tmp_path: Path) -> None:
    cells = anndata.read_h5ad(path)
    cells.X = scipy.sparse.csr_matrix(cells.X)
    cells.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        del file["X/indptr"]
        file["X"].create_dataset("indptr", (2**40,), dtype="i4", chunks=(1024,))
    with pytest.raises(InputError, match="its row pointers do not ascend"):
        read_matrix(read_annotations(path).matrix(None), np.arange(2), tmp_path)


def test_a_matrix_in_place_of_the_names_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        attributes = dict(file["var/_index"].attrs)
        del file["var/_index"]
        file["var/_index"] = np.array([[b"A"], [b"B"], [b"C"]], dtype=h5py.string_dtype())
        file["var/_index"].attrs.update(attributes)
    with pytest.raises(InputError, match=r"'var' of '.*' is no table that this anndata writes"):
        read_annotations(path)
