"""Tables of one evaluation, from the folder that `adapert evaluate` wrote."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.tables.effect_sizes import build_effect_size_table
from analysis.tables.performance import Spread, build_de_table, build_performance_table
from analysis.tables.table import PaperTable


def build_evaluation_tables(
    frame: pd.DataFrame,
    record: Mapping[str, Any],
    *,
    spread: Spread = "sd",
    model: str | None = None,
    baseline: str | None = None,
) -> list[PaperTable]:
    """Build Tables 1, 2 and 3; Table 2 of another data set is the paper's Table 10.

    Args:
        frame: The long table, from `adapert.comparison.summary.read_evaluation`.
        record: From `adapert.comparison.summary.read_evaluation`.
        spread: What "±" is of in Tables 1 and 2: the SD over perturbations, or the mean's interval.
        model: Variant of Table 3; by default AdaPert.
        baseline: Variant beside it; by default the best other by mean Pearson-delta.

    Returns:
        The tables; no Table 3 where only one model was evaluated.

    Raises:
        InputError: A variant that the evaluation does not have.
    """
    tables = [
        build_performance_table(frame, record, spread),
        build_de_table(frame, record, spread),
        build_effect_size_table(frame, record, model, baseline),
    ]
    return [table for table in tables if table is not None]
