"""The paper's tables for the user's data: `summarize_` makes the numbers, `build_` makes them a table."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.tables.combinations import build_combination_table
from analysis.tables.effect_sizes import build_effect_size_table
from analysis.tables.joint import build_joint_tables
from analysis.tables.performance import build_de_table, build_performance_table
from analysis.tables.prepared import build_data_tables
from analysis.tables.table import PaperTable, write_table

__all__ = ["PaperTable", "build_data_tables", "build_evaluation_tables", "build_joint_tables", "write_table"]


def build_evaluation_tables(
    frame: pd.DataFrame, record: Mapping[str, Any], baseline: str | None = None
) -> list[PaperTable]:
    """Build Tables 1, 2 and 3 of an evaluation, and that of combinations.

    There is no Table 3 where only one model was evaluated, and no table of combinations where there is none.

    Args:
        frame: The long table, from `adapert.comparison.summary.read_evaluation`.
        record: The record that it returned.
        baseline: Variant that Table 3 compares AdaPert with; by default the best other by mean Pearson-delta.

    Raises:
        InputError: A variant that the evaluation does not have.
    """
    effect_sizes = build_effect_size_table(frame, record, baseline)
    tables = [build_performance_table(frame, record), build_de_table(frame, record)]
    combinations = build_combination_table(frame, record)
    return [*tables, *(table for table in (effect_sizes, combinations) if table)]
