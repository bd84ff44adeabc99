import numpy as np
import pytest
from scipy import stats

from adapert.statistics.significance import holm, p_with_seeds, signed_rank_p
from adapert.statistics.two_level import Spread


def _spread(between_seeds: float, n_seeds: int, perturbations: float = 1.0) -> Spread:
    return Spread(
        perturbations=perturbations,
        between_seeds=between_seeds,
        interaction=0.0,
        n_perturbations=30,
        n_seeds=n_seeds,
    )


def test_p_of_one_seed_is_scipys() -> None:
    differences = np.random.default_rng(0).normal(0.3, 1, 30)
    expected = stats.wilcoxon(differences).pvalue
    assert signed_rank_p(differences, _spread(0.0, 1)) == (expected, expected)


def test_p_of_between_seed_variance_alone_is_students() -> None:
    spread = _spread(0.25, n_seeds=4, perturbations=1e-12)
    effect = 1.7
    expected = 2 * stats.t.sf(effect / np.sqrt(0.25), 3)
    assert p_with_seeds(effect, spread) == pytest.approx(expected, rel=1e-3)


def test_p_without_between_seed_variance_is_the_normal_one() -> None:
    assert p_with_seeds(-2.5, _spread(0.0, 3)) == pytest.approx(2 * stats.norm.sf(2.5))


def test_p_is_averaged_over_what_the_between_seed_variance_can_be() -> None:
    draws = np.random.default_rng(0).chisquare(2, 400_000)
    expected = np.mean(2 * stats.norm.sf(3 / np.sqrt(1 + 0.3 * 2 / draws)))
    assert p_with_seeds(3.0, _spread(0.3, 3)) == pytest.approx(expected, rel=0.01)


def test_a_large_effect_on_every_perturbation_is_significant_despite_a_small_variance_between_seeds() -> None:
    # Signed ranks alone cannot tell .1 on all from .001 on all, so seeds must be weighed against the mean.
    differences = np.linspace(0.08, 0.12, 88)
    spread = _spread(0.01**2 / 3, n_seeds=3, perturbations=differences.var(ddof=1) / 88)
    _, p = signed_rank_p(differences, spread)
    assert stats.wilcoxon(differences).pvalue < p < 0.01


def test_an_effect_without_any_spread_is_real() -> None:
    assert p_with_seeds(0.1, _spread(0.0, 3, perturbations=0.0)) == 0


def test_equal_variants_have_a_p_of_1() -> None:
    assert signed_rank_p(np.zeros(8), _spread(0.0, 3)) == (1.0, 1.0)


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
