"""Tests of paired differences, and their correction for many."""

from functools import lru_cache

import numpy as np
from scipy.special import gammaincinv, ndtr

from adapert.statistics.two_level import FloatArray, Spread

_N_STEPS = 500


def signed_rank_p(differences: FloatArray, spread: Spread) -> tuple[float, float]:
    """Test paired differences by Wilcoxon's signed ranks, without and with between-seed variance.

    The test takes perturbations for independent, but all those of a seed share one training, which alone
    makes equal models differ. Signed ranks cannot weigh that against an effect's size, so p is no smaller
    than that of the mean with the variance between seeds (`p_with_seeds`): an effect must pass both.

    Args:
        differences: Averaged over seeds, (n_perturbations,). Zeros are dropped and ties share their mean
            rank (scipy's ``"wilcox"``; exact up to 50 without either). Of fewer than six that are not 0,
            no p can be below .05.
        spread: Variances of their mean.

    Returns:
        `scipy.stats.wilcoxon`'s p, and the larger of it and `p_with_seeds`; both 1 where all differences are
        0, and the same for one seed.
    """
    if not differences.any():
        return 1.0, 1.0
    from scipy import stats  # takes half a second, and only this needs it

    plain = float(stats.wilcoxon(differences).pvalue)
    if not spread.between_seeds:
        return plain, plain
    return plain, max(plain, p_with_seeds(float(differences.mean()), spread))


def p_with_seeds(effect: float, spread: Spread) -> float:
    """Compute the two-sided p of a mean effect, allowing for the variance between seeds.

    That variance widens the SE, but a few seeds hardly tell by how much: in 2 of 100 cases three of them
    show less than a fiftieth of it. So p is averaged over what the variance can be: `between_seeds` times
    (n_seeds - 1) / U less `interaction`, with U of the chi-squared distribution of n_seeds - 1 degrees of
    freedom (a generalized p value; Weerahandi, 1993). With nothing but that variance, it is Student's
    test.

    Args:
        effect: Mean over perturbations and seeds.
        spread: Variances of that mean.
    """
    scale, weights = _variance_scales(max(spread.n_seeds - 1, 1))
    seeds = np.maximum(spread.between_seeds * scale - spread.interaction, 0)
    error = np.sqrt(spread.perturbations + seeds)
    # Where the difference is the same for all perturbations and seeds, there is no error: it is real.
    z = np.divide(abs(effect), error, out=np.full_like(error, np.inf), where=error > 0)
    return float(np.average(2 * ndtr(-z), weights=weights))


@lru_cache
def _variance_scales(freedom: int) -> tuple[FloatArray, FloatArray]:
    """List values of freedom / U, with U of the chi-squared distribution, and how much each weighs."""
    steps = (np.arange(_N_STEPS) + 0.5) / _N_STEPS
    # Quantiles at the fourth powers: small p come from small U.
    return freedom / (2 * gammaincinv(freedom / 2, steps**4)), steps**3


def holm(p: FloatArray) -> FloatArray:
    """Correct the p of a test family (Holm, 1979): the i-th smallest of m times m - i + 1, never falling.

    Args:
        p: The p of each test; NaN is no test.

    Returns:
        As `p`, at most 1. If nothing differs, any of them is at most a with a probability of at most a.
    """
    corrected = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected
