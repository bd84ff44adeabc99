"""Paired effects: each variant against a reference on the same perturbations, seeds and splits."""

import hashlib
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pandas as pd

from adapert.data.schema import StringArray
from adapert.evaluation.catalogue import find_metric
from adapert.seeding import numpy_generator
from adapert.statistics.estimates import (
    REPLICATE,
    Related,
    drop_unknown,
    relate,
    resample_mean,
    stream_name,
)
from adapert.statistics.pairs import Arms, align_pairs, check_reference, iterate_arms
from adapert.statistics.significance import family_signed_rank_p, holm, p_of_mean, signed_rank_p
from adapert.statistics.two_level import (
    N_RESAMPLES,
    FloatArray,
    Spread,
    draw_counts,
    find_interval,
    measure_spread,
)

PAIRED_COLUMNS = (
    *("variant", "metric", "difference", "low", "high", "p_wilcoxon", "p_families", "p", "p_holm"),
    *("wins", "ties", "losses", "standardized_difference", "n_perturbations", "n_seeds"),
    *("n_families", "icc", "icc_low", "icc_high", "design_effect", "low_unrelated", "high_unrelated"),
)
"""Columns of `summarize_paired`, after its keys."""

_DECIMALS = 12

ROUNDING = 10.0**-_DECIMALS
"""Differences up to this size are rounding of an average, and count as 0."""


class Comparison(TypedDict):
    """What paired differences say; the columns of the same names."""

    difference: float
    low: float
    high: float
    p_wilcoxon: float
    p_families: float
    p: float
    standardized_difference: float
    n_perturbations: int
    n_seeds: int
    n_families: int
    icc: float
    icc_low: float
    icc_high: float
    design_effect: float
    low_unrelated: float
    high_unrelated: float


def summarize_paired(
    frame: pd.DataFrame, reference: str = "full", keys: Sequence[str] = ("effect_size",), seed: int = 0
) -> pd.DataFrame:
    """Compare each variant with the reference on what both were evaluated on.

    Only replicates (`align_pairs`) and perturbations with a value of both variants count. Differences are
    averaged over replicates within each perturbation, and then over perturbations, which weigh equally.

    Args:
        frame: The long table, of one study and split unless `keys` name them; needs variant, split_seed,
            seed, perturbation, family, metric, value and `keys`.
        reference: Variant that is subtracted.
        keys: Columns to group by. With ``effect_size`` among them, all sizes together are the group ``all``.
        seed: Seed of the bootstrap.

    Returns:
        A row a group, variant and metric: `keys` and `PAIRED_COLUMNS`, sorted by `keys`, metric and variant.
        ``difference`` is the mean of variant minus reference, ``low`` and ``high`` its `bootstrap_interval`:
        both variants meet the same resamples, of families where the members correlate. ``low_unrelated`` and
        ``high_unrelated`` take perturbations for independent. ``icc`` is the intra-class correlation of the
        perturbations' differences, with its interval, and ``design_effect`` what it does to the variance of
        their mean (`adapert.statistics.families`); NaN and 1 where no family is shared, or all are one.
        ``p_wilcoxon``, ``p_families`` and ``p`` are two-sided: the first two are about the models that were
        trained, for independent perturbations (`signed_rank_p`) and families (`family_signed_rank_p`). The
        last is about other seeds too: the largest of the first, of `p_of_mean` if there are several seeds or
        the design effect is above 1, and of the second if the interval of the ICC lies above 0. ``p_holm``
        is `p` after Holm's correction; the test family is all rows of a metric, so variants times groups.
        ``wins`` counts perturbations on which the variant is better; missing where a metric has no
        direction. ``standardized_difference`` is Cohen's d_z: mean over SD of the perturbations'
        differences, positive where the variant's values are larger, NaN where all differences are equal.
        Without a pair a row has NaN and counts of 0. A single perturbation has neither interval nor p.

    Raises:
        InputError: The frame has no row of the reference.
    """
    check_reference(frame, reference)
    of_metrics = frame.groupby("metric", observed=True)
    rows = [row for _, of_metric in of_metrics for row in _compare_metric(of_metric, reference, keys, seed)]
    table = pd.DataFrame(rows, columns=[*keys, *PAIRED_COLUMNS])
    return correct_tests(table).sort_values([*keys, "metric", "variant"], ignore_index=True)


N_KEPT = 64
"""Metrics whose comparisons are kept in memory, some kB each."""

_KEPT: dict[bytes, list[dict[str, object]]] = {}
"""The last comparisons: figure, claims, tables and findings of a study make the same, which takes seconds."""


def _compare_metric(
    frame: pd.DataFrame, reference: str, keys: Sequence[str], seed: int
) -> list[dict[str, object]]:
    """Compare every variant in the rows of one metric; as the last time where these are the same."""
    key = _identify(frame, reference, keys, seed)
    if key not in _KEPT:
        compared = [_compare_arms(arms, seed) for arms in iterate_arms(frame, reference, keys)]
        while len(_KEPT) >= N_KEPT:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[key] = compared
    return _KEPT[key]


