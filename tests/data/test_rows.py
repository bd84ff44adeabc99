from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from fixtures.dataset import N_GENES, build_tiny_dataset

from adapert.data.rows import (
    ROWS,
    CellSetRows,
    CorrectedCellRows,
    Minibatch,
    Rows,
    row_weights,
)

DATASET = build_tiny_dataset()
TRAIN = DATASET.splits["train"]
CELLS = TRAIN.cells.expression(N_GENES).toarray()
CONTROL_CELLS = DATASET.control_cells.expression(N_GENES).toarray()


def minibatch_of(rows: Rows, index: np.ndarray | list[int], seed: int = 0) -> Minibatch:
    return rows.minibatch(np.array(index), np.random.default_rng(seed))


@pytest.mark.parametrize("weighting", ["cells", "perturbations"])
@pytest.mark.parametrize("control", ROWS)
def test_weights_average_1(control: str, weighting: str) -> None:
    assert ROWS[control](DATASET, weighting).weight.mean() == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("control", ROWS)
def test_cell_weighting_weighs_perturbations_by_their_cells(control: str) -> None:
    rows = ROWS[control](DATASET, "cells")
    totals = np.bincount(rows.perturbation_index, rows.weight)
    np.testing.assert_allclose(totals / totals.sum(), TRAIN.table.n_cells / len(CELLS), rtol=1e-5)


@pytest.mark.parametrize("control", ROWS)
def test_perturbation_weighting_weighs_perturbations_equally(control: str) -> None:
    rows = ROWS[control](DATASET, "perturbations")
    totals = np.bincount(rows.perturbation_index, rows.weight)
    np.testing.assert_allclose(totals / totals.sum(), 1 / len(TRAIN.table.perturbations), rtol=1e-5)


def test_weights_of_a_small_case() -> None:
    # Perturbation 0 has groups of 1 and 3 cells, perturbation 1 one group of 2.
    index, n_cells = np.array([0, 0, 1]), np.array([1, 3, 2])
    table = replace(TRAIN.table, perturbations=np.array(["G00", "G01"]))
    assert row_weights(table, index, n_cells, "cells").tolist() == [0.5, 1.5, 1.0]
    assert row_weights(table, index, n_cells, "perturbations").tolist() == [0.375, 1.125, 1.5]


def test_mean_rows_are_mean_deltas_on_the_mean_control() -> None:
    minibatch = minibatch_of(ROWS["mean"](DATASET, "cells"), [1, 4])
    assert minibatch.perturbation_index.tolist() == [1, 4]
    assert np.array_equal(minibatch.control, DATASET.shared.control_mean[None])
    assert minibatch.control_row.tolist() == [0, 0]
    for row, perturbation in enumerate([1, 4]):
        members = np.flatnonzero(TRAIN.cells.perturbation_index == perturbation)
        deltas = [CELLS[c] - DATASET.shared.batch_control_mean[TRAIN.cells.batch_index[c]] for c in members]
        np.testing.assert_allclose(minibatch.target_delta[row], np.mean(deltas, axis=0), atol=1e-5)


def test_batch_rows_are_group_means_on_their_batches_mean_control() -> None:
    rows = ROWS["batch_mean"](DATASET, "cells")
    index = np.arange(len(rows.perturbation_index))
    minibatch = minibatch_of(rows, index)
    for row, perturbation, batch in zip(
        index, TRAIN.table.group_perturbation_index, TRAIN.table.group_batch_index, strict=True
    ):
        is_member = (TRAIN.cells.perturbation_index == perturbation) & (TRAIN.cells.batch_index == batch)
        control = CONTROL_CELLS[DATASET.control_cells.batch_index == batch].mean(axis=0)
        np.testing.assert_allclose(minibatch.control[minibatch.control_row[row]], control, atol=1e-5)
        expected = CELLS[is_member].mean(axis=0) - control
        np.testing.assert_allclose(minibatch.target_delta[row], expected, atol=1e-5)
        assert rows.weight[row] == pytest.approx(is_member.sum() / (len(CELLS) / len(index)), rel=1e-5)


def control_cell_of(profile: np.ndarray) -> np.int64:
    (cell,) = np.flatnonzero((profile == CONTROL_CELLS).all(axis=1))
    return cell


def test_cells_are_matched_with_control_cells_of_their_batch() -> None:
    rows = ROWS["cell"](DATASET, "cells")
    index = np.arange(len(CELLS))
    drawn = set()
    for seed in range(3):
        minibatch = minibatch_of(rows, index, seed)
        matched = [control_cell_of(minibatch.control[row]) for row in minibatch.control_row]
        assert np.array_equal(DATASET.control_cells.batch_index[matched], TRAIN.cells.batch_index)
        controls = CONTROL_CELLS[matched]
        np.testing.assert_allclose(minibatch.target_delta, CELLS - controls, atol=1e-6)
        drawn |= set(matched)
    assert len(drawn) == len(CONTROL_CELLS)


def test_cells_of_a_batch_without_controls_are_matched_with_any() -> None:
    one_batch = np.zeros(len(CELLS), dtype=np.int64)
    elsewhere = replace(
        DATASET, splits={"train": replace(TRAIN, cells=replace(TRAIN.cells, batch_index=one_batch + 7))}
    )
    minibatch = minibatch_of(ROWS["cell"](elsewhere, "cells"), np.arange(len(CELLS)))
    matched = [control_cell_of(profile) for profile in minibatch.control]
    assert set(DATASET.control_cells.batch_index[matched].tolist()) == {0, 1}


