import pytest
from fixtures.exhaustive import few_fast

from adapert.seeding import numpy_generator
from benchmarks.coverage import (
    COVERAGE,
    LEVEL,
    RELATED,
    SCENARIOS,
    binomial_error,
    measure_rates,
    measure_tests,
)

N_SIMULATIONS = 200


@pytest.mark.parametrize("name", few_fast(("seed SD .15", "seed SD 0", "heavy tails"), 1))
def test_interval_covers_the_truth_and_equal_variants_seldom_differ(name: str) -> None:
    generator = numpy_generator(0, SCENARIOS[name].stream or name)
    rates = measure_rates(SCENARIOS[name], 4, 40, N_SIMULATIONS, generator, n_resamples=300)
    low, high = COVERAGE
    assert rates.coverage >= low - 3 * binomial_error(low, N_SIMULATIONS)
    assert rates.coverage <= high + 3 * binomial_error(high, N_SIMULATIONS)
    assert rates.false_p <= LEVEL + 3 * binomial_error(LEVEL, N_SIMULATIONS)


def test_a_test_family_of_equal_variants_seldom_has_a_difference_however_seeds_differ() -> None:
    share = measure_tests(SCENARIOS["seed SD .5"], 4, 40, 20, numpy_generator(0, "family"), n_resamples=300)
    assert share <= LEVEL + 3 * binomial_error(LEVEL, 20)


@pytest.mark.parametrize("name", ["families of 8, ICC 0.5", "unequal, ICC 0.5"])
def test_interval_covers_the_truth_where_perturbations_are_related(name: str) -> None:
    rates = measure_rates(RELATED[name], 3, 200, 50, numpy_generator(0, name), n_resamples=100)
    low, _ = COVERAGE
    assert rates.coverage >= low - 3 * binomial_error(low, 50)
    assert rates.unrelated < 0.9
    assert rates.false_p <= LEVEL + 3 * binomial_error(LEVEL, 50) < rates.false_wilcoxon
