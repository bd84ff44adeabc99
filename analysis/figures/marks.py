"""Paired marks: which rows of a figure's frame differ from the row they are compared with."""

import pandas as pd

from analysis.figures.style import NO_BREAK
from analysis.statistics.paired import summarize_paired

LEVEL = 0.05
"""Of the marks: a Holm-adjusted p below it."""

_NAMES = {
    "difference": "difference",
    "low": "difference_low",
    "high": "difference_high",
    "p_holm": "p_holm",
    "wins": "wins",
    "ties": "ties",
    "losses": "losses",
}
_GROUP = ["effect_size", "variant", "metric"]


def add_paired(summary: pd.DataFrame, frame: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Put beside each estimate how it differs from the reference on the same perturbations and seeds.

    Args:
        summary: A row a group, variant and metric, with the columns effect_size, variant and metric.
        frame: The long table that it summarises, of the figure's metrics alone: they are Holm's families.
        reference: The variant that is subtracted.

    Returns:
        `summary` with difference, difference_low, difference_high, p_holm, wins, ties and losses of
        `summarize_paired` (NaN for the reference itself, and everywhere if the frame has none), and
        is_different: whether p_holm is below `LEVEL`.
    """
    if (frame["variant"] == reference).any() and frame["variant"].nunique() > 1:
        paired = summarize_paired(frame, reference)[[*_GROUP, *_NAMES]].rename(columns=_NAMES)
    else:
        paired = pd.DataFrame(columns=[*_GROUP, *_NAMES.values()])
    merged = summary.merge(paired, on=_GROUP, how="left")
    for column in _NAMES.values():
        merged[column] = merged[column].astype(float)
    return merged.assign(is_different=merged["p_holm"] < LEVEL)


def mark_caption(reference: str) -> str:
    """Say what a marked row's test was, after a word on how it is marked."""
    rule = f"p{NO_BREAK}<{NO_BREAK}.05 after Holm's correction over the comparisons of a metric"
    return (
        f"differs from {reference} on the same perturbations and seeds (Wilcoxon's signed ranks, reckoned "
        f"with the luck of seeds; {rule})."
    )
