"""Paired marks: which rows of a figure's frame differ from the row they are compared with."""

import pandas as pd

from adapert.statistics.families import LEVEL, Question
from analysis.figures.style import NO_BREAK

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


def add_paired(summary: pd.DataFrame, paired: pd.DataFrame) -> pd.DataFrame:
    """Put beside each estimate how it differs from the reference on the same perturbations and seeds.

    Args:
        summary: A row a group, variant and metric, with the columns effect_size, variant and metric.
        paired: From a function of `adapert.statistics.families`.

    Returns:
        `summary` with difference, difference_low, difference_high, p_holm, wins, ties and losses (NaN for the
        reference itself, and everywhere where nothing was compared), and is_different: whether p_holm is
        below `LEVEL`.
    """
    merged = summary.merge(
        paired[[*_GROUP, *_NAMES]].rename(columns=_NAMES).astype({"variant": object}), on=_GROUP, how="left"
    )
    for column in _NAMES.values():
        merged[column] = merged[column].astype(float)
    return merged.assign(is_different=merged["p_holm"] < LEVEL)


def mark_caption(reference: str, question: Question) -> str:
    """Say what a marked row's test was, after a word on how it is marked."""
    return (
        f"differs from {reference} on the same perturbations and seeds, p{NO_BREAK}<{NO_BREAK}{LEVEL:g} "
        f"({question.rule})."
    )
