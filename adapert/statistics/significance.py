"""Tests of paired differences, and their correction for many."""

from functools import lru_cache

import numpy as np
from scipy.special import gammaincinv, ndtr

from adapert.statistics.two_level import FloatArray, IntArray, Spread

_N_STEPS, _N_PERTURBATION_STEPS = 500, 60

_MAX_EXACT = 12
"""Families up to which all signs are tried."""

_MAX_TIED = 13
"""Perturbations up to which scipy tries all signs where some tie."""


def signed_rank_p(differences: FloatArray) -> float:
    """Test paired differences by Wilcoxon's signed ranks, perturbations taken for independent.

    Args:
        differences: Averaged over seeds, (n_perturbations,). Zeros are dropped and ties share their mean
            rank (scipy's ``"wilcox"``; exact up to 50 without either). Of fewer than six that are not 0,
            no p can be below .05.

    Returns:
        `scipy.stats.wilcoxon`'s p; 1 where all differences are 0.
    """
    if not differences.any():
        return 1.0
    if len(differences) <= _MAX_TIED:
        # As scipy's, in a hundredth of the time.
        return _share_of_signs(_signed_ranks(differences))
    from scipy import stats  # takes half a second, and only this needs it

    return float(stats.wilcoxon(differences).pvalue)


def family_signed_rank_p(differences: FloatArray, family: IntArray) -> float:
    """Test paired differences by signed ranks, of which a family's change their signs together.

    The sum of all signed ranks is compared with what it is if each family's sum has a random sign (Rosner,
    Glynn and Lee, 2006): all signs of up to twelve families, and the normal distribution above. Of fewer than
    six families no p can be below .05.

    Args:
        differences: As in `signed_rank_p`.
        family: Number of each perturbation's family, (n_perturbations,).

    Returns:
        Two-sided p; 1 where all differences are 0.
    """
    sums = np.bincount(family[differences != 0], _signed_ranks(differences))
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    if len(sums) > _MAX_EXACT:
        return float(2 * ndtr(-abs(sums.sum()) / np.sqrt((sums**2).sum())))
    return _share_of_signs(sums)


def _signed_ranks(differences: FloatArray) -> FloatArray:
    """Rank the sizes of differences that are not 0, and give each rank its difference's sign."""
    from scipy import stats  # takes half a second, and only this needs it

    used = differences[differences != 0]
    return np.asarray(np.sign(used) * stats.rankdata(np.abs(used)), dtype=np.float64)


def _share_of_signs(ranks: FloatArray) -> float:
    """Compute in which share of all signs the sum is as far from 0 as it is."""
    return float(np.mean(np.abs(_all_signs(len(ranks)) @ ranks) >= abs(ranks.sum()) - 1e-9))


def p_of_mean(effect: float, spread: Spread) -> float:
    """Compute the two-sided p of a mean effect, allowing for the variance between seeds and few families.

    Signed ranks cannot weigh the variance between seeds, which all perturbations of a training share, against
    an effect's size. It widens the SE here, but a few seeds hardly tell by how much: in 2 of 100 cases three
    of them show less than a fiftieth of it. So p is averaged over what the variance can be: `between_seeds`
    times (n_seeds - 1) / U less `interaction`, with U of the chi-squared distribution of n_seeds - 1 degrees
    of freedom, and the same for the variance over perturbations with those of the spread (a generalized p
    value; Weerahandi, 1993). With either variance alone, it is Student's test.

    Args:
        effect: Mean over perturbations and seeds.
        spread: Variances of that mean.
    """
    scale, weights = _variance_scales(max(spread.n_seeds - 1, 1), _N_STEPS)
    own_scale, own_weights = _variance_scales(spread.freedom, _N_PERTURBATION_STEPS)
    seeds = np.maximum(spread.between_seeds * scale - spread.interaction, 0)
    if not spread.between_seeds:  # one seed, or equal ones
        seeds, weights = np.zeros(1), np.ones(1)
    error = np.sqrt(spread.perturbations * own_scale[:, None] + seeds)
    # Where the difference is the same for all perturbations and seeds, there is no error: it is real.
    z = np.divide(abs(effect), error, out=np.full_like(error, np.inf), where=error > 0)
    return float(np.average(2 * ndtr(-z) @ weights / weights.sum(), weights=own_weights))


@lru_cache
def _variance_scales(freedom: float, n_steps: int) -> tuple[FloatArray, FloatArray]:
    """List values of freedom / U, with U of the chi-squared distribution, and how much each weighs."""
    steps = (np.arange(n_steps) + 0.5) / n_steps
    # Quantiles at the fourth powers: small p come from small U.
    return freedom / (2 * gammaincinv(freedom / 2, steps**4)), steps**3


@lru_cache
def _all_signs(n: int) -> FloatArray:
    """List all signs of n numbers, the last one positive: half of all, (2^(n-1), n)."""
    bits = (np.arange(2 ** (n - 1))[:, None] >> np.arange(n)) & 1
    return np.asarray(1.0 - 2.0 * bits, dtype=np.float64)


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
