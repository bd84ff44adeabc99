"""Families of perturbations that respond alike: how far they correlate, and what that costs.

Models err alike on the members of a complex or pathway. The mean over n perturbations is then known no better
than one over n / D independent ones, where D is the design effect (Kish, 1965). Effects of families and of
their members are taken for a one-way layout with random effects,

    d_p = mean + u_f(p) + e_p,    Var(u) = between,  Var(e) = within,    ICC = between / (between + within),

which an analysis of variance estimates. Large families count no differently from small ones: what u a family
has does not depend on its size.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtri

from adapert.data.schema import StringArray
from adapert.statistics.two_level import (
    N_RESAMPLES,
    TAILS,
    FloatArray,
    IntArray,
    Resampled,
    draw_counts,
)

FEWEST_FAMILIES = 6
"""Families without which intervals may be too narrow (`python -m benchmarks coverage`)."""

EXPLANATION = (
    "Where members of a family correlate, intervals and p are by family; those called unrelated take "
    "perturbations for independent."
)
"""What tables say that show both."""


def design_effect(sizes: FloatArray, icc: float) -> float:
    """Compute the variance of a mean over that of independent values: 1 + (sum k^2 / n - 1) ICC.

    Args:
        sizes: Number of perturbations of each family, k, (n_families,); n is their sum.
        icc: Correlation within families.
    """
    return float(1 + ((sizes**2).sum() / sizes.sum() - 1) * icc)


@dataclass(frozen=True, kw_only=True)
class FamilyLayout:
    """What families of perturbations have in common, by a one-way analysis of variance.

    Attributes:
        sizes: Number of perturbations of each family, (n_families,).
        mean_square_between: Mean square between families.
        mean_square_within: Mean square within families.
    """

    sizes: FloatArray
    mean_square_between: float
    mean_square_within: float

    @property
    def n_perturbations(self) -> int:
        """Number of perturbations."""
        return int(self.sizes.sum())

    @property
    def n_families(self) -> int:
        """Number of families."""
        return len(self.sizes)

    @property
    def typical_size(self) -> float:
        """Size that equal families would have for the same expected mean squares."""
        n = self.sizes.sum()
        return float((n - (self.sizes**2).sum() / n) / (self.n_families - 1))

    @property
    def between(self) -> float:
        """Variance between families; a negative difference counts as 0."""
        difference = self.mean_square_between - self.mean_square_within
        return max(difference / self.typical_size, 0.0)

    @property
    def icc(self) -> float:
        """Intra-class correlation, as estimated (it may be negative); NaN where nothing varies."""
        return self._icc_of(self.mean_square_between, self.mean_square_within)

    @property
    def icc_interval(self) -> tuple[float, float]:
        """Its 95 % interval by the F distribution (Searle, 1971); exact for equal sizes, normal effects."""
        freedom = self.n_families - 1, self.n_perturbations - self.n_families
        low, high = (
            self._icc_of(self.mean_square_between / fdtri(*freedom, tail), self.mean_square_within)
            for tail in reversed(TAILS)
        )
        return low, high

    @property
    def design_effect(self) -> float:
        """Variance of the mean over that of independent values, 1 or more."""
        return design_effect(self.sizes, max(np.nan_to_num(self.icc), 0.0))

    @property
    def variance(self) -> float:
        """Variance of the mean over perturbations."""
        shares = (self.sizes**2).sum() / self.sizes.sum() ** 2
        return float(self.between * shares + self.mean_square_within / self.sizes.sum())

    @property
    def freedom(self) -> float:
        """Degrees of freedom of `variance`, a weighted sum of both mean squares (Satterthwaite, 1946)."""
        n, n_families = self.n_perturbations, self.n_families
        # With unequal sizes the mean square between is a sum of unequal parts: the large ones count.
        parts = (self.sizes * self.between + self.mean_square_within) * (1 - self.sizes / n)
        between = min(parts.sum() ** 2 / (parts**2).sum(), n_families - 1)
        weight = (self.sizes**2).sum() / n**2 / self.typical_size
        squares = (weight * self.mean_square_between) ** 2 / between
        squares += ((1 / n - weight) * self.mean_square_within) ** 2 / (n - n_families)
        return float(max(self.variance**2 / squares, min(between, n - n_families)))

    def _icc_of(self, between: float, within: float) -> float:
        whole = between + (self.typical_size - 1) * within
        return float((between - within) / whole) if whole > 0 else np.nan


def number_families(families: StringArray) -> IntArray:
    """Number families in the order of their names, (n_perturbations,)."""
    numbers: IntArray = np.unique(families, return_inverse=True)[1]
    return numbers


def lay_out(values: FloatArray, family: IntArray) -> FamilyLayout | None:
    """Analyse the variance of values by family.

    Args:
        values: One of each perturbation, or several rows of them whose sums of squares are pooled,
            (n_perturbations,) or (n_rows, n_perturbations).
        family: Number of each perturbation's family, from 0 on, (n_perturbations,).

    Returns:
        None where no perturbation shares its family, or all are of one: nothing is known of either variance.
    """
    sizes = np.bincount(family).astype(np.float64)
    n, n_families = len(family), len(sizes)
    if not 1 < n_families < n:
        return None
    rows = np.atleast_2d(values)
    means = average_by_family(rows, family)
    deviations = means - rows.mean(axis=1, keepdims=True)
    return FamilyLayout(
        sizes=sizes,
        mean_square_between=float((sizes * deviations**2).sum() / (n_families - 1)),
        mean_square_within=float(((rows - means[:, family]) ** 2).sum() / (n - n_families)),
    )


def average_by_family(rows: FloatArray, family: IntArray) -> FloatArray:
    """Average rows over the members of each family, (n_rows, n_families)."""
    sums = np.stack([np.bincount(family, row) for row in rows])
    means: FloatArray = sums / np.bincount(family)
    return means


def resample_families(
    values: FloatArray,
    family: IntArray,
    layout: FamilyLayout,
    counts: FloatArray,
    generator: np.random.Generator,
) -> Resampled:
    """Compute the mean over perturbations on resampled families and resampled members.

    Families keep their sizes, and each gets the effect u of a random one; each perturbation gets the residual
    e of a random one (the random effects bootstrap of Chambers and Chandra, 2013). Both are scaled to the
    variances of the layout: a mean over a family's members varies more than u alone.

    Args:
        values: One metric, all known, (n_seeds, n_perturbations).
        family: Number of each perturbation's family, (n_perturbations,).
        layout: Of their means over seeds; its variance between families is above 0.
        counts: How often each perturbation's residual is drawn, (n_resamples, n_perturbations).
        generator: Draws the families' effects.
    """
    n_seeds, n = values.shape
    means = values.mean(axis=0)
    of_family = average_by_family(means[None], family)[0]
    effects = _scale(of_family - of_family.mean(), layout.between)
    residuals = _scale(means - of_family[family], layout.mean_square_within)
    moves = draw_shares(layout.sizes / n, generator, len(counts)) @ effects + counts @ residuals / n
    interaction = 0.0
    if n_seeds > 1:
        rest = values - means - (values.mean(axis=1, keepdims=True) - means.mean())
        of_rest = lay_out(rest, family)
        assert of_rest is not None, "families are as in the layout"
        # The mean squares are summed over seeds, of which one less is free.
        interaction = of_rest.variance / (n_seeds - 1) / n_seeds
    return Resampled(
        estimate=float(means.mean()),
        draws=means.mean() + moves,
        by_seed=values.mean(axis=1),
        interaction=interaction,
        freedom=layout.freedom,
    )


def draw_family_counts(
    family: IntArray, generator: np.random.Generator, n_resamples: int = N_RESAMPLES
) -> FloatArray:
    """Draw families with replacement, and count each perturbation as often as its family.

    For statistics that are no means, of which only whole families can be resampled.

    Args:
        family: Number of each perturbation's family, (n_perturbations,).
        generator: Draws the families.
        n_resamples: How often.

    Returns:
        (n_resamples, n_perturbations).
    """
    return draw_counts(int(family.max()) + 1, generator, n_resamples)[:, family]


def draw_shares(shares: FloatArray, generator: np.random.Generator, n_resamples: int) -> FloatArray:
    """Give each family's place in the mean to a random family, and sum the shares that each was given.

    Args:
        shares: Of each place, (n_families,).
        generator: Draws the families.
        n_resamples: How often.

    Returns:
        (n_resamples, n_families); rows sum to the sum of the shares.
    """
    n = len(shares)
    draws = generator.integers(n, size=(n_resamples, n)) + n * np.arange(n_resamples)[:, None]
    given = np.bincount(draws.ravel(), np.tile(shares, n_resamples), minlength=n * n_resamples)
    return np.asarray(given.reshape(n_resamples, n), dtype=np.float64)


def _scale(values: FloatArray, variance: float) -> FloatArray:
    """Give values of mean 0 a variance."""
    spread = float(np.mean(values**2))
    return values * np.sqrt(variance / spread) if spread > 0 else values
