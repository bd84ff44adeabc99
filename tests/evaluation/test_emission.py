import numpy as np
import pytest

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import SplitName
from adapert.errors import InputError
from adapert.evaluation.controls import cells_per_batch, control_cells
from adapert.evaluation.emission import EMISSIONS, EmissionName, EmittedCells, emit_cells


def emit(
    dataset: PreparedDataset,
    delta: np.ndarray,
    emission: EmissionName = "control_shift",
    seed: int = 0,
    split: SplitName = "train",
) -> list[EmittedCells]:
    return list(emit_cells(delta, dataset, split, emission, np.random.default_rng(seed)))


@pytest.fixture
def no_delta(tiny_dataset: PreparedDataset) -> np.ndarray:
    return np.zeros_like(tiny_dataset.splits["train"].table.delta)


@pytest.mark.parametrize("emission", EMISSIONS)
def test_as_many_cells_are_emitted_as_were_observed(
    tiny_dataset: PreparedDataset, no_delta: np.ndarray, emission: EmissionName
) -> None:
    cells = emit(tiny_dataset, no_delta, emission)
    n_cells = tiny_dataset.splits["train"].table.n_cells
    assert [len(one.expression) for one in cells] == n_cells.tolist()
    assert {one.expression.dtype for one in cells} == {np.dtype(np.float32)}


@pytest.mark.parametrize("emission", EMISSIONS)
def test_same_generator_gives_the_same_cells(
    tiny_dataset: PreparedDataset, no_delta: np.ndarray, emission: EmissionName
) -> None:
    one, other = emit(tiny_dataset, no_delta, emission), emit(tiny_dataset, no_delta, emission)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first.expression, second.expression)


def test_another_perturbations_delta_changes_no_cell(
    tiny_dataset: PreparedDataset, no_delta: np.ndarray
) -> None:
    shifted = no_delta.copy()
    shifted[0] = 1.0
    one, other = emit(tiny_dataset, no_delta), emit(tiny_dataset, shifted)
    np.testing.assert_array_equal(one[1].expression, other[1].expression)
    np.testing.assert_allclose(one[0].expression + 1, other[0].expression, rtol=1e-6)


def test_control_shift_adds_the_delta_to_distinct_controls_of_the_same_group(
    tiny_dataset: PreparedDataset, no_delta: np.ndarray
) -> None:
    controls = control_cells(tiny_dataset)
    shift = 0.5 + no_delta
    for perturbation, cells in enumerate(emit(tiny_dataset, shift)):
        start = 0
        for batch, n in cells_per_batch(tiny_dataset.splits["train"].table, perturbation).items():
            matched = controls.expression[controls.matched_rows(batch)].toarray() + np.float32(0.5)
            own = cells.expression[start : start + n]
            hits = (own[:, None] == matched[None]).all(axis=2)
            assert (hits.sum(axis=1) == 1).all()
            assert hits.sum(axis=0).max() == 1 or n > len(matched)
            start += n


def test_tiled_repeats_the_mean_of_matched_controls_plus_the_delta(
    tiny_dataset: PreparedDataset, no_delta: np.ndarray
) -> None:
    shared, table = tiny_dataset.shared, tiny_dataset.splits["train"].table
    for perturbation, cells in enumerate(emit(tiny_dataset, no_delta + 0.25, "tiled")):
        counts = cells_per_batch(table, perturbation)
        profiles = shared.batch_control_mean[list(counts)]
        expected = np.average(profiles, axis=0, weights=list(counts.values())) + 0.25
        np.testing.assert_allclose(cells.expression, np.tile(expected, (len(cells.expression), 1)), rtol=1e-5)


@pytest.mark.parametrize("emission", EMISSIONS)
def test_negative_values_are_clipped_and_counted(
    tiny_dataset: PreparedDataset, no_delta: np.ndarray, emission: EmissionName
) -> None:
    delta = no_delta.copy()
    delta[:, :3] = -100.0  # three of twelve genes
    for cells in emit(tiny_dataset, delta, emission):
        assert not cells.expression[:, :3].any()
        assert (cells.expression >= 0).all()
        assert cells.clip_fraction == pytest.approx(3 / 12)


def test_no_change_emits_control_cells_unchanged(tiny_dataset: PreparedDataset, no_delta: np.ndarray) -> None:
    controls = {row.tobytes() for row in control_cells(tiny_dataset).expression.toarray()}
    for cells in emit(tiny_dataset, no_delta):
        assert {row.tobytes() for row in cells.expression} <= controls
        assert cells.clip_fraction == 0


def test_unknown_way_is_refused_with_the_nearest(tiny_dataset: PreparedDataset, no_delta: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"'control_shfit' is not one\. Did you mean 'control_shift'"):
        emit(tiny_dataset, no_delta, "control_shfit")  # type: ignore[arg-type]
