"""Ranks of variants that were evaluated on the same perturbations, with intervals."""

import numpy as np
import pandas as pd

from adapert.evaluation.catalogue import find_metric
from adapert.seeding import numpy_generator
from adapert.statistics.estimates import families_of, pivot_replicates, stream_name
from adapert.statistics.families import draw_family_counts, number_families
from adapert.statistics.two_level import N_RESAMPLES, TAILS, FloatArray, draw_counts

RANK_COLUMNS = ("variant", "rank", "rank_low", "rank_high")
"""Columns of `rank_variants`."""


def rank_variants(frame: pd.DataFrame, seed: int = 0, n_resamples: int = N_RESAMPLES) -> pd.DataFrame:
    """Rank variants by their means over perturbations, 1 the best.

    Each variant's value is averaged over the seeds of a split, over splits within each perturbation, and over
    perturbations; only pairs of split and perturbation that all of them have count. A resample draws
    families of perturbations and splits with replacement, the same for all variants, and each variant's
    seeds; the interval holds the central 95 % of the ranks that variants have on resamples.

    Args:
        frame: Rows of one metric with a direction of the long table.
        seed: Seed of the bootstrap.
        n_resamples: How many.

    Returns:
        A row a variant in the frame's order: rank (of equal ones the smaller), rank_low and rank_high. NaN
        for a variant without any value, and intervals of NaN below two families of shared perturbations.

    Raises:
        InputError: The catalogue does not have the metric.
    """
    (metric,) = frame["metric"].unique()
    gain = find_metric(str(metric)).gain
    names = [str(name) for name in dict.fromkeys(frame["variant"])]
    tables = {name: pivot_replicates(frame[frame["variant"] == name]) for name in names}
    ranked = {name: gain * table for name, table in tables.items() if table.size}
    shared, perturbations = _keep_shared(ranked)
    if not shared:
        return pd.DataFrame([(name, np.nan, np.nan, np.nan) for name in names], columns=list(RANK_COLUMNS))
    family = number_families(families_of(frame, perturbations))
    _, n_splits, n_perturbations = next(iter(shared.values())).shape
    ones = np.ones((1, n_perturbations)), np.ones((1, n_splits))
    observed = np.stack([_resampled_means(values, *ones) for values in shared.values()], axis=1)
    rank = 1 + (observed[0][None, :] > observed[0][:, None]).sum(axis=1)
    low, high = np.full(len(rank), np.nan), np.full(len(rank), np.nan)
    if family.max() > 0:
        generator = numpy_generator(seed, stream_name(("ranks", metric)))
        counts = draw_family_counts(family, generator, n_resamples)
        of_splits = draw_counts(n_splits, generator, n_resamples)
        means = [
            _resampled_means(
                values, counts, of_splits, numpy_generator(seed, stream_name(("seeds", metric, name)))
            )
            for name, values in shared.items()
        ]
        low, high = np.quantile(_rank_rows(np.stack(means, axis=1)), TAILS, axis=0, method="inverted_cdf")
    found = dict(zip(shared, zip(rank.tolist(), low.tolist(), high.tolist(), strict=True), strict=True))
    missing = (np.nan, np.nan, np.nan)
    return pd.DataFrame([(name, *found.get(name, missing)) for name in names], columns=list(RANK_COLUMNS))


def _keep_shared(tables: dict[str, pd.DataFrame]) -> tuple[dict[str, FloatArray], pd.Index]:
    """Lay out the values on pairs of split and perturbation that all variants have.

    Returns:
        Variant to values, (n_seeds, n_splits, n_perturbations), NaN for other pairs; the number of seeds may
        differ between variants; and the names of the perturbations. Empty where they share nothing.
    """
    means = {name: table.groupby(level="split_seed").mean() for name, table in tables.items()}
    known = [mean.notna() for mean in means.values()]
    if not known:
        return {}, pd.Index([])
    shared = known[0]
    for other in known[1:]:
        shared, other = shared.align(other, join="inner", fill_value=False)
        shared = shared & other
    shared = shared.loc[shared.any(axis=1), shared.any(axis=0)]
    if not shared.size:
        return {}, pd.Index([])
    is_shared = shared.to_numpy(dtype=bool)
    laid_out: dict[str, FloatArray] = {}
    for name, table in tables.items():
        by_seed = [
            rows.droplevel("seed").reindex(index=shared.index, columns=shared.columns).to_numpy(np.float64)
            for _, rows in table.groupby(level="seed")
        ]
        laid_out[name] = np.where(is_shared, np.stack(by_seed), np.nan)
    return laid_out, shared.columns


def _resampled_means(
    values: FloatArray,
    counts: FloatArray,
    of_splits: FloatArray,
    generator: np.random.Generator | None = None,
) -> FloatArray:
    """Average one variant over resampled seeds, splits and perturbations, (n_resamples,).

    Args:
        values: NaN where there is none, (n_seeds, n_splits, n_perturbations).
        counts: How often each perturbation counts, (n_resamples, n_perturbations).
        of_splits: How often each split counts, (n_resamples, n_splits).
        generator: Draws the seeds; each counts once if None.
    """
    n_seeds, n_splits, n_perturbations = values.shape
    n_resamples = len(counts)
    sums, n_values = np.zeros((n_resamples, n_perturbations)), np.zeros((n_resamples, n_perturbations))
    for split in range(n_splits):
        of_split = values[:, split]
        is_there = ~np.isnan(of_split).all(axis=1)
        seeds = np.ones((n_resamples, n_seeds)) * is_there
        if generator is not None and is_there.sum() > 1:
            seeds[:, is_there] = draw_counts(int(is_there.sum()), generator, n_resamples)
        is_known = ~np.isnan(of_split)
        total = seeds @ is_known
        mean = np.divide(
            seeds @ np.where(is_known, of_split, 0.0), total, out=np.zeros_like(total), where=total > 0
        )
        weight = of_splits[:, split : split + 1] * (total > 0)
        sums += weight * mean
        n_values += weight
    by_perturbation = np.divide(sums, n_values, out=np.zeros_like(sums), where=n_values > 0)
    weights = counts * (n_values > 0)
    total = weights.sum(axis=1)
    means: FloatArray = np.divide(
        (weights * by_perturbation).sum(axis=1), total, out=np.full(n_resamples, np.nan), where=total > 0
    )
    return means


def _rank_rows(means: FloatArray) -> FloatArray:
    """Rank each row, 1 the largest, ties sharing the smaller rank; rows without a value are left out."""
    known = means[~np.isnan(means).any(axis=1)]
    ranks: FloatArray = 1.0 + (known[:, None, :] > known[:, :, None]).sum(axis=2)
    return ranks
