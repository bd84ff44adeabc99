"""The paper's tables for the user's data: `summarize_` makes the numbers, `build_` makes them a table."""

from analysis.tables.evaluation import build_evaluation_tables
from analysis.tables.prepared import build_data_tables
from analysis.tables.table import PaperTable, write_table

__all__ = ["PaperTable", "build_data_tables", "build_evaluation_tables", "write_table"]
