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
        draws: The same on resampled perturbations, (n_resamples,).
        by_seed: Estimate of each seed, (n_seeds,).
        by_seed_draws: `by_seed` on the resampled perturbations, (n_resamples, n_seeds); NaN where a
            resample has no value of a seed.
        n_perturbations: Number of perturbations that were resampled, two or more.
    """

    estimate: float
    draws: FloatArray
    by_seed: FloatArray
    by_seed_draws: FloatArray
    n_perturbations: int


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Variance of an estimate, by where it comes from.

    Attributes:
        perturbations: Variance from the choice of perturbations, the interaction with seeds included.
        between_seeds: Variance of the seeds' estimates over their number; 0 for one seed, which shows none.
        interaction: What of `between_seeds` is not shared by the perturbations of a seed.
        n_perturbations: Two or more.
        n_seeds: One or more.
    """

    perturbations: float
    between_seeds: float
    interaction: float
    n_perturbations: int
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
        n, n_seeds = self.n_perturbations - 1, self.n_seeds - 1
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


def measure_spread(resampled: Resampled) -> Spread:
    """Split the variance of an estimate into its parts.

    With P perturbations, S seeds and the mean squares of a two-way layout, the variance of a mean is
    (MS_perturbations + MS_seeds - MS_interaction) / (P S): the interaction is in both of the first two, and
    counts once. The resamples give the same for any statistic and for missing values: how far a seed's
    estimate moves against all seeds' when perturbations are drawn again is what the interaction, and
    not the seed itself, has put between the seeds.
    """
    n, n_seeds = resampled.n_perturbations, len(resampled.by_seed)
    between_seeds, interaction = 0.0, 0.0
    if n_seeds > 1:
        between_seeds = float(np.var(resampled.by_seed, ddof=1)) / n_seeds
        moves = resampled.by_seed_draws - resampled.draws[:, None]
        interaction = float(np.nanmean(np.nanvar(moves, axis=0))) * n / ((n - 1) * (n_seeds - 1))
    return Spread(
        perturbations=float(np.var(resampled.draws)) * n / (n - 1),
        between_seeds=between_seeds,
        interaction=interaction,
        n_perturbations=n,
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
    n = resampled.n_perturbations
    between_seeds = np.sqrt(spread.seeds) * generator.standard_normal(len(resampled.draws))
    deviations = np.sqrt(n / (n - 1)) * (resampled.draws - resampled.draws.mean()) + between_seeds
    widening = stdtrit(spread.degrees_of_freedom, TAILS[1]) / ndtri(TAILS[1])
    low, high = resampled.estimate + widening * np.quantile(deviations, TAILS)
    return Interval(float(low), float(high))
