from dataclasses import replace

import numpy as np
import pytest
from fixtures.dataset import N_GENES, build_tiny_dataset

from adapert.data.rows import (
    ROWS,
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
