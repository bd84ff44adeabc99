"""Estimates over perturbations and seeds, each with the interval it is entitled to."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from adapert.seeding import numpy_generator

FloatArray: TypeAlias = npt.NDArray[np.float64]

CONFIDENCE = 0.95
"""Of every interval."""

N_RESAMPLES = 2000
"""Of every bootstrap: from stream to stream an end of the interval moves by about 2 % of its width."""

_REPLICATE = ["split_seed", "seed"]


class Interval(NamedTuple):
    """A percentile interval; NaN on both sides where there is none."""

    low: float
    high: float


def mean_over_perturbations(values: FloatArray) -> float:
    """Average over seeds within each perturbation, then over perturbations, which weigh equally.

    Args:
        values: One metric, (n_seeds, n_perturbations); NaN where a seed has no value.

    Returns:
        The mean over perturbations with a value; NaN if there is none.
    """
    seeds = np.ones((1, len(values)))
    perturbations = np.ones((1, values.shape[1]))
    return float(_weighted_means(values, seeds, perturbations)[0])


def bootstrap_interval(
    values: FloatArray, generator: np.random.Generator, n_resamples: int = N_RESAMPLES
) -> Interval:
    """Bound `mean_over_perturbations` as it would be on other perturbations and other training seeds.

    A two-level bootstrap: perturbations are drawn with replacement, then seeds, and the mean is taken of
    the drawn rows and columns. A draw of seeds holds for all perturbations of a resample, because one
    trained model predicts them all and its luck is shared (the pigeonhole bootstrap of Owen, 2007, which
    errs on the wide side); drawn anew in each perturbation, the noise of training would average out.
    Percentile intervals are too narrow for fewer than about ten perturbations.

    Args:
        values: One metric, (n_seeds, n_perturbations); NaN where a seed has no value.
        generator: Draws the resamples.
        n_resamples: How many.

    Returns:
        The central `CONFIDENCE` interval; NaN below two perturbations with a value, which say nothing
        about other perturbations. One seed leaves the variation between seeds out.
    """
    values = values[:, ~np.isnan(values).all(axis=0)]
    values = values[~np.isnan(values).all(axis=1)]
    n_seeds, n_perturbations = values.shape
    if n_perturbations < 2:
        return Interval(np.nan, np.nan)
    perturbations = _draw_counts(n_perturbations, generator, n_resamples)
    seeds = _draw_counts(n_seeds, generator, n_resamples)
    means = _weighted_means(values, seeds, perturbations)
    low, high = np.nanquantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high))


def summarize_by(frame: pd.DataFrame, keys: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Summarise the long table: mean and interval of each metric for each combination of keys.

    A replicate is a pair of split_seed and seed; equal replicates (the same trial tracked twice) are
    averaged. Each combination draws from its own random stream, so that none moves with another's presence.

    Args:
        frame: The long table; needs split_seed, seed, perturbation, metric, value and `keys`.
        keys: Columns to group by, beside ``metric``.
        seed: Of the bootstrap.

    Returns:
        `keys`, metric, mean (`mean_over_perturbations`), low and high (`bootstrap_interval` of that mean),
        n_perturbations and n_seeds (those with a value, replicates counted); sorted by `keys` and metric.
    """
    grouping = [*keys, "metric"]
    rows = [
        dict(zip(grouping, names, strict=True)) | _summary(group, numpy_generator(seed, _stream(names)))
        for names, group in frame.groupby(grouping, observed=True)
    ]
    columns = [*grouping, "mean", "low", "high", "n_perturbations", "n_seeds"]
    return pd.DataFrame(rows, columns=columns)


def _draw_counts(n: int, generator: np.random.Generator, n_resamples: int) -> FloatArray:
    """Draw n of n with replacement, as how often each was drawn, (n_resamples, n)."""
    return generator.multinomial(n, np.full(n, 1 / n), size=n_resamples).astype(np.float64)


def _weighted_means(values: FloatArray, seeds: FloatArray, perturbations: FloatArray) -> FloatArray:
    """Average as `mean_over_perturbations` does, for each row of weights.

    Weights turn resampling into two matrix products: no (n_resamples, n_seeds, n_perturbations) array.

    Args:
        values: (n_seeds, n_perturbations), NaN where missing.
        seeds: How often each seed counts, (n_resamples, n_seeds).
        perturbations: How often each perturbation counts, (n_resamples, n_perturbations).

    Returns:
        Means, (n_resamples,); NaN where nothing with a weight has a value.
    """
    is_known = ~np.isnan(values)
    n_values = seeds @ is_known  # (n_resamples, n_perturbations)
    perturbation_means = (seeds @ np.where(is_known, values, 0.0)) / np.maximum(n_values, 1)
    weights = perturbations * (n_values > 0)
    totals = weights.sum(axis=1)
    means: FloatArray = np.full(len(totals), np.nan)
    np.divide((weights * perturbation_means).sum(axis=1), totals, out=means, where=totals > 0)
    return means


def _summary(group: pd.DataFrame, generator: np.random.Generator) -> dict[str, float]:
    known = group.dropna(subset=["value"])
    table = known.pivot_table(
        index=_REPLICATE, columns="perturbation", values="value", aggfunc="mean", observed=True
    )
    values = table.to_numpy(dtype=np.float64)
    interval = bootstrap_interval(values, generator)
    return {
        "mean": mean_over_perturbations(values),
        "low": interval.low,
        "high": interval.high,
        "n_perturbations": values.shape[1],
        "n_seeds": values.shape[0],
    }


def _stream(names: tuple[object, ...]) -> str:
    return "bootstrap/" + "/".join(map(str, names))
