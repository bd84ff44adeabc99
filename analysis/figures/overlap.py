"""Which overlap of the strongest genes is shown: DES@50 of cells, or by rank where there are no cells."""

from collections.abc import Collection

import pandas as pd

from adapert.evaluation.catalogue import find_metric

DES_50, RANK_50 = "overlap_at_50", "rank_overlap_at_50"

OVERLAPS = (DES_50, RANK_50)
"""Of these two the first that a long table has is shown."""


def choose_overlap(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave the rank overlap out of a long table that has DES@50."""
    has_tests = frame.loc[frame["metric"] == DES_50, "value"].notna().any()
    return frame[frame["metric"] != (RANK_50 if has_tests else DES_50)]


def overlap_caption(metrics: Collection[str]) -> str:
    """Say which of the two is shown, in a sentence with a blank before it; nothing where neither is."""
    if DES_50 in metrics:
        return f" {find_metric(DES_50).label} is of cells emitted from the predictions and tested."
    if RANK_50 in metrics:
        return (
            f" These data have no cells to test: {find_metric(RANK_50).label}, by predicted deltas, stands "
            f"in for {find_metric(DES_50).label}."
        )
    return ""
