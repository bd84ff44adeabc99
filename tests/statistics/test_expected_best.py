from itertools import combinations

import numpy as np
import pytest

from adapert.statistics.expected_best import expected_best


def test_it_is_the_mean_of_the_best_over_all_subsets() -> None:
    values = np.random.default_rng(0).normal(size=8)
    values[3] = values[5]  # ties count as they are
    by_subset = [
        np.mean([max(subset) for subset in combinations(values, n)]) for n in range(1, len(values) + 1)
    ]
    np.testing.assert_allclose(expected_best(values), by_subset, rtol=1e-12)


def test_it_rises_from_the_mean_to_the_best_of_a_thousand() -> None:
    values = np.random.default_rng(1).random(1_000)
    found = expected_best(values)
    assert found[0] == pytest.approx(values.mean())
    assert found[-1] == pytest.approx(values.max())
    assert (np.diff(found) >= -1e-12).all()


def test_trials_without_a_value_do_not_count() -> None:
    np.testing.assert_allclose(expected_best(np.array([0.2, np.nan, 0.6])), [0.4, 0.6])
    assert expected_best(np.array([np.nan])).size == 0
