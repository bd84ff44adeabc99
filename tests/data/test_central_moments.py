from dataclasses import replace

import numpy as np
import pytest
from fixtures.dataset import N_GENES, build_tiny_dataset
from scipy.stats import moment

import adapert.data.central_moments
from adapert.data.central_moments import measure_central_moments
from adapert.data.regroup import redraw

DATASET = build_tiny_dataset()


def changes_of(number: int) -> np.ndarray:
    """Expression of a training perturbation's cells minus their matched mean control."""
    cells = DATASET.splits["train"].cells
    rows = np.flatnonzero(cells.perturbation_index == number)
    expression = cells.expression(N_GENES).toarray()[rows].astype(np.float64)
    changes: np.ndarray = expression - DATASET.shared.batch_control_mean[cells.batch_index[rows]]
    return changes


@pytest.mark.parametrize("n_values", [1, 10**6])
def test_moments_are_scipys_of_each_perturbations_cells(
    monkeypatch: pytest.MonkeyPatch, n_values: int
) -> None:
    monkeypatch.setattr(adapert.data.central_moments, "VALUES_AT_ONCE", n_values)
    monkeypatch.setattr(adapert.data.central_moments, "_KEPT", {})
    measured = measure_central_moments(DATASET)
    for number in range(len(DATASET.splits["train"].table.perturbations)):
        changes = changes_of(number)
        for order, found in ((2, measured.second), (3, measured.third), (4, measured.fourth)):
            np.testing.assert_allclose(found[number], moment(changes, order), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(measured.sign[number], np.sign(changes).mean(axis=0), rtol=1e-6)


def test_of_a_table_of_responses_means_alone_are_known() -> None:
    responses = replace(DATASET, manifest=replace(DATASET.manifest, kind="responses"))
    measured, delta = measure_central_moments(responses), DATASET.splits["train"].table.delta
    assert not any(found.any() for found in (measured.second, measured.third, measured.fourth))
    assert measured.second.shape == delta.shape
    np.testing.assert_array_equal(measured.sign, np.sign(delta))


def test_moments_of_the_last_training_split_are_kept_and_of_no_other() -> None:
    measured = measure_central_moments(DATASET)
    assert measure_central_moments(build_tiny_dataset()) is measured
    redrawn = redraw(DATASET, 1)
    names = [part.splits["train"].table.perturbations.tolist() for part in (DATASET, redrawn)]
    assert names[0] != names[1]
    other = measure_central_moments(redrawn)
    shared = [name for name in names[0] if name in names[1]]
    assert shared
    for name in shared:
        own, again = (
            found.fourth[of.index(name)] for found, of in zip((measured, other), names, strict=True)
        )
        np.testing.assert_allclose(own, again, rtol=1e-6)
    assert not other.fourth.flags.writeable
