import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fixtures.dataset import write_prepared

from adapert.data.formats import array_folder
from adapert.data.prepared import PreparedDataset, check_content, check_values, read_prepared
from adapert.errors import InputError


@pytest.mark.parametrize("is_mapped", [True, False])
def test_data_set_is_read_back_mapped_or_in_memory(
    tiny_dataset: PreparedDataset, tmp_path: Path, is_mapped: bool
) -> None:
    write_prepared(tiny_dataset, tmp_path / "tiny")
    read = read_prepared(tmp_path / "tiny", is_mapped=is_mapped)
    assert isinstance(read.splits["train"].table.delta, np.memmap) == is_mapped
    np.testing.assert_array_equal(read.splits["train"].table.delta, tiny_dataset.splits["train"].table.delta)
    assert set(read.splits) == {"train", "validation"}


def change(prepared: Path, name: str, changed: Callable[[np.ndarray], np.ndarray]) -> None:
    file = prepared / f"{name}.npy"
    np.save(file, changed(np.load(file)))


def put(index: int | tuple[int, int], value: float | str) -> Callable[[np.ndarray], np.ndarray]:
    def changed(array: np.ndarray) -> np.ndarray:
        array[index] = value
        return array

    return changed


@pytest.mark.parametrize(
    ("name", "changed", "fault"),
    [
        ("shared/n_genes", lambda _: np.array(13), r"has shape \(12,\), which does not fit"),
        ("shared/n_genes", lambda _: np.array(-1), "holds -1, but its numbers must be at least 1"),
        ("shared/control_mean", lambda a: a.astype(np.int32), "holds values of type int32, not float"),
        ("shared/control_mean", put(3, np.nan), "holds values that are no finite numbers"),
        ("shared/node_names", put(3, "G00"), "holds a name twice"),
        ("shared/node_names", put(3, ""), "holds an empty name"),
        ("shared/edge_source", put(0, 15), "holds 15, but its numbers must be below 15"),
        ("shared/edge_target", put(0, -1), "holds -1, but its numbers must be at least 0"),
        ("shared/edge_score", put(0, -1), "holds scores below 0"),
        ("shared/edge_rank", lambda a: a[:-1], r"has shape \(\d+,\), which does not fit the other arrays"),
        ("shared/text_embedding", lambda a: a[:, 0], "has 1 dimension in place of 2"),
        ("shared/has_text", lambda a: a.astype(">f4"), "holds values of type >f4, not bool"),
        ("train/delta", lambda a: a[:, :-1], r"has shape \(8, 11\)"),
        ("train/effect_size", lambda a: np.full_like(a, "huge"), "holds 'huge', not small, medium, large"),
        ("train/family", put(0, ""), "holds an empty name"),
        ("train/n_cells", lambda a: a + 1, "does not count the split's cells"),
        ("train/n_cells", put(0, 0), "holds 0, but its numbers must be at least 1"),
        ("train/perturbations", put(0, "XX"), "names genes that are no nodes: 'XX'"),
        ("train/group_perturbation_index", put(0, 8), "holds 8, but its numbers must be below 8"),
        ("train/group_batch_index", put(0, 2), "holds 2, but its numbers must be below 2"),
        ("train/cells/row_start", put(2, -5), "holds -5"),
        ("train/cells/row_start", put(2, 0), "does not ascend from 0"),
        ("train/cells/row_start", put(-1, 10**6), "does not ascend from 0 to the"),
        ("train/cells/perturbation_index", put(0, 99), "holds 99, but its numbers must be below 8"),
        ("control_cells/perturbation_index", put(0, 1), "holds 1, but its numbers must be below 1"),
    ],
)
def test_an_array_that_is_not_what_it_must_be_is_refused(
    prepared: Path, name: str, changed: Callable[[np.ndarray], np.ndarray], fault: str
) -> None:
    change(prepared, name, changed)
    with pytest.raises(InputError, match=rf"must be whole, but '.*' {fault}.* Run 'adapert prepare' again"):
        read_prepared(prepared)


@pytest.mark.parametrize(
    ("name", "changed", "fault"),
    [
        ("train/cells/gene_index", put(0, -1), "gene_index.npy' holds -1"),
        (
            "control_cells/gene_index",
            put(-1, 12),
            "gene_index.npy' holds 12, but its numbers must be below 12",
        ),
        ("validation/cells/values", put(0, np.inf), "values.npy' holds values that are no finite numbers"),
        ("train/delta", put((0, 0), np.nan), "delta.npy' holds values that are no finite numbers"),
        ("train/group_mean", put((0, 0), np.nan), "group_mean.npy' holds values that are no finite numbers"),
    ],
)
def test_values_of_large_arrays_are_checked_once_for_all(
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    changed: Callable[[np.ndarray], np.ndarray],
    fault: str,
) -> None:
    monkeypatch.setattr(array_folder, "VALUES_AT_ONCE", 7)
    check_values(read_prepared(prepared))
    change(prepared, name, changed)
    with pytest.raises(InputError, match=fault):
        check_values(read_prepared(prepared))


@pytest.mark.parametrize("index", [-1, 12])
def test_a_gene_index_outside_the_genes_never_reaches_scipy(prepared: Path, index: int) -> None:
    change(prepared, "train/cells/gene_index", put(0, index))
    with pytest.raises(InputError, match=f"their gene_index holds {index}"):
        read_prepared(prepared).splits["train"].cells.expression(12)


def test_a_perturbation_in_two_splits_is_refused(prepared: Path) -> None:
    name = str(np.load(prepared / "train/perturbations.npy")[0])
    change(prepared, "test/perturbations", put(0, name))
    read_prepared(prepared)
    with pytest.raises(InputError, match=f"repeats perturbations of another split: '{re.escape(name)}'"):
        read_prepared(prepared, ("train", "validation", "test"))


def test_a_manifest_that_counts_otherwise_than_the_arrays_is_refused(prepared: Path) -> None:
    file = prepared / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"counts": {"genes": 13}}))
    with pytest.raises(InputError, match="counts 13 as genes, but there are 12"):
        read_prepared(prepared)


def test_every_file_has_a_checksum_that_tells_a_change(prepared: Path) -> None:
    assert check_content(prepared)
    change(prepared, "train/delta", put((0, 0), 0.125))
    with pytest.raises(InputError, match=r"delta\.npy' is not as it was written"):
        check_content(prepared)


def test_a_data_set_without_checksums_is_read(prepared: Path) -> None:
    (prepared / "checksums.json").unlink()
    assert not check_content(prepared)
    assert read_prepared(prepared).n_genes == 12
