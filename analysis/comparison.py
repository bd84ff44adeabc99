"""Models beside each other: the long table of a comparison as estimates, and as tables to read."""

import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from adapert.csv_files import write_csv
from adapert.evaluation.catalogue import find_metric
from adapert.files import whole_directory
from adapert.statistics.estimates import CONFIDENCE, summarize_by
from adapert.statistics.families import MODELS, compare_models

CAPTION = (
    f"± is half the width of the mean's {CONFIDENCE:.0%} interval: bootstrap of perturbations, with the luck "
    "of fits. Among n perturbations, the same prediction for all has a PDS of .5 + 1/(2n)."
)

PAIRED_CAPTION = (
    f"Paired by perturbation: mean difference, ± half its {CONFIDENCE:.0%} interval, and p ({MODELS.rule})."
)

MAIN_METRICS = {
    metric: find_metric(metric).label
    for metric in ("pearson_delta", "pds", "rank_overlap_at_50", "overlap_at_50")
}
"""Metric to its column's head, in their order; metrics that the data do not have get no column."""

LABELS = {"split_half": "ceiling: split halves", "resampled": "ceiling: resampled"}
"""Variants that no model is; any other row has its variant's name."""

ALL = "all"
"""Stands for every effect-size group together."""

PAIRED_METRICS = (*MAIN_METRICS, "retrieval", "centroid_pearson", "mse", "collapse_ratio")
"""Metrics of `summarize_differences`: all would take a minute on a slow core."""

N_PAIRED_METRICS = 3
"""Columns of a table of differences, so that it fits into 80 characters."""

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


def summarize_differences(frame: pd.DataFrame) -> pd.DataFrame:
    """Compare each model that has chance, and each ensemble, with every reference model.

    Args:
        frame: The long table of one comparison and one split.

    Returns:
        `compare_models` for `PAIRED_METRICS`, in the order in which tables show it; without rows where the
        frame lacks either side.
    """
    variants = list(dict.fromkeys(frame["variant"]))
    orders = {
        "variant": variants,
        "effect_size": EFFECT_SIZES,
        "metric": PAIRED_METRICS,
        "reference": variants,
    }
    compared = compare_models(frame[frame["metric"].isin(PAIRED_METRICS)])
    return compared.sort_values(
        list(orders), key=lambda column: column.map(orders[str(column.name)].index), ignore_index=True
    )


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
    directory: Path,
    frame: pd.DataFrame,
    summary: pd.DataFrame,
    paired: pd.DataFrame,
    record: Mapping[str, Any],
    write_more: Callable[[Path], None] | None = None,
) -> None:
    """Write a comparison as a new directory, whole or not at all.

    Args:
        directory: For ``per_perturbation.parquet`` and ``.csv``, ``summary.csv``, ``paired.csv`` and
            ``evaluation.json``.
        frame: The long table.
        summary: From `summarize_comparison`.
        paired: From `summarize_differences`.
        record: What was opened, when, with which code and settings.
        write_more: Writes into the directory what else belongs there.

    Raises:
        InputError: `directory` exists, or cannot be written.
    """
    with whole_directory(directory) as beside:
        frame.to_parquet(beside / "per_perturbation.parquet", index=False)
        write_csv(frame, beside / "per_perturbation.csv")
        write_csv(summary, beside / "summary.csv")
        write_csv(paired, beside / "paired.csv")
        (beside / "evaluation.json").write_text(json.dumps(record, indent=2), encoding="utf-8")
        if write_more:
            write_more(beside)
