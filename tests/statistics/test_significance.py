import itertools

import numpy as np
import pytest
from scipy import stats

from adapert.statistics.significance import family_signed_rank_p, holm, p_of_mean, signed_rank_p
from adapert.statistics.two_level import Spread


def _spread(between_seeds: float, n_seeds: int, perturbations: float = 1.0, freedom: float = 1e6) -> Spread:
    return Spread(
        perturbations=perturbations,
        between_seeds=between_seeds,
        interaction=0.0,
        freedom=freedom,
        n_seeds=n_seeds,
    )


def test_p_of_signed_ranks_is_scipys() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, 30)
    assert signed_rank_p(differences) == stats.wilcoxon(differences).pvalue


@pytest.mark.parametrize("n", [1, 5, 8, 13])
def test_p_of_few_signed_ranks_that_tie_is_scipys(n: int) -> None:
    differences = np.random.default_rng(n).integers(-3, 4, n).astype(np.float64)
    differences[0] = 2.0  # one at least is not 0
    assert signed_rank_p(differences) == stats.wilcoxon(differences).pvalue


def test_p_of_between_seed_variance_alone_is_students() -> None:
    spread = _spread(0.25, n_seeds=4, perturbations=1e-12)
    effect = 1.7
    expected = 2 * stats.t.sf(effect / np.sqrt(0.25), 3)
    assert p_of_mean(effect, spread) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("freedom", "effect"), [(2, 4.0), (5, 1.3), (29, -2.5), (1e6, 2.5)])
def test_p_without_between_seed_variance_is_students(freedom: float, effect: float) -> None:
    expected = 2 * stats.t.sf(abs(effect), freedom)
    assert p_of_mean(effect, _spread(0.0, 3, freedom=freedom)) == pytest.approx(expected, rel=0.01)


def test_p_is_averaged_over_what_the_between_seed_variance_can_be() -> None:
    draws = np.random.default_rng(0).chisquare(2, 400_000)
    expected = np.mean(2 * stats.norm.sf(3 / np.sqrt(1 + 0.3 * 2 / draws)))
    assert p_of_mean(3.0, _spread(0.3, 3)) == pytest.approx(expected, rel=0.01)


def test_a_large_effect_on_every_perturbation_is_significant_despite_a_small_variance_between_seeds() -> None:
    # Signed ranks alone cannot tell .1 on all from .001 on all, so seeds must be weighed against the mean.
    differences = np.linspace(0.08, 0.12, 88)
    spread = _spread(0.01**2 / 3, n_seeds=3, perturbations=differences.var(ddof=1) / 88)
    p = p_of_mean(differences.mean(), spread)
    assert stats.wilcoxon(differences).pvalue < p < 0.01


def test_an_effect_without_any_spread_is_real() -> None:
    assert p_of_mean(0.1, _spread(0.0, 3, perturbations=0.0)) == 0


def test_equal_variants_have_a_p_of_1() -> None:
    assert signed_rank_p(np.zeros(8)) == 1.0
    assert family_signed_rank_p(np.zeros(8), np.arange(8) // 2) == 1.0


def test_p_of_families_of_one_is_wilcoxons() -> None:
    differences = np.random.default_rng(3).normal(0.5, 1, 10)
    expected = stats.wilcoxon(differences, method="exact").pvalue
    assert family_signed_rank_p(differences, np.arange(10)) == pytest.approx(expected)


def test_p_of_families_is_the_share_of_signs_that_rank_as_high() -> None:
    differences = np.array([0.5, 0.4, -0.1, 0.3, 0.0, 0.2, 0.7, -0.6])
    family = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    used = differences[differences != 0]
    ranks = np.sign(used) * stats.rankdata(np.abs(used))
    owners = family[differences != 0]
    n_as_high = 0
    for signs in itertools.product((1, -1), repeat=4):
        total = sum(signs[owner] * rank for owner, rank in zip(owners, ranks, strict=True))
        n_as_high += abs(total) >= abs(ranks.sum()) - 1e-9
    assert family_signed_rank_p(differences, family) == pytest.approx(n_as_high / 16)


def test_p_of_many_families_is_the_normal_approximation_of_all_signs() -> None:
    generator = np.random.default_rng(4)
    family = np.repeat(np.arange(40), 3)
    differences = 0.3 + generator.normal(size=40)[family] + generator.normal(size=120)
    sums = np.bincount(family, np.sign(differences) * stats.rankdata(np.abs(differences)))
    flipped = np.abs(generator.choice([-1.0, 1.0], size=(100_000, 40)) @ sums)
    share = np.mean(flipped >= abs(sums.sum()))
    assert 0.01 < share < 0.5
    assert family_signed_rank_p(differences, family) == pytest.approx(share, rel=0.05)


def test_holm_equals_a_worked_example() -> None:
    # Of four: .005 x 4, .01 x 3, .03 x 2, and .04 x 1 is raised to the one before.
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


def test_holm_rejects_what_stepping_down_by_hand_rejects() -> None:
    p = np.random.default_rng(0).uniform(0, 0.05, 12)
    rejected = set()
    for step, index in enumerate(np.argsort(p)):
        if p[index] > 0.05 / (len(p) - step):
            break
        rejected.add(index)
    assert rejected
    assert set(np.flatnonzero(holm(p) <= 0.05)) == rejected


def test_holm_leaves_a_missing_test_out_of_the_test_family() -> None:
    np.testing.assert_allclose(holm(np.array([np.nan, 0.02, 0.9])), [np.nan, 0.04, 0.9])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]
