"""Models beside each other: the long table of a comparison as estimates, and as tables to read."""

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from adapert.files import whole_directory
from analysis.estimates import CONFIDENCE, summarize_by

CAPTION = (
    f"± is half the width of the mean's {CONFIDENCE:.0%} interval: bootstrap of perturbations, then fits. "
    "Among n perturbations, the same prediction for all has a PDS of .5 + 1/(2n)."
)

MAIN_METRICS = {
    "pearson_delta": "Pearson-delta",
    "pds": "PDS",
    "rank_overlap_at_50": "rank overlap@50",
    "overlap_at_50": "DES@50",
}
"""Metric to its column's head, in their order; metrics that the data do not have get no column."""

LABELS = {"split_half": "ceiling: split halves", "resampled": "ceiling: resampled"}
"""Variants that no model is; any other row has its variant's name."""

ALL = "all"
"""Stands for every effect-size group together."""

EFFECT_SIZES = (ALL, "small", "medium", "large")


def summarize_comparison(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the long table by effect size and variant.

    Args:
        frame: The long table of one comparison and one split.

    Returns:
        effect_size (`ALL` first), variant (in the frame's order), metric (of `MAIN_METRICS`) and the
        estimates of `summarize_by`.
    """
    selected = frame[frame["metric"].isin(MAIN_METRICS)]
    pooled = pd.concat([selected.assign(effect_size=ALL), selected])
    summary = summarize_by(pooled, ["effect_size", "variant"])
    orders = {
        "effect_size": EFFECT_SIZES,
        "variant": list(dict.fromkeys(frame["variant"])),
        "metric": list(MAIN_METRICS),
    }
    return summary.sort_values(
        list(orders), key=lambda column: column.map(orders[str(column.name)].index)
    ).reset_index(drop=True)


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


def _short(value: float) -> str:
    """Write three decimals as tables in papers do: ``.451``, ``-.020``, ``1.000``."""
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def write_comparison(
    directory: Path, frame: pd.DataFrame, summary: pd.DataFrame, record: Mapping[str, Any]
) -> None:
    """Write a comparison as a new directory, whole or not at all.

    Args:
        directory: For ``per_perturbation.parquet`` and ``.csv``, ``summary.csv`` and ``evaluation.json``.
        frame: The long table.
        summary: From `summarize_comparison`.
        record: What was opened, when, with which code and settings.

    Raises:
        InputError: `directory` exists, or cannot be written.
    """
    with whole_directory(directory) as beside:
        frame.to_parquet(beside / "per_perturbation.parquet", index=False)
        frame.to_csv(beside / "per_perturbation.csv", index=False)
        summary.to_csv(beside / "summary.csv", index=False)
        (beside / "evaluation.json").write_text(json.dumps(record, indent=2))
