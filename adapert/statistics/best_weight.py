"""The best weight of the non-DEG loss, and how certain it is (Sec. 5.5 of the AdaPert paper)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from adapert.seeding import numpy_generator
from adapert.statistics.estimates import families_of, pivot_replicates
from adapert.statistics.families import draw_family_counts, number_families
from adapert.statistics.two_level import CONFIDENCE, N_RESAMPLES, TAILS, FloatArray

SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "undecided"

NEAR = (0.003, 0.03)
"""Weights that count as near .01: to its neighbours on the study's grid."""

_WEAK_EFFECTS = ("small", "medium")
_STRONG_EFFECTS = "large"


class BestWeight(NamedTuple):
    """A claim about the best weight of a group, and what the data say about it.

    Attributes:
        claim: The claim in words.
        group: Effect size.
        estimate: The weight whose mean is best.
        low: End of the central `CONFIDENCE` interval of `resample_best`.
        high: Its other end.
        verdict: Supported, not supported or undecided.
    """

    claim: str
    group: str
    estimate: float
    low: float
    high: float
    verdict: str


def locate_best(frame: pd.DataFrame, stream: str) -> Iterator[BestWeight]:
    """Decide whether the best weight is near .01 for small and medium effects, and smaller for large ones.

    Near is supported where the whole interval lies within `NEAR`, and not where none of it does. Smaller is
    supported where large effects have a smaller best weight than both other groups in `CONFIDENCE` of the
    resamples, and not where they have in the rest at most.

    Args:
        frame: The long table of one metric of which larger is better, with lambda_non.
        stream: Name of the resamples' random stream.
    """
    resampled = {
        group: resample_best(frame[frame["effect_size"] == group], numpy_generator(0, f"{stream}/{group}"))
        for group in (*_WEAK_EFFECTS, _STRONG_EFFECTS)
    }
    weights = {group: values for group, values in resampled.items() if len(values)}
    weak = [weights[group] for group in _WEAK_EFFECTS if group in weights]
    for group, values in weights.items():
        # Between two weights of the grid nothing was run: the interval ends at weights that were.
        low, high = map(float, np.quantile(values[1:], TAILS, method="nearest"))
        best = float(values[0])
        if group != _STRONG_EFFECTS:
            claim = "the best lambda_non is near .01"
            tried = frame["lambda_non"]
            # If all weights that were tried are near, the best one is near whatever the data say.
            is_open = tried.min() < NEAR[0] and tried.max() > NEAR[1]
            is_near, is_far = NEAR[0] <= low and high <= NEAR[1], high < NEAR[0] or low > NEAR[1]
            verdict = _decide(is_open and is_near, is_open and is_far)
        elif len(weak) == len(_WEAK_EFFECTS):
            share = float((values < np.min(weak, axis=0))[1:].mean())
            claim = "the best lambda_non is smaller"
            verdict = _decide(share >= CONFIDENCE, share <= 1 - CONFIDENCE)
        else:
            continue
        yield BestWeight(claim, group, best, low, high, verdict)


def resample_best(frame: pd.DataFrame, generator: np.random.Generator) -> FloatArray:
    """Find the best lambda_non on resampled families of perturbations and seeds.

    Args:
        frame: The long table of one group and metric, with lambda_non.
        generator: Draws the resamples, the same for all weights.

    Returns:
        Best weights, (1 + N_RESAMPLES,): first that of the means themselves. The smallest where several are
        best; empty for fewer than two perturbations, or seeds, that all weights have in common.
    """
    weights = np.sort(frame["lambda_non"].unique()).astype(np.float64)
    aligned = _align(frame, weights)
    if aligned is None:
        return np.empty(0)
    values, perturbations = aligned
    family = number_families(families_of(frame, perturbations))
    n_seeds = values.shape[1]
    of_seeds = generator.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), N_RESAMPLES)
    of_perturbations = draw_family_counts(family, generator)
    counts = [np.vstack([np.ones(drawn.shape[1]), drawn]) for drawn in (of_seeds, of_perturbations)]
    # A perturbation that one seed lacks weighs as the mean of its others.
    filled = np.where(np.isnan(values), np.nanmean(values, axis=1, keepdims=True), values)
    means = np.einsum("rs,rp,wsp->rw", *counts, filled, optimize=True)
    return np.asarray(weights[means.argmax(axis=1)], dtype=np.float64)


def _align(frame: pd.DataFrame, weights: FloatArray) -> tuple[FloatArray, pd.Index] | None:
    """Stack what all weights have in common, (n_weights, n_seeds, n_perturbations); name perturbations."""
    tables = [pivot_replicates(frame[frame["lambda_non"] == weight]) for weight in weights]
    if not tables:
        return None
    seeds, perturbations = tables[0].index, tables[0].columns
    for table in tables[1:]:
        seeds, perturbations = seeds.intersection(table.index), perturbations.intersection(table.columns)
    if len(seeds) < 2:
        return None
    values = np.stack([table.loc[seeds, perturbations].to_numpy(dtype=np.float64) for table in tables])
    is_known = ~np.isnan(values).all(axis=1).any(axis=0)
    return (values[:, :, is_known], perturbations[is_known]) if is_known.sum() > 1 else None


def _decide(is_supported: bool, is_refuted: bool) -> str:
    return SUPPORTED if is_supported else NOT_SUPPORTED if is_refuted else UNDECIDED
