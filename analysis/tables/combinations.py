"""Combinations, as Table 3 of the APP paper has them: every model, and its gain on the sum of genes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from adapert.comparison.summary import (
    COMBINATION_METRICS,
    COMBINATIONS_CAPTION,
    FEWEST_SHOWN,
    INTERVAL_CAPTION,
    LABELS,
    summarize_combinations,
)
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.combinations import pool_unseen_genes
from adapert.statistics.estimates import CONFIDENCE
from adapert.statistics.paired import summarize_paired
from analysis.figures.prediction import model_label
from analysis.tables.effect_sizes import GAIN, NO_GAIN_CAPTION, add_gain, write_gain
from analysis.tables.performance import describe_evaluation, row_label
from analysis.tables.table import MISSING, PaperTable, decimal

COMBINATIONS_STEM = "table_combinations"

ADDITIVE = "additive"

COMPARED = ("l2_top_1000", "rmse_top_20_degs")
"""Metric of the improvement: the paper's, or the other where the data have no control expression."""


def summarize_combination_gains(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise an evaluation's combinations, with what each model gains on the sum of single effects.

    Args:
        frame: The long table of one evaluation.

    Returns:
        As `summarize_combinations`, and improvement_percent with its low and high: the mean paired gain in
        the first of `COMPARED` that is there, in percent of the additive model's mean, and its interval; NaN
        in the rows of other metrics, of that model, of ceilings, and without that model.
    """
    summary = summarize_combinations(frame)
    keys = ["n_unseen_genes", "variant", "metric"]
    metric = next((name for name in COMPARED if (summary["metric"] == name).any()), None)
    rows = frame[(frame["metric"] == metric) & ~frame["variant"].isin(list(LABELS))]
    if summary.empty or not (rows["variant"] == ADDITIVE).any() or rows["variant"].nunique() < 2:
        return summary.assign(**dict.fromkeys(GAIN, np.nan))
    paired = summarize_paired(pool_unseen_genes(rows), ADDITIVE, ("n_unseen_genes",))
    of_additive = summary[(summary["variant"] == ADDITIVE) & (summary["metric"] == metric)]
    means = paired["n_unseen_genes"].map(of_additive.set_index("n_unseen_genes")["mean"])
    return summary.merge(add_gain(paired, means)[[*keys, *GAIN]], on=keys, how="left")


def build_combination_table(frame: pd.DataFrame, record: Mapping[str, Any]) -> PaperTable | None:
    """Build the table of an evaluation's combinations; None where it has none.

    Args:
        frame: The long table of one evaluation.
        record: What ``evaluation.json`` holds.
    """
    summary = summarize_combination_gains(frame)
    if summary.empty:
        return None
    has_gain = summary[GAIN[0]].notna()
    metric = summary.loc[has_gain, "metric"].iloc[0] if has_gain.any() else None
    improvement = (
        ""
        if metric is None
        else (
            f" Over {model_label(ADDITIVE)}: mean gain in {COMBINATION_METRICS[metric]} on the same "
            f"combinations, in percent of that model's mean, with its {CONFIDENCE:.0%} interval; "
            f"{NO_GAIN_CAPTION}."
        )
    )
    cells = [
        row
        for group, part in summary.groupby("n_unseen_genes", sort=False)
        for row in _rows(str(group), part, metric)
    ]
    return PaperTable(
        stem=COMBINATIONS_STEM,
        title=f"Combinations, {describe_evaluation(record)}",
        caption=f"{INTERVAL_CAPTION} {COMBINATIONS_CAPTION}{improvement}",
        frame=summary,
        cells=pd.DataFrame(cells),
        n_names=2,
    )


def _rows(group: str, part: pd.DataFrame, compared: str | None) -> list[dict[str, str]]:
    """Write a row a model, the number of unseen genes in the first."""
    label = f"{group} (n={int(part['n_perturbations'].max())})"
    rows: list[dict[str, str]] = []
    for variant, of_variant in part.groupby("variant", sort=False):
        by_metric = of_variant.set_index("metric").to_dict("index")
        row = {"Unseen genes": "" if rows else label, "Model": row_label(str(variant))}
        for metric in COMBINATION_METRICS:
            if metric in set(part["metric"]):
                found = by_metric.get(metric)
                row[_head(metric)] = MISSING if found is None else _estimate(found)
        if compared is not None:
            gain = by_metric.get(compared, {})
            row[f"over {model_label(ADDITIVE)}"] = write_gain(gain)
        rows.append(row)
    return rows


def _head(metric: str) -> str:
    return find_metric(metric).directed_label.replace(find_metric(metric).label, COMBINATION_METRICS[metric])


def _estimate(row: Mapping[Any, Any]) -> str:
    is_shown = row["n_perturbations"] >= FEWEST_SHOWN
    return decimal(row["mean"], (row["high"] - row["low"]) / 2 if is_shown else np.nan)
