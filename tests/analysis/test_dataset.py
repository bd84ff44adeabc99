from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures.dataset import write_prepared
from fixtures.narrowed import row_of

from adapert.data.manifest import InputFile
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.schema import SPLITS, SplitName
from analysis.dataset import count_perturbations, describe_perturbations, name_dataset


@pytest.fixture
def written(tiny_dataset: PreparedDataset, tmp_path: Path) -> Path:
    write_prepared(tiny_dataset, tmp_path / "prepared")
    return tmp_path / "prepared"


def _expected(dataset: PreparedDataset, split: SplitName, effect_size: str) -> tuple[np.int64, np.int64]:
    table = dataset.splits[split].table
    chosen = table.effect_size == effect_size
    return chosen.sum(), table.n_cells[chosen].sum()


def test_every_split_is_counted_and_no_closed_one_is_opened(
    tiny_dataset: PreparedDataset, written: Path
) -> None:
    for name in ("delta", "deg_mask", "group_mean"):  # what a closed split keeps to itself
        (written / "test" / f"{name}.npy").unlink()
    counts = count_perturbations(read_prepared(written)).set_index(["split", "effect_size"])
    for split in SPLITS:
        for effect_size in ("small", "medium", "large"):
            row = row_of(counts, split, effect_size)
            assert (row["n_perturbations"], row["n_cells"]) == _expected(tiny_dataset, split, effect_size)


def test_a_split_that_is_nowhere_has_no_row(tiny_dataset: PreparedDataset) -> None:
    part = replace(tiny_dataset, splits={"train": tiny_dataset.splits["train"]})
    assert set(count_perturbations(part)["split"]) == {"train"}


def test_perturbations_are_described_split_by_split(tiny_dataset: PreparedDataset) -> None:
    frame = describe_perturbations(tiny_dataset)
    assert frame["split"].unique().tolist() == ["train", "validation", "test"]
    np.testing.assert_array_equal(
        frame.loc[frame["split"] == "test", "n_degs"], tiny_dataset.splits["test"].table.deg_mask.sum(axis=1)
    )
    assert set(frame["n_genes"]) == {12}


def test_a_data_set_is_named_by_its_file_and_fingerprint(tiny_dataset: PreparedDataset) -> None:
    assert name_dataset(tiny_dataset) == "tiny"
    named = replace(tiny_dataset.manifest, inputs={"cells": InputFile("k562.h5ad", "a1b2")})
    assert name_dataset(replace(tiny_dataset, manifest=named)) == "k562 (tiny)"
