"""Estimates over perturbations and seeds, each with the interval it is entitled to."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adapert.data.schema import StringArray
from adapert.evaluation.catalogue import find_metric
from adapert.seeding import numpy_generator
from adapert.statistics.families import FamilyLayout, lay_out, number_families, resample_families
from adapert.statistics.two_level import CONFIDENCE as CONFIDENCE
from adapert.statistics.two_level import (
    N_RESAMPLES,
    NO_INTERVAL,
    FloatArray,
    IntArray,
    Interval,
    Resampled,
    draw_counts,
    find_interval,
    inflate,
    measure_interaction,
)

REPLICATE = ["split_seed", "seed"]
"""Columns of the long table that say which replicate a value is of."""


def mean_over_perturbations(values: FloatArray) -> float:
    """Average over seeds within each perturbation, then over perturbations, which weigh equally.

    Args:
        values: One metric, (n_seeds, n_perturbations); NaN where a seed has no value.

    Returns:
        The mean over perturbations with a value; NaN if there is none.
    """
    known = drop_unknown(values)
    return float(np.nanmean(known, axis=0).mean()) if known.size else np.nan


def bootstrap_interval(
    values: FloatArray,
    generator: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
    families: StringArray | None = None,
) -> Interval:
    """Bound `mean_over_perturbations` as it would be on other perturbations and other training seeds.

    A two-level bootstrap (`adapert.statistics.two_level`), by family where members correlate
    (`adapert.statistics.families`). docs/statistics.md has its coverage. Two seeds say too little about the
    between-seed variance (coverage down to 87 %), and one says nothing; 10 perturbations of skewed values
    have 90 %.

    Args:
        values: One metric, (n_seeds, n_perturbations); NaN where a seed has no value.
        generator: Draws the resamples.
        n_resamples: How many.
        families: Name of each perturbation's family, (n_perturbations,); None where each is one of its own.

    Returns:
        The central `CONFIDENCE` interval; NaN below two perturbations with a value, which say nothing
        about other perturbations. One seed leaves the variation between seeds out.
    """
    known = drop_unknown(values)
    n = known.shape[1]
    if n < 2:
        return NO_INTERVAL
    counts = draw_counts(n, generator, n_resamples)
    if families is not None and (related := relate(values, families)).matters:
        return find_interval(related.resample(counts, generator), generator)
    return find_interval(resample_mean(known, counts), generator)


@dataclass(frozen=True)
class Related:
    """Values of perturbations that are in families.

    Attributes:
        values: One metric, (n_seeds, n_perturbations); what a seed lacks is the mean of the others.
        family: Number of each perturbation's family, (n_perturbations,).
        layout: Analysis of variance of their means over seeds; None where no family is shared, or all
            perturbations are one.
    """

    values: FloatArray
    family: IntArray
    layout: FamilyLayout | None

    @property
    def matters(self) -> bool:
        """Whether members of a family correlate; where they seem not to, families change nothing."""
        return self.layout is not None and self.layout.between > 0

    def resample(self, counts: FloatArray, generator: np.random.Generator) -> Resampled:
        """Resample by family, where that matters; see `resample_families`."""
        assert self.layout is not None, "there are families"
        return resample_families(self.values, self.family, self.layout, counts, generator)


def relate(values: FloatArray, families: StringArray) -> Related:
    """Lay out values by family; arguments as in `bootstrap_interval`."""
    known = drop_unknown(values)
    family = number_families(families[~np.isnan(values).all(axis=0)])
    filled = np.where(np.isnan(known), np.nanmean(known, axis=0), known) if known.size else known
    layout = lay_out(filled.mean(axis=0), family) if known.size else None
    return Related(filled, family, layout)


def resample_mean(known: FloatArray, counts: FloatArray) -> Resampled:
    """Compute `mean_over_perturbations` on resampled perturbations.

    How often each perturbation was drawn turns resampling into two matrix products: no
    (n_resamples, n_seeds, n_perturbations) array.

    Args:
        known: From `drop_unknown`, of two perturbations or more.
        counts: From `draw_counts`, (n_resamples, n_perturbations).
    """
    n = known.shape[1]
    is_known = ~np.isnan(known)
    sums = counts @ np.where(is_known, known, 0.0).T  # (n_resamples, n_seeds)
    n_values = counts @ is_known.T
    means = np.nanmean(known, axis=0)
    by_seed = np.divide(sums, n_values, out=np.full_like(sums, np.nan), where=n_values > 0)
    draws = inflate(counts @ means / n, n)
    return Resampled(
        estimate=float(means.mean()),
        draws=draws,
        by_seed=np.nanmean(known, axis=1),
        interaction=measure_interaction(draws, inflate(by_seed, n)),
        freedom=n - 1,
    )


def drop_unknown(values: FloatArray) -> FloatArray:
    """Drop seeds and perturbations without a value."""
    known = values[:, ~np.isnan(values).all(axis=0)]
    return known[~np.isnan(known).all(axis=1)]


def summarize_by(frame: pd.DataFrame, keys: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Summarise the long table: mean and interval of each metric for each combination of keys.

    A replicate is a pair of split_seed and seed; equal replicates (the same trial tracked twice) are
    averaged. Each combination draws from its own random stream, so that none moves with another's presence.

    Args:
        frame: The long table; needs split_seed, seed, perturbation, family, metric, value and `keys`.
        keys: Columns to group by, besides ``metric``.
        seed: Seed of the bootstrap.

    Returns:
        `keys`, metric, mean (`mean_over_perturbations`), low and high (`bootstrap_interval` of that mean),
        n_perturbations and n_seeds (those with a value, replicates counted); sorted by `keys` and metric.
    """
    grouping = [*keys, "metric"]
    rows = []
    for names, group in frame.groupby(grouping, observed=True):
        table = pivot_replicates(group)
        values = table.to_numpy(dtype=np.float64)
        generator = numpy_generator(seed, stream_name(names))
        interval = bootstrap_interval(values, generator, families=families_of(group, table.columns))
        # From few perturbations it would reach beyond what the metric can be.
        low, high = np.clip(interval, *find_metric(str(names[-1])).bounds).tolist()
        n_seeds, n_perturbations = values.shape
        rows.append((*names, mean_over_perturbations(values), low, high, n_perturbations, n_seeds))
    columns = [*grouping, "mean", "low", "high", "n_perturbations", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)


