import numpy as np
import pytest

from adapert.data.effect_size import effect_size_bounds, group_effect_sizes


def test_fractions_are_small_below_five_and_large_above_ten_percent() -> None:
    bounds = effect_size_bounds("fractions", 1000, np.array([]))
    groups = group_effect_sizes(np.array([0, 49, 50, 100, 101]), bounds)
    assert groups.tolist() == ["small", "small", "medium", "medium", "large"]


def test_tertiles_divide_the_training_perturbations_in_three() -> None:
    training = np.arange(1, 10)
    groups = group_effect_sizes(training, effect_size_bounds("tertiles", 1000, training))
    assert [groups.tolist().count(name) for name in ("small", "medium", "large")] == [3, 3, 3]


def test_tertiles_of_training_apply_to_other_perturbations() -> None:
    bounds = effect_size_bounds("tertiles", 1000, np.arange(1, 10))
    assert group_effect_sizes(np.array([0, 5, 500]), bounds).tolist() == ["small", "medium", "large"]


@pytest.mark.parametrize(("n_degs", "group"), [(0, "small"), (3, "small"), (4, "large")])
def test_equal_training_perturbations_leave_no_medium(n_degs: int, group: str) -> None:
    bounds = effect_size_bounds("tertiles", 1000, np.full(9, 3))
    assert group_effect_sizes(np.array([n_degs]), bounds).tolist() == [group]
