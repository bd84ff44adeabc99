from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.dataset import N_GENES, build_tiny_dataset, hold_out_combinations, write_prepared

from adapert.data.array_tables import CellTable
from adapert.data.prepared import PreparedDataset, PreparedSplit, read_prepared
from adapert.data.regroup import join_splits, redraw, take_perturbations
from adapert.data.schema import SplitScheme


def contents(split: PreparedSplit) -> dict[str, dict[str, Any]]:
    """All that a split says of each perturbation, gathered by a plain loop."""
    table, cells = split.table, split.cells
    expression = cells.expression(N_GENES).toarray()
    found = {}
    for number, name in enumerate(table.perturbations):
        groups = [g for g, owner in enumerate(table.group_perturbation_index) if owner == number]
        rows = [c for c, owner in enumerate(cells.perturbation_index) if owner == number]
        found[str(name)] = {
            "delta": table.delta[number].tolist(),
            "degs": table.deg_mask[number].tolist(),
            "n_cells": int(table.n_cells[number]),
            "effect_size": str(table.effect_size[number]),
            "groups": [
                (int(table.group_batch_index[g]), int(table.group_n_cells[g]), table.group_mean[g].tolist())
                for g in groups
            ],
            "cells": [(int(cells.batch_index[c]), expression[c].tolist()) for c in rows],
        }
    return found


def names(split: PreparedSplit) -> list[str]:
    return [str(name) for name in split.table.perturbations]


def scattered(split: PreparedSplit) -> PreparedSplit:
    """The same cells in another order, so that those of a perturbation do not lie side by side."""
    order = np.random.default_rng(0).permutation(len(split.cells))
    expression = split.cells.expression(N_GENES)[order]
    cells = CellTable(
        values=expression.data,
        gene_index=expression.indices,
        row_start=expression.indptr,
        perturbation_index=split.cells.perturbation_index[order],
        batch_index=split.cells.batch_index[order],
    )
    return replace(split, cells=cells)


def without_cells(split: PreparedSplit) -> PreparedSplit:
    empty = {field.name: getattr(split.cells, field.name)[:0] for field in fields(CellTable)}
    return replace(split, cells=CellTable(**empty | {"row_start": np.zeros(1, dtype=np.int64)}))


@pytest.fixture
def dataset() -> PreparedDataset:
    made = build_tiny_dataset()
    return replace(made, splits=dict(made.splits) | {"train": scattered(made.splits["train"])})


def test_a_join_holds_both_splits_to_the_last_cell(dataset: PreparedDataset) -> None:
    first, second = dataset.splits["train"], dataset.splits["validation"]
    joined = join_splits(first, second)
    assert names(joined) == names(first) + names(second)
    assert contents(joined) == contents(first) | contents(second)


@pytest.mark.parametrize("index", [[5, 0, 3], [], [7], list(range(8))])
def test_what_is_taken_comes_whole_and_in_the_order_asked_for(
    dataset: PreparedDataset, index: list[int]
) -> None:
    split = dataset.splits["train"]
    taken = take_perturbations(split, index)
    assert names(taken) == [names(split)[i] for i in index]
    assert contents(taken) == {name: contents(split)[name] for name in names(taken)}
    owner = taken.cells.perturbation_index
    assert (np.diff(owner) >= 0).all()


def test_types_of_what_is_taken_and_joined_stay(dataset: PreparedDataset) -> None:
    split = dataset.splits["train"]
    for made in (take_perturbations(split, [1, 2]), join_splits(split, split)):
        for old, new in ((split.table, made.table), (split.cells, made.cells)):
            for field in fields(old):
                if field.name not in ("row_start", "perturbations", "effect_size"):
                    assert getattr(new, field.name).dtype == getattr(old, field.name).dtype, field.name


