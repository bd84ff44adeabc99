from dataclasses import replace

import numpy as np
import pytest
from fixtures.dataset import N_GENES, build_tiny_dataset

from adapert.data import row_chunks
from adapert.data.corrected_cells import CorrectedCells

DATASET = build_tiny_dataset()
CELLS = DATASET.splits["train"].cells
EXPRESSION = CELLS.expression(N_GENES).toarray()


def test_a_cell_loses_what_the_controls_of_its_batch_differ_from_all() -> None:
    shared = DATASET.shared
    expected = [
        cell - (shared.batch_control_mean[batch] - shared.control_mean)
        for cell, batch in zip(EXPRESSION, CELLS.batch_index, strict=True)
    ]
    corrected = CorrectedCells(CELLS, shared)
    np.testing.assert_allclose(corrected.take(slice(None)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(corrected.take(np.array([5, 2])), [expected[5], expected[2]], rtol=1e-5)
    # Corrected, the controls of every batch have one mean.
    controls = CorrectedCells(DATASET.control_cells, shared).take(slice(None))
    for batch in (0, 1):
        own = controls[DATASET.control_cells.batch_index == batch].mean(axis=0)
        np.testing.assert_allclose(own, shared.control_mean, rtol=1e-4)


def test_cells_of_one_batch_are_as_they_are() -> None:
    shared = replace(DATASET.shared, batch_control_mean=DATASET.shared.control_mean[None])
    cells = replace(CELLS, batch_index=np.zeros(len(CELLS), dtype=np.int64))
    np.testing.assert_array_equal(CorrectedCells(cells, shared).take(slice(None)), EXPRESSION)


def test_parts_are_small_and_together_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", 7 * N_GENES)
    corrected = CorrectedCells(CELLS, DATASET.shared)
    parts = list(corrected.parts())
    assert max(profiles.size for _, profiles in parts) == 7 * N_GENES
    np.testing.assert_array_equal(
        np.concatenate([profiles for _, profiles in parts]), corrected.take(slice(None))
    )
    numbers = np.concatenate([np.arange(len(CELLS))[rows] for rows, _ in parts])
    np.testing.assert_array_equal(numbers, np.arange(len(CELLS)))
