import math

import numpy as np
import pytest
from fixtures.narrowed import present
from scipy import stats

from adapert.study.engine.racing import is_clearly_behind, pool_spread


@pytest.mark.parametrize(
    ("mean", "is_behind"),
    # With one seed of each and a spread of 0.1, two standard errors are 2 * 0.1 * sqrt(2) = 0.283.
    [(0.72, False), (0.71, True), (0.9, False), (1.5, False)],
)
def test_a_seed_is_clearly_behind_below_two_standard_errors(mean: float, is_behind: bool) -> None:
    assert is_clearly_behind([mean], [1.0], 0.1) == is_behind


def test_more_seeds_tell_smaller_differences() -> None:
    # 2 * 0.1 * sqrt(1/1 + 1/4) = 0.224 and 2 * 0.1 * sqrt(1/4 + 1/4) = 0.141.
    assert not is_clearly_behind([0.8], [1.0] * 4, 0.1)
    assert is_clearly_behind([0.8] * 4, [1.0] * 4, 0.1)


def test_equal_seeds_tell_any_difference() -> None:
    assert is_clearly_behind([0.99], [1.0], 0.0)
    assert not is_clearly_behind([1.0], [1.0], 0.0)


@pytest.mark.parametrize(
    ("best", "spread"),
    [([], 0.1), ([1.0], None), ([-math.inf, 1.0], 0.1)],
    ids=["none", "spread", "undefined"],
)
def test_nothing_is_behind_what_is_not_known(best: list[float], spread: float | None) -> None:
    assert not is_clearly_behind([0.0], best, spread)


def test_an_undefined_objective_is_clearly_behind() -> None:
    assert is_clearly_behind([-math.inf, 1.0], [0.5, 0.5], 0.1)


def test_the_spread_of_one_config_is_its_standard_deviation() -> None:
    assert pool_spread([[1.0, 3.0]]) == pytest.approx(math.sqrt(2))
    assert pool_spread([[1.0, 2.0, 3.0], [5.0]]) == pytest.approx(1.0)


def test_spreads_are_pooled_by_degrees_of_freedom() -> None:
    # Squares of 2 over one degree of freedom, and of 2 over two.
    assert pool_spread([[1.0, 3.0], [10.0, 11.0, 12.0]]) == pytest.approx(math.sqrt(4 / 3))


@pytest.mark.parametrize("seed", range(5))
def test_the_pooled_spread_is_the_residual_one_of_an_analysis_of_variance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    configs = [rng.normal(rng.normal(), 0.3, rng.integers(1, 5)).tolist() for _ in range(8)]
    squares = sum((value - sum(values) / len(values)) ** 2 for values in configs for value in values)
    n_free = sum(len(values) for values in configs) - len(configs)
    assert pool_spread(configs) == pytest.approx(math.sqrt(squares / n_free))
    if all(len(values) > 1 for values in configs[:2]):
        test = stats.ttest_ind(*configs[:2])
        error = present(pool_spread(configs[:2])) * math.sqrt(sum(1 / len(values) for values in configs[:2]))
        assert abs(np.mean(configs[0]) - np.mean(configs[1])) / error == pytest.approx(abs(test.statistic))


@pytest.mark.parametrize("configs", [[], [[1.0], [2.0]], [[1.0, -math.inf]]])
def test_the_spread_is_unknown_without_two_finite_seeds_of_a_config(configs: list[list[float]]) -> None:
    assert pool_spread(configs) is None


def test_undefined_objectives_say_nothing_of_the_spread() -> None:
    assert pool_spread([[1.0, -math.inf, 3.0], [5.0, -math.inf]]) == pytest.approx(math.sqrt(2))
