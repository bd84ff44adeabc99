"""Metrics with one value over all perturbations, computed again on every resample of the perturbations."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adapert.data.schema import StringArray
from adapert.evaluation.catalogue import METRICS
from adapert.seeding import numpy_generator
from adapert.statistics.estimates import families_of, pivot_replicates, stream_name
from adapert.statistics.families import draw_family_counts, number_families
from adapert.statistics.two_level import (
    NO_INTERVAL,
    FloatArray,
    Resampled,
    find_interval,
    inflate,
    measure_interaction,
)

_ROUNDING = 1e-9

_FEWEST = 4
"""Perturbations without which a rank correlation has no interval."""


def summarize_scalars(frame: pd.DataFrame, keys: Sequence[str], seed: int = 0) -> pd.DataFrame:
    """Summarise the catalogue's scalars: mean over seeds and interval, for each combination of keys.

    Args:
        frame: The long table with split_seed, seed, perturbation, family, metric, value, `keys`, and the
            rows and the column that each scalar correlates (`Metric.correlates`).
        keys: Columns to group by, at least one.
        seed: Seed of the bootstrap.

    Returns:
        The columns of `summarize_by`. Perturbations without an observed DEG are left out, and not counted; so
        are seeds without a value, which predict equal numbers throughout. The mean is NaN where no seed has a
        value, and the interval below four perturbations. Without rows of what a scalar correlates, as of data
        without cells, it has none.
    """
    rows = []
    for metric in METRICS.values():
        if metric.correlates is None:
            continue
        source, column = metric.correlates
        for names, group in frame[frame["metric"] == source].groupby(list(keys), observed=True):
            generator = numpy_generator(seed, stream_name((*names, metric.name)))
            true = group.assign(value=group[column].where(group["value"].notna()))
            tables = pivot_replicates(group), pivot_replicates(true)
            predicted, observed = (table.to_numpy(dtype=np.float64) for table in tables)
            families = families_of(group, tables[0].columns)
            resampled = _resample(predicted, observed, families, generator)
            n_perturbations = int((observed > 0).any(axis=0).sum())
            is_enough = n_perturbations >= _FEWEST and resampled.draws.size > 0
            interval = find_interval(resampled, generator) if is_enough else NO_INTERVAL
            # From few perturbations it would reach beyond what the metric can be.
            low, high = np.clip(interval, *metric.bounds).tolist()
            estimate = {"metric": metric.name, "mean": resampled.estimate, "low": low, "high": high}
            counts = {"n_perturbations": n_perturbations, "n_seeds": len(resampled.by_seed)}
            rows.append(dict(zip(keys, names, strict=True)) | estimate | counts)
    return pd.DataFrame(rows, columns=[*keys, "metric", "mean", "low", "high", "n_perturbations", "n_seeds"])


def weighted_spearman(one: FloatArray, other: FloatArray, counts: FloatArray) -> FloatArray:
    """Rank-correlate two lists, each entry of which was drawn a number of times.

    Args:
        one: (n,).
        other: (n,).
        counts: How often each entry counts, (n_resamples, n).

    Returns:
        Spearman's rho of the repeated entries, ties sharing their mean rank, (n_resamples,); NaN where
        either side is constant.
    """
    first, second = (_centred_ranks(values, counts) for values in (one, other))
    covariance = (counts * first * second).sum(axis=1)
    squares = (counts * first**2).sum(axis=1) * (counts * second**2).sum(axis=1)
    rho: FloatArray = np.full(len(counts), np.nan)
    # Equal ranks leave a variance of rounding, not of 0.
    np.divide(covariance, np.sqrt(squares), out=rho, where=squares > _ROUNDING)
    return rho


def _resample(
    predicted: FloatArray, observed: FloatArray, families: StringArray, generator: np.random.Generator
) -> Resampled:
    """Compute the mean over seeds of the rank correlation, and that on resampled families.

    Args:
        predicted: Numbers of DEGs, (n_seeds, n_perturbations); NaN where missing.
        observed: As `predicted`, NaN in the same places.
        families: Name of each perturbation's family, (n_perturbations,).
        generator: Draws the resamples.
    """
    is_usable = (observed > 0).any(axis=0)  # NaN is not
    n = int(is_usable.sum())
    family = number_families(families[is_usable])
    n_families = int(family.max()) + 1 if n else 0
    counts = draw_family_counts(family, generator) if n else np.ones((1, 0))
    # A perturbation without an observed DEG has nothing to rank: it is drawn in no resample.
    observed = observed[:, is_usable]
    # The first row is the perturbations as they are.
    rows = np.vstack([np.ones((1, n)), counts])
    values = _spearman_by_seed(predicted[:, is_usable], observed, rows)
    has_value = ~np.isnan(values[0])
    by_seed, by_seed_draws = values[0, has_value], values[1:, has_value]
    by_seed_draws = by_seed_draws[~np.isnan(by_seed_draws).all(axis=1)]
    estimate = float(by_seed.mean()) if by_seed.size else np.nan
    if not by_seed_draws.size or n_families < 2:
        return Resampled(
            estimate=estimate, draws=np.empty(0), by_seed=by_seed, interaction=0.0, freedom=np.nan
        )
    draws = inflate(np.nanmean(by_seed_draws, axis=1), n_families)
    return Resampled(
        estimate=estimate,
        draws=draws,
        by_seed=by_seed,
        interaction=measure_interaction(draws, inflate(by_seed_draws, n_families)),
        freedom=n_families - 1,
    )


def _spearman_by_seed(predicted: FloatArray, observed: FloatArray, counts: FloatArray) -> FloatArray:
    """Correlate each seed's perturbations that have an observed DEG, (n_resamples, n_seeds)."""
    rho = np.full((len(counts), len(predicted)), np.nan)
    for seed, (own, true) in enumerate(zip(predicted, observed, strict=True)):
        is_usable = true > 0
        rho[:, seed] = weighted_spearman(own[is_usable], true[is_usable], counts[:, is_usable])
    return rho


def _centred_ranks(values: FloatArray, counts: FloatArray) -> FloatArray:
    """Rank entries that count several times, minus the mean rank of each resample, (n_resamples, n)."""
    if not values.size:
        return np.zeros(counts.shape)
    _, place, n_each = np.unique(values, return_inverse=True, return_counts=True)
    starts = np.cumsum(n_each) - n_each
    of_value = np.add.reduceat(counts[:, np.argsort(values, kind="stable")], starts, axis=1)
    middle = np.cumsum(of_value, axis=1) - (of_value - 1) / 2
    ranks: FloatArray = middle[:, place] - (counts.sum(axis=1, keepdims=True) + 1) / 2
    return ranks
