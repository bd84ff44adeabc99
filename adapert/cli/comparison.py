"""A comparison of models as tables in the terminal, 80 columns wide."""

from collections.abc import Hashable
from typing import Any

import pandas as pd
from rich.table import Table

from adapert.comparison.summary import ALL, LABELS, MAIN_METRICS

N_PAIRED_METRICS = 3
"""Columns of a table of differences, so that it fits into 80 characters."""


def build_tables(summary: pd.DataFrame, split: str) -> list[Table]:
    """Build a table for all perturbations and one for each effect-size group: a row a variant.

    Args:
        summary: From `summarize_comparison`.
        split: Named in the titles.

    Returns:
        Tables that fit into 80 columns; ``-`` where a metric has no value.
    """
    groups = {str(group): rows for group, rows in summary.groupby("effect_size", sort=False)}
    if len(groups) == 2:  # all perturbations are of one group
        groups = {ALL: groups[ALL]}
    return [_build_table(rows, _title(group, rows, split)) for group, rows in groups.items()]


def _title(group: str, rows: pd.DataFrame, split: str) -> str:
    n = int(rows["n_perturbations"].max())
    effects = "" if group == ALL else f" of {group} effect"
    return f"{n} {split} perturbation{'' if n == 1 else 's'}{effects}"


def _build_table(rows: pd.DataFrame, title: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("model")
    metrics = [metric for metric in MAIN_METRICS if metric in set(rows["metric"])]
    for metric in metrics:
        table.add_column(MAIN_METRICS[metric])
    for variant, estimates in rows.groupby("variant", sort=False):
        cells = {row["metric"]: _cell(row) for row in estimates.to_dict("records")}
        table.add_row(_label(str(variant), estimates), *(cells.get(metric, "-") for metric in metrics))
    return table


def _label(variant: str, estimates: pd.DataFrame) -> str:
    n_seeds = int(estimates["n_seeds"].max())
    label = LABELS.get(variant, variant)
    return f"{label}, {n_seeds} fits" if n_seeds > 1 else label


def _cell(estimate: dict[Hashable, Any]) -> str:
    if pd.isna(estimate["mean"]):
        return "-"
    half_width = (estimate["high"] - estimate["low"]) / 2
    interval = "" if pd.isna(half_width) else f" ±{_short(half_width)}"
    return f"{_short(estimate['mean'])}{interval}"


def build_paired_tables(paired: pd.DataFrame) -> list[Table]:
    """Build a table of differences for each variant: a row a reference model, over all perturbations.

    Args:
        paired: From `summarize_differences`.

    Returns:
        Tables that fit into 80 columns; none where nothing was compared.
    """
    everywhere = paired[paired["effect_size"] == ALL]
    return [_build_paired_table(rows, str(name)) for name, rows in everywhere.groupby("variant", sort=False)]


def _build_paired_table(rows: pd.DataFrame, variant: str) -> Table:
    title = f"{variant} minus each model"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("model")
    metrics = [metric for metric in MAIN_METRICS if metric in set(rows["metric"])][:N_PAIRED_METRICS]
    for metric in metrics:
        table.add_column(MAIN_METRICS[metric])
    for reference, compared in rows.groupby("reference", sort=False):
        cells = {row["metric"]: _paired_cell(row) for row in compared.to_dict("records")}
        table.add_row(str(reference), *(cells.get(metric, "-") for metric in metrics))
    return table


def _paired_cell(compared: dict[Hashable, Any]) -> str:
    if pd.isna(compared["difference"]):
        return "-"
    half_width = (compared["high"] - compared["low"]) / 2
    interval = "" if pd.isna(half_width) else f" ±{_short(half_width)}"
    p = compared["p_holm"]
    said = "" if pd.isna(p) else " p<.001" if p < 0.001 else f" p={_short(p)}"
    sign = "+" if compared["difference"] >= 0 else ""
    return f"{sign}{_short(compared['difference'])}{interval}{said}"


def _short(value: float) -> str:
    """Write three decimals as tables in papers do: ``.451``, ``-.020``, ``1.000``."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"
