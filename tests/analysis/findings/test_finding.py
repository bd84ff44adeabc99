import math

import pytest

from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from analysis.findings.finding import (
    BETTER,
    LEVEL_WITH,
    WORSE,
    Estimate,
    judge_difference,
    judge_effect,
    state,
    write_certainty,
)


@pytest.mark.parametrize(
    ("low", "high", "p", "n_seeds", "verdict"),
    [
        (0.01, 0.05, 0.01, 3, BETTER),
        (-0.05, -0.01, 0.01, 3, WORSE),
        (-0.01, 0.015, 0.9, 3, LEVEL_WITH),
        (0.01, 0.05, 0.2, 3, UNDECIDED),
        (0.01, 0.05, 0.01, 1, UNDECIDED),
        (math.nan, math.nan, math.nan, 3, UNDECIDED),
    ],
)
def test_a_difference_is_decided_by_interval_test_and_seeds(
    low: float, high: float, p: float, n_seeds: int, verdict: str
) -> None:
    assert judge_difference(low, high, p, n_seeds) == verdict


def test_a_part_that_surely_does_little_has_no_effect() -> None:
    assert judge_effect(0.001, 0.002, 0.001, 3) == LEVEL_WITH
    assert judge_effect(0.001, 0.002, 0.001, 1) == UNDECIDED
    assert judge_effect(0.03, 0.05, 0.001, 3) == BETTER


def test_a_finding_is_as_certain_as_its_estimates() -> None:
    assert state("a", "b", []).certainty == UNDECIDED
    assert state("a", "b", [Estimate("c", 1.0)]).certainty == UNDECIDED
    assert state("a", "b", [Estimate("c", 1.0), Estimate("d", 1.0, verdict=BETTER)]).certainty == SUPPORTED


def test_what_is_missing_is_not_written() -> None:
    assert write_certainty(0.1, 0.2, 1e-4) == "95% interval 0.100 to 0.200; p < 0.001"
    assert write_certainty(0.1, 0.2, math.nan) == "95% interval 0.100 to 0.200"
    assert write_certainty(math.nan, math.nan, math.nan) == "no interval"
