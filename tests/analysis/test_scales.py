import numpy as np
import pandas as pd
import pytest
from scipy.stats import kruskal

from analysis.figures.scales import association, build_scale


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_range_is_drawn_on_the_scale_it_was_drawn_from(generator: np.random.Generator) -> None:
    even = pd.Series(generator.uniform(0.1, 2.0, 60))
    log_even = pd.Series(np.exp(generator.uniform(np.log(0.1), np.log(2.0), 60)))
    assert build_scale(even).kind == "linear"
    assert build_scale(log_even).kind == "log"
    assert build_scale(pd.Series([-1.0, 1e-4, 1.0])).kind == "linear"


@pytest.mark.parametrize("values", [[True, False], ["a", "b"], [5, 10, 50]])
def test_words_switches_and_few_whole_numbers_are_choices(values: list[int | str]) -> None:
    scale = build_scale(pd.Series(values))
    assert scale.choices == tuple(sorted(values))
    assert [label for _, label in scale.ticks()] == [str(value) for value in sorted(values)]


def test_ticks_are_round_numbers_inside_the_range() -> None:
    scale = build_scale(pd.Series(np.geomspace(2e-5, 3e-2, 30)))
    assert [label for _, label in scale.ticks()] == ["$10^{-4}$", "$10^{-3}$", "$10^{-2}$"]
    assert all(0 <= position <= 1 for position, _ in scale.ticks())
    few = build_scale(pd.Series(np.geomspace(0.15, 3.0, 30)))
    assert [label for _, label in few.ticks()] == ["0.2", "0.5", "1", "2"]


def test_association_is_kruskals_epsilon_squared(generator: np.random.Generator) -> None:
    groups = pd.Series(np.repeat([1, 2, 3], 10))
    objective = pd.Series(generator.normal(size=30)) + groups
    statistic = kruskal(*(objective[groups == value] for value in (1, 2, 3))).statistic
    assert association(groups, objective) == pytest.approx((statistic - 2) / 27)


def test_association_is_small_by_chance_and_large_by_rule(generator: np.random.Generator) -> None:
    values = pd.Series(generator.uniform(size=40))
    assert association(values, values**2) > 0.8
    assert association(values, pd.Series(generator.normal(size=40))) < 0.2
    assert association(values[:7], values[:7]) == 0.0