def test_corrected_cells_are_matched_as_others_are_and_differ_by_their_batches_alone() -> None:
    shared, index = DATASET.shared, np.arange(len(CELLS))
    plain = minibatch_of(ROWS["cell"](DATASET, "cells"), index)
    corrected = minibatch_of(CorrectedCellRows(DATASET, "cells"), index)
    added = shared.batch_control_mean[TRAIN.cells.batch_index] - shared.control_mean
    np.testing.assert_allclose(corrected.control, plain.control - added, atol=1e-6)
    # Both cells of a row are of one batch.
    np.testing.assert_allclose(corrected.target_delta, plain.target_delta, atol=1e-6)
    assert np.array_equal(corrected.perturbation_index, plain.perturbation_index)


def test_matched_cells_follow_the_generator() -> None:
    rows = ROWS["cell"](DATASET, "cells")
    one, same, other = (minibatch_of(rows, np.arange(20), seed).control for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def cell_of(profile: np.ndarray) -> np.int64:
    (cell,) = np.flatnonzero(np.isclose(profile, CELLS, atol=1e-6).all(axis=1))
    return cell


def test_a_set_is_of_one_perturbation_and_batch_and_so_are_its_controls() -> None:
    rows = CellSetRows(DATASET, "cells", set_size=3)
    index = np.arange(len(rows.perturbation_index))
    minibatch = minibatch_of(rows, index)
    np.testing.assert_array_equal(minibatch.perturbation_index, np.repeat(rows.perturbation_index, 3))
    drawn = np.array([cell_of(each) for each in minibatch.control + minibatch.target_delta])
    controls = np.array([control_cell_of(each) for each in minibatch.control])
    np.testing.assert_array_equal(TRAIN.cells.perturbation_index[drawn], minibatch.perturbation_index)
    batches = np.stack([TRAIN.cells.batch_index[drawn], DATASET.control_cells.batch_index[controls]])
    assert (batches == batches[0, ::3].repeat(3)).all()
    groups = np.unique(np.stack([TRAIN.cells.perturbation_index, TRAIN.cells.batch_index]), axis=1)
    assert {*zip(*groups, strict=True)} == {*zip(minibatch.perturbation_index, batches[0], strict=True)}


def test_a_group_has_as_many_sets_as_its_cells_fill_and_over_epochs_all_its_cells() -> None:
    rows = CellSetRows(DATASET, "cells", set_size=3)
    n_cells = TRAIN.table.group_n_cells
    assert len(rows.perturbation_index) == np.maximum(n_cells // 3, 1).sum()
    index = np.arange(len(rows.perturbation_index))
    epochs = [minibatch_of(rows, index, seed) for seed in range(12)]
    drawn = [{cell_of(each) for each in epoch.control + epoch.target_delta} for epoch in epochs]
    assert drawn[0] != drawn[1]
    assert set.union(*drawn) == set(range(len(CELLS)))
    # A set has a cell twice only where the group has fewer cells than a set.
    own = [cell_of(each) for each in epochs[0].control + epochs[0].target_delta]
    is_small = n_cells[rows.group_index] < 3
    assert is_small.any()
    assert all(len(set(own[3 * row : 3 * row + 3])) == 3 for row in index[~is_small])


@pytest.mark.parametrize("weighting", ["cells", "perturbations"])
def test_sets_weigh_by_the_cells_of_their_group_or_their_perturbations_equally(weighting: str) -> None:
    rows = CellSetRows(DATASET, weighting, set_size=3)
    assert rows.weight.mean() == pytest.approx(1, rel=1e-6)
    totals = np.bincount(rows.perturbation_index, rows.weight)
    shares = TRAIN.table.n_cells if weighting == "cells" else np.ones(len(totals))
    np.testing.assert_allclose(totals / totals.sum(), shares / shares.sum(), rtol=1e-5)


def test_sets_of_a_batch_without_controls_are_matched_with_any() -> None:
    no_batch = np.zeros(len(CELLS), dtype=np.int64) + 7
    elsewhere = replace(
        DATASET, splits={"train": replace(TRAIN, cells=replace(TRAIN.cells, batch_index=no_batch))}
    )
    minibatch = minibatch_of(CellSetRows(elsewhere, "cells", set_size=30), [0])
    matched = [control_cell_of(profile) for profile in minibatch.control]
    assert set(DATASET.control_cells.batch_index[matched].tolist()) == {0, 1}


@pytest.mark.parametrize("rows", [ROWS["cell"](DATASET, "cells"), CellSetRows(DATASET, "cells", 5)])
def test_only_the_cells_of_a_minibatch_are_ever_dense(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    n_dense = []
    to_array = scipy.sparse.csr_array.toarray

    def counted(sparse: scipy.sparse.csr_array) -> np.ndarray:
        n_dense.append(sparse.shape[0])
        dense: np.ndarray = to_array(sparse)
        return dense

    monkeypatch.setattr(scipy.sparse.csr_array, "toarray", counted)
    minibatch = minibatch_of(rows, [0, 3])
    assert n_dense == [len(minibatch.target_delta)] * 2  # perturbed and control cells
    assert len(minibatch.target_delta) < len(CELLS) / 4
