import pytest

from adapert.seeding import numpy_generator
from benchmarks.coverage import COVERAGE, LEVEL, SCENARIOS, binomial_error, measure_family, measure_rates

N_SIMULATIONS = 200


@pytest.mark.parametrize("name", ["seed SD 0", "seed SD .15", "heavy tails"])
def test_interval_covers_the_truth_and_equal_variants_seldom_differ(name: str) -> None:
    generator = numpy_generator(0, SCENARIOS[name].stream or name)
    rates = measure_rates(SCENARIOS[name], 4, 40, N_SIMULATIONS, generator, n_resamples=300)
    low, high = COVERAGE
    assert rates.coverage >= low - 3 * binomial_error(low, N_SIMULATIONS)
    assert rates.coverage <= high + 3 * binomial_error(high, N_SIMULATIONS)
    assert rates.false_p <= LEVEL + 3 * binomial_error(LEVEL, N_SIMULATIONS)


def test_a_family_of_equal_variants_seldom_has_a_difference_however_seeds_differ() -> None:
    share = measure_family(SCENARIOS["seed SD .5"], 4, 40, 20, numpy_generator(0, "family"), n_resamples=300)
    assert share <= LEVEL + 3 * binomial_error(LEVEL, 20)
