"""Paired marks: which rows of a figure's frame differ from the row they are compared with."""

import pandas as pd

from adapert.statistics.questions import LEVEL, Question
from analysis.figures.style import NO_BREAK

_ENDS = {"low": "difference_low", "high": "difference_high"}
_COMPARED = ["difference", *_ENDS.values(), "p_holm", "wins", "ties", "losses"]
_GROUP = ["effect_size", "variant", "metric"]


def add_paired(summary: pd.DataFrame, paired: pd.DataFrame) -> pd.DataFrame:
    """Add to each estimate how it differs from the reference on the same perturbations and seeds.

    Args:
        summary: A row a group, variant and metric, with the columns effect_size, variant and metric.
        paired: From a function of `adapert.statistics.questions`.

    Returns:
        `summary` with difference, difference_low, difference_high, p_holm, wins, ties and losses (NaN for the
        reference itself, and everywhere where nothing was compared), and is_different: whether p_holm is
        below `LEVEL`.
    """
    compared = paired.rename(columns=_ENDS)[[*_GROUP, *_COMPARED]].astype({"variant": object})
    merged = summary.merge(compared, on=_GROUP, how="left").astype(dict.fromkeys(_COMPARED, float))
    return merged.assign(is_different=merged["p_holm"] < LEVEL)


def mark_caption(reference: str, question: Question) -> str:
    """Say what a marked row's test was, after a word on how it is marked."""
    return (
        f"differs from {reference} on the same perturbations and seeds, p{NO_BREAK}<{NO_BREAK}{LEVEL:g} "
        f"({question.rule})."
    )
