"""How sure an estimate over perturbations and seeds is: the one mechanism behind every interval.

What is estimated is a value over two populations: perturbations, and training seeds. Perturbations are
resampled; the variation between seeds, which all perturbations of a trained model share, is added to each
resample. Two to five seeds have no shape that could be resampled, so it is drawn from a normal distribution
with the variance that they show.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]

CONFIDENCE = 0.95
"""Coverage that every interval aims at."""

TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
"""Quantiles that the central interval ends at."""

N_RESAMPLES = 2000
"""Resamples of a bootstrap: between random streams an end of its interval moves by about 2 % of its width."""


class Interval(NamedTuple):
    """A confidence interval; NaN on both sides where there is none."""

    low: float
    high: float


NO_INTERVAL = Interval(np.nan, np.nan)


@dataclass(frozen=True, kw_only=True)
class Resampled:
    """An estimate, and what it would have been on other perturbations.

    Attributes:
        estimate: On the observed perturbations, over all seeds.
        draws: The same on resampled perturbations, with the variance that other perturbations would give
            (`inflate`), (n_resamples,).
        by_seed: Estimate of each seed, (n_seeds,).
        interaction: Variance that perturbations put between the seeds, of the mean over seeds; 0 for one.
        freedom: Degrees of freedom of the draws' variance, at least 1.
    """

    estimate: float
    draws: FloatArray
    by_seed: FloatArray
    interaction: float
    freedom: float


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Variance of an estimate, by where it comes from.

    Attributes:
        perturbations: Variance from the choice of perturbations, the interaction with seeds included.
        between_seeds: Variance of the seeds' estimates over their number; 0 for one seed, which shows none.
        interaction: What of `between_seeds` is not shared by the perturbations of a seed.
        freedom: Degrees of freedom of `perturbations`, at least 1.
        n_seeds: One or more.
    """

    perturbations: float
    between_seeds: float
    interaction: float
    freedom: float
    n_seeds: int

    @property
    def seeds(self) -> float:
        """Between-seed variance that all perturbations of a seed share; a negative difference counts as 0."""
        return max(self.between_seeds - self.interaction, 0.0)

    @property
    def total(self) -> float:
        """Variance of the estimate."""
        return self.perturbations + self.seeds

    @property
    def degrees_of_freedom(self) -> float:
        """Degrees of freedom of `total` (Satterthwaite, 1946); infinite where that is 0."""
        n, n_seeds = self.freedom, self.n_seeds - 1
        squares = self.perturbations**2 / n
        if self.seeds:
            squares += self.between_seeds**2 / n_seeds + self.interaction**2 / (n * n_seeds)
        if not squares:
            return np.inf
        # A sum is known no worse than its least known part; after the subtraction the formula can say so.
        return max(self.total**2 / squares, min(n, n_seeds) if self.seeds else n)


def draw_counts(n: int, generator: np.random.Generator, n_resamples: int = N_RESAMPLES) -> FloatArray:
    """Draw n of n with replacement, and count how often each was drawn, (n_resamples, n)."""
    draws = generator.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    counts = np.bincount(draws.ravel(), minlength=n * n_resamples)  # ten times as fast as a multinomial
    return counts.reshape(n_resamples, n).astype(np.float64)


def inflate(draws: FloatArray, n: int) -> FloatArray:
    """Give resampled estimates of n units, (n_resamples, ...), the variance that others would give.

    n drawn of n with replacement vary by (n - 1) / n of that.
    """
    middle = np.nanmean(draws, axis=0)
    inflated: FloatArray = middle + np.sqrt(n / (n - 1)) * (draws - middle)
    return inflated


def measure_interaction(draws: FloatArray, by_seed_draws: FloatArray) -> float:
    """Measure the variance that perturbations put between seeds.

    How far a seed's estimate moves against all seeds' when perturbations are drawn again is what the
    interaction, and not the seed itself, has put between the seeds.

    Args:
        draws: Estimates over all seeds on resampled perturbations, (n_resamples,).
        by_seed_draws: Those of each seed, (n_resamples, n_seeds); NaN where a resample has no value of it.

    Returns:
        Of the mean over seeds; 0 for one seed.
    """
    n_seeds = by_seed_draws.shape[1]
    if n_seeds < 2:
        return 0.0
    variance = np.nanmean(np.nanvar(by_seed_draws - draws[:, None], axis=0))
    return float(variance / (n_seeds - 1))


def measure_spread(resampled: Resampled) -> Spread:
    """Split the variance of an estimate into its parts.

    With P perturbations, S seeds and the mean squares of a two-way layout, the variance of a mean is
    (MS_perturbations + MS_seeds - MS_interaction) / (P S): the interaction is in both of the first two, and
    counts once. The resamples give the same for any statistic and for missing values.
    """
    n_seeds = len(resampled.by_seed)
    return Spread(
        perturbations=float(np.var(resampled.draws)),
        between_seeds=float(np.var(resampled.by_seed, ddof=1)) / n_seeds if n_seeds > 1 else 0.0,
        interaction=resampled.interaction,
        freedom=resampled.freedom,
        n_seeds=n_seeds,
    )


def find_interval(resampled: Resampled, generator: np.random.Generator) -> Interval:
    """Find the central `CONFIDENCE` interval of an estimate.

    The quantiles of the resampled deviations keep the data's skew. They are widened by the quotient of
    Student's and the normal quantile, at Satterthwaite's degrees of freedom, as a bootstrap has no other way
    to know that a variance was estimated from few (the expanded percentile interval of Hesterberg, 2015).

    Args:
        resampled: The estimate.
        generator: Draws what seeds add to each resample.
    """
    spread = measure_spread(resampled)
    between_seeds = np.sqrt(spread.seeds) * generator.standard_normal(len(resampled.draws))
    deviations = resampled.draws - resampled.draws.mean() + between_seeds
    widening = stdtrit(spread.degrees_of_freedom, TAILS[1]) / ndtri(TAILS[1])
    low, high = resampled.estimate + widening * np.quantile(deviations, TAILS)
    return Interval(float(low), float(high))
