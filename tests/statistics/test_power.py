"""What comparisons can show: against scipy's exact tests and noncentral t."""

import numpy as np
import pytest
from scipy import stats

from adapert.seeding import numpy_generator
from adapert.statistics.paired import compare_pairs
from adapert.statistics.power import (
    POWER,
    describe_power,
    detectable_difference,
    smallest_p,
    warn_of_tests,
)


@pytest.mark.parametrize("n", [1, 2, 5, 6, 12, 20])
def test_the_smallest_p_is_that_of_scipys_exact_test_of_equal_signs(n: int) -> None:
    assert smallest_p(n) == pytest.approx(stats.wilcoxon(np.arange(1.0, n + 1), method="exact").pvalue)


@pytest.mark.parametrize("n", [10, 30, 150])
def test_the_detectable_difference_has_its_power_by_the_noncentral_t(n: int) -> None:
    difference = detectable_difference([1] * n, 1, sd=0.11)
    critical = stats.t.ppf(0.975, n - 1)
    noncentral = stats.nct(n - 1, difference / 0.11 * np.sqrt(n))
    assert noncentral.sf(critical) == pytest.approx(POWER, abs=0.02)


def test_equal_families_detect_what_as_many_independent_means_do() -> None:
    # Means of families of 8 of ICC 1 are known no better than those of single perturbations.
    assert detectable_difference([8] * 10, 1, icc=1.0) == pytest.approx(detectable_difference([1] * 10, 1))
    assert detectable_difference([8] * 10, 1, icc=0.0) < detectable_difference([1] * 10, 1)


def test_the_detectable_difference_is_found_about_as_often_as_it_says() -> None:
    generator = numpy_generator(0, "power")
    family = np.arange(96) // 4
    difference = detectable_difference([4] * 24, 5, sd=1.0, seed_sd=0.05, icc=0.3)
    found = 0
    for _ in range(150):
        effects = np.sqrt(0.3) * generator.normal(size=24)[family] + np.sqrt(0.7) * generator.normal(size=96)
        values = (
            difference + effects + 0.05 * generator.normal(size=(5, 1)) + 0 * generator.normal(size=(5, 96))
        )
        interval = compare_pairs(values, generator, 100, family.astype(str))
        found += interval["low"] > 0
    assert found / 150 == pytest.approx(POWER, abs=0.12)


def test_power_is_said_with_its_assumptions() -> None:
    said = describe_power([*"AAABBBCCCDDD"], 3)
    assert (
        "12 perturbations of 4 families and 3 seeds detect a difference in Pearson-delta of about 0." in said
    )
    assert "SD of differences 0.11 over perturbations and 0.01 between seeds, ICC 0.2" in said
    assert "one family can detect no difference" in describe_power(["A", "A"], 3)


def test_six_perturbations_are_warned_of() -> None:
    families = [f"P{place}" for place in range(6)]
    warned = warn_of_tests(families, 3, 12)
    assert warned[0].startswith(
        "No p can pass: the smallest of 6 perturbations is 0.031, and 0.38 after Holm's"
    )
    assert not any("No p can pass" in warning for warning in warn_of_tests(families, 3, 1))
    (alone, *_) = warn_of_tests(families[:4], 3, 1)
    assert alone == "No p can pass: the smallest of 4 perturbations is 0.12. Compare on more perturbations."


def test_few_families_and_seeds_are_warned_of_and_enough_are_not() -> None:
    families = [f"P{place % 5}" for place in range(60)]
    of_families, narrow, of_seeds = warn_of_tests(families, 2, 4)
    assert "no p can pass: the smallest of 5 families is 0.062" in of_families
    assert "5 families of perturbations, fewer than 6" in narrow
    assert "With 2 seeds hardly any p can pass: a difference must be 13 times" in of_seeds
    assert "One seed says nothing about other seeds" in warn_of_tests(families, 1, 4)[-1]
    assert warn_of_tests([f"P{place}" for place in range(60)], 3, 4) == []
