"""Tables of one evaluation, from the folder that `adapert evaluate` wrote."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from adapert.errors import InputError
from adapert.evaluation.catalogue import check_metrics
from analysis.tables.effect_sizes import build_effect_size_table
from analysis.tables.performance import Spread, build_de_table, build_performance_table
from analysis.tables.table import PaperTable

TABLE_FILE, RECORD_FILE = "per_perturbation.parquet", "evaluation.json"


def read_evaluation(folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read an evaluation: its long table, and the record of what was opened and how it was scored.

    Args:
        folder: That `adapert evaluate` wrote.

    Raises:
        InputError: A file that is missing or damaged, or a metric that the catalogue does not have.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        frame = pd.read_parquet(folder / TABLE_FILE)
    except (OSError, ValueError) as error:
        raise InputError(
            f"An evaluation's folder must have '{TABLE_FILE}' and '{RECORD_FILE}', but in '{folder}' they "
            f"cannot be read: {error}. Name a folder that 'adapert evaluate' wrote."
        ) from error
    check_metrics(frame["metric"].unique(), f"'{folder / TABLE_FILE}'")
    return frame, record


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
        frame: The long table, from `read_evaluation`.
        record: From `read_evaluation`.
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