def pivot_replicates(frame: pd.DataFrame) -> pd.DataFrame:
    """Lay one metric out as a row a replicate and a column a perturbation; equal replicates are averaged.

    Values of NaN are dropped, so that counting rows and columns counts those with a value.
    """
    value = frame["value"].to_numpy(dtype=np.float64)
    is_known = ~np.isnan(value)
    # By codes, in a quarter of the time of pandas' grouping: reports lay out thousands of tables.
    (split, splits), (seed, seeds), (column, perturbations) = (
        pd.factorize(frame[name].values[is_known], sort=True) for name in (*REPLICATE, "perturbation")
    )
    replicates, row = np.unique(split * len(seeds) + seed, return_inverse=True)
    shape = len(replicates), len(perturbations)
    cell = row * shape[1] + column
    counts = np.bincount(cell, minlength=shape[0] * shape[1])
    sums = np.bincount(cell, value[is_known], minlength=len(counts))
    means = np.divide(sums, counts, out=np.full(len(counts), np.nan), where=counts > 0)
    codes = [places.tolist() for places in np.divmod(replicates, max(len(seeds), 1))]
    return pd.DataFrame(
        means.reshape(shape),
        index=pd.MultiIndex(levels=[splits, seeds], codes=codes, names=REPLICATE),
        columns=pd.Index(perturbations, name="perturbation"),
    )


def families_of(frame: pd.DataFrame, perturbations: pd.Index) -> StringArray:
    """Look up the family of perturbations in the long table, (n_perturbations,)."""
    family = dict(zip(frame["perturbation"].array[::-1], frame["family"].array[::-1], strict=True))
    return np.array([family[name] for name in perturbations], dtype=str)


def stream_name(names: tuple[object, ...]) -> str:
    """Name a random stream after what it resamples."""
    return "bootstrap/" + "/".join(map(str, names))