@pytest.mark.parametrize("split_seed", range(1, 6))
def test_a_redraw_keeps_every_perturbation_s_row_cells_and_groups(
    dataset: PreparedDataset, split_seed: int
) -> None:
    redrawn = redraw(dataset, split_seed)
    before = contents(dataset.splits["train"]) | contents(dataset.splits["validation"])
    parts = [redrawn.splits[name] for name in ("train", "validation")]
    assert [len(names(part)) for part in parts] == [8, 4]
    assert not set(names(parts[0])) & set(names(parts[1]))
    assert contents(parts[0]) | contents(parts[1]) == before


def test_a_redraw_is_determined_by_its_seed_and_not_by_the_order_of_perturbations(
    dataset: PreparedDataset,
) -> None:
    other = redraw(dataset, 2)
    again = redraw(other, 1)  # the union is the same
    assert set(names(redraw(dataset, 1).splits["validation"])) == set(names(again.splits["validation"]))
    drawn = {frozenset(names(redraw(dataset, seed).splits["validation"])) for seed in range(12)}
    assert len(drawn) > 8


def test_no_redraw_is_the_data_set_as_prepared(dataset: PreparedDataset) -> None:
    assert redraw(dataset, 0) is dataset


def test_a_redraw_never_moves_the_test_split_and_needs_none(dataset: PreparedDataset) -> None:
    redrawn = redraw(dataset, 1)
    assert redrawn.splits["test"] is dataset.splits["test"]
    readable = replace(dataset, splits={name: dataset.splits[name] for name in ("train", "validation")})
    assert set(redraw(readable, 1).splits) == {"train", "validation"}


def test_a_redraw_s_seed_is_told_apart_from_a_prepared_split_s(dataset: PreparedDataset) -> None:
    assert redraw(dataset, 3).manifest == replace(dataset.manifest, split_seed=-3)


def test_a_redraw_of_responses_has_no_cells(dataset: PreparedDataset) -> None:
    bare = {name: without_cells(split) for name, split in dataset.splits.items()}
    redrawn = redraw(replace(dataset, splits=bare), 1)
    assert [len(redrawn.splits[name].cells) for name in ("train", "validation")] == [0, 0]
    assert contents(redrawn.splits["train"])


def test_training_cells_are_left_out_where_nobody_reads_them(dataset: PreparedDataset) -> None:
    full, lean = redraw(dataset, 1), redraw(dataset, 1, has_training_cells=False)
    assert len(lean.splits["train"].cells) == 0
    assert contents(lean.splits["validation"]) == contents(full.splits["validation"])
    np.testing.assert_array_equal(lean.splits["train"].table.delta, full.splits["train"].table.delta)


def test_a_redraw_of_mapped_files_leaves_them_as_they_are(dataset: PreparedDataset, tmp_path: Path) -> None:
    write_prepared(dataset, tmp_path / "prepared")
    mapped = read_prepared(tmp_path / "prepared")
    redrawn = redraw(mapped, 4)
    assert redrawn.path == mapped.path
    for name in ("train", "validation"):
        assert contents(mapped.splits[name]) == contents(dataset.splits[name])
        assert contents(redrawn.splits[name]) == contents(redraw(dataset, 4).splits[name])


@pytest.mark.parametrize("scheme", ["combinations", "perturbations"])
def test_a_redraw_of_combinations_keeps_single_genes_in_training(scheme: SplitScheme) -> None:
    made = hold_out_combinations()
    # A saved split has the default scheme, whatever it holds.
    choices = replace(made.manifest.choices, split_scheme=scheme)
    dataset = replace(made, manifest=replace(made.manifest, choices=choices))
    before = [names(dataset.splits[part]) for part in ("train", "validation")]
    drawn = {name for part in before for name in part if "+" in name}
    validated = set()
    for seed in range(1, 8):
        redrawn = redraw(dataset, seed)
        assert set(before[0]) - drawn < set(names(redrawn.splits["train"]))
        validated.update(names(redrawn.splits["validation"]))
    assert validated == drawn