def _identify(frame: pd.DataFrame, reference: str, keys: Sequence[str], seed: int) -> bytes:
    """Tell comparisons apart by all that they read."""
    read = [*keys, "variant", *REPLICATE, "perturbation", "family", "metric", "value"]
    digest = hashlib.blake2b(f"{reference} {list(keys)} {seed}".encode(), digest_size=16)
    for name in read:
        digest.update(pd.util.hash_array(frame[name].to_numpy()).tobytes())
    return digest.digest()


def _compare_arms(arms: Arms, seed: int) -> dict[str, object]:
    ours, theirs, families = align_pairs(arms.rows, arms.reference_rows)
    gains = find_metric(arms.metric).gain * average_over_seeds(drop_unknown(ours - theirs))
    counts = {"wins": gains > 0, "ties": gains == 0, "losses": gains < 0}
    # Nothing is won or lost in a metric without a direction.
    is_known = not np.isnan(find_metric(arms.metric).gain)
    counted = {name: int(is_so.sum()) if is_known else pd.NA for name, is_so in counts.items()}
    # Named after the comparison: no draw changes when another variant joins the table.
    generator = numpy_generator(seed, stream_name(tuple(arms.identity.values())))
    compared = compare_pairs(ours - theirs, generator, families=families)
    return {**arms.identity, **compared, **counted}


def compare_pairs(
    differences: FloatArray,
    generator: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
    families: StringArray | None = None,
) -> Comparison:
    """Summarise paired differences of one metric.

    Args:
        differences: Variant minus reference, (n_seeds, n_perturbations); NaN where there is no pair.
        generator: Draws the resamples.
        n_resamples: How many.
        families: Name of each perturbation's family, (n_perturbations,); None where each is one of its own.
    """
    if families is None:
        families = np.arange(differences.shape[1]).astype(str)
    known = drop_unknown(differences)
    means = average_over_seeds(known)
    spread = np.std(means, ddof=1) if len(means) > 1 else 0.0
    related = relate(differences, families)
    comparison = Comparison(
        difference=float(means.mean()) if len(means) else np.nan,
        low=np.nan,
        high=np.nan,
        p_wilcoxon=np.nan,
        p_families=np.nan,
        p=np.nan,
        standardized_difference=float(means.mean() / spread) if spread > ROUNDING else np.nan,
        n_perturbations=known.shape[1],
        n_seeds=known.shape[0],
        n_families=len(np.unique(related.family)),
        icc=np.nan,
        icc_low=np.nan,
        icc_high=np.nan,
        design_effect=1.0,
        low_unrelated=np.nan,
        high_unrelated=np.nan,
    )
    if layout := related.layout:
        icc_low, icc_high = layout.icc_interval
        comparison.update({"icc": layout.icc, "icc_low": icc_low, "icc_high": icc_high})
        comparison["design_effect"] = layout.design_effect
    if len(means) > 1:
        counts = draw_counts(len(means), generator, n_resamples)
        resampled = resample_mean(known, counts)
        low, high = find_interval(resampled, generator)
        comparison.update({"low": low, "high": high, "low_unrelated": low, "high_unrelated": high})
        if related.matters:
            resampled = related.resample(counts, generator)
            low, high = find_interval(resampled, generator)
            comparison.update({"low": low, "high": high})
        _test(comparison, means, related, measure_spread(resampled))
    return comparison


def _test(comparison: Comparison, means: FloatArray, related: Related, spread: Spread) -> None:
    """Fill the p of a comparison."""
    # Shares, such as DES and PDS, have few values: .62 - .6 and .42 - .4 are the same, and must share a rank.
    ranked = np.round(means, _DECIMALS)
    p = [signed_rank_p(ranked)]
    comparison["p_wilcoxon"] = comparison["p_families"] = p[0]
    if related.layout:
        comparison["p_families"] = family_signed_rank_p(ranked, related.family)
    if not means.any():
        comparison["p"] = 1.0
        return
    if spread.between_seeds or related.matters:
        p.append(p_of_mean(float(means.mean()), spread))
    if comparison["icc_low"] > 0:
        p.append(comparison["p_families"])
    comparison["p"] = max(p)


def average_over_seeds(differences: FloatArray) -> FloatArray:
    """Average within each perturbation, (n_perturbations,); what is only `ROUNDING` becomes 0."""
    if not differences.size:
        return np.empty(0)
    means: FloatArray = np.nanmean(differences, axis=0)
    return np.where(np.abs(means) <= ROUNDING, 0.0, means)


def correct_tests(table: pd.DataFrame) -> pd.DataFrame:
    """Fill ``p_holm`` from ``p``, the rows of a metric being one test family."""
    corrected = table.groupby("metric")["p"].transform(lambda p: holm(p.to_numpy(dtype=np.float64)))
    return table.assign(p_holm=corrected.astype(np.float64))
