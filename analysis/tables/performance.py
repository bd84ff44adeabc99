"""Tables 1, 2 and 10: every model's scores over all evaluated perturbations (Sec. 5.1, 5.2, App. D)."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from adapert.comparison.summary import LABELS
from adapert.data.schema import BoolArray
from adapert.errors import format_count
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import CONFIDENCE, summarize_by
from adapert.statistics.scalars import summarize_scalars
from analysis.figures.prediction import model_label
from analysis.figures.style import order_rows
from analysis.tables.table import PaperTable, decimal

Spread = Literal["sd", "interval"]
"""What "±" is of: the SD over perturbations, as in the paper, or half the interval of the mean."""

GLOBAL_METRICS = ("pearson_delta", "pds")
"""Columns of Table 1."""

DE_METRICS = ("overlap_at_50", "overlap_at_100", "spearman_n_degs", "spearman_lfc", "direction_match")
"""Columns of Tables 2 and 10, where the data have cells."""

STAND_INS = {"overlap_at_50": "rank_overlap_at_50", "overlap_at_100": "rank_overlap_at_100"}
"""What is shown of data without cells, which cannot be tested for differential expression."""

_SCALAR = "spearman_n_degs"
_SCALAR_CAPTION = "Spearman of DEG counts is one number over all perturbations, so it has no SD."
_STAND_IN_CAPTION = (
    "These data have no cells to test, so DES@k and what needs predicted DEGs are missing. Rank overlap@k "
    "stands in: the share of the true DEGs of largest change, at most k, found among as many genes of "
    "largest predicted change. It is not comparable with DES@k."
)


def summarize_performance(
    frame: pd.DataFrame, metrics: Sequence[str], record: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Summarise the long table by variant.

    Args:
        frame: The long table of one evaluation.
        metrics: Metrics to show; those that the table lacks have no rows.
        record: What ``evaluation.json`` holds, for the metric with one value over all perturbations.

    Returns:
        variant (in the frame's order), metric (in the order given), mean, sd (over perturbations, each
        averaged over its fits), low and high (of the mean), n_perturbations and n_seeds. Of the metric over
        all perturbations, mean is that over fits, and there is no sd.
    """
    selected = frame[frame["metric"].isin(list(metrics))]
    summary = summarize_by(selected, ["variant"])
    by_perturbation = selected.groupby(["variant", "metric", "perturbation"], observed=True)["value"].mean()
    sd = by_perturbation.groupby(level=["variant", "metric"]).std().rename("sd").reset_index()
    summary = summary.merge(sd, on=["variant", "metric"], how="left")
    if _SCALAR in metrics:
        resampled = summarize_scalars(frame, ["variant"]).query("metric == @_SCALAR")
        recorded = _summarize_scalar(record or {})  # of an evaluation that kept no numbers of DEGs
        summary = pd.concat([summary, recorded if resampled.empty else resampled], ignore_index=True)
    orders = {"variant": list(dict.fromkeys(frame["variant"])), "metric": list(metrics)}
    known = summary[summary["variant"].isin(orders["variant"])]
    columns = ["variant", "metric", "mean", "sd", "low", "high", "n_perturbations", "n_seeds"]
    return order_rows(known, orders)[columns]


def build_performance_table(
    frame: pd.DataFrame, record: Mapping[str, Any], spread: Spread = "sd"
) -> PaperTable:
    """Build Table 1: Pearson-delta and PDS of every model."""
    summary = summarize_performance(frame, GLOBAL_METRICS)
    n = int(summary["n_perturbations"].max())
    note = f"The same prediction for all {n} perturbations has a PDS of {0.5 + 0.5 / n:.3f}."
    return _build(
        "table_1_performance",
        f"Performance, {describe_evaluation(record)}",
        f"{spread_caption(spread)} {note}",
        summary,
        GLOBAL_METRICS,
        spread,
    )


def build_de_table(
    frame: pd.DataFrame, record: Mapping[str, Any], spread: Spread = "sd", number: int = 2
) -> PaperTable:
    """Build Table 2, which Table 10 is for another data set: how well models find and rank the DEGs."""
    is_tested = frame["metric"].isin(list(STAND_INS)).any()
    metrics = DE_METRICS if is_tested else [STAND_INS.get(metric, metric) for metric in DE_METRICS]
    note = _SCALAR_CAPTION if is_tested else _STAND_IN_CAPTION
    caption = f"{spread_caption(spread)} {note}"
    summary = summarize_performance(frame, metrics, record)
    title = f"Differential expression, {describe_evaluation(record)}"
    return _build(f"table_{number}_differential_expression", title, caption, summary, metrics, spread)


def describe_evaluation(record: Mapping[str, Any]) -> str:
    """Say what was evaluated: ``"test split of data 8df6, 36 perturbations"``."""
    opened = record["opened"]
    n = opened["n_perturbations"]
    return f"{opened['split']} split of data {opened['data_fingerprint']}, {format_count(n, 'perturbation')}"


def spread_caption(spread: Spread) -> str:
    """Say what "±" is of."""
    if spread == "sd":
        return (
            "± is the SD over perturbations, each averaged over its model's fits: how much perturbations "
            "differ, not how sure the mean is."
        )
    return f"± is half the width of the mean's {CONFIDENCE:.0%} interval (two-level bootstrap)."


def _summarize_scalar(record: Mapping[str, Any]) -> pd.DataFrame:
    fits = pd.DataFrame(record.get("models", []), columns=["variant", "seed", _SCALAR])
    known = fits.astype({_SCALAR: float}).dropna(subset=[_SCALAR])
    means = known.groupby("variant", sort=False)[_SCALAR].agg(["mean", "size"]).reset_index()
    return means.rename(columns={"size": "n_seeds"}).assign(metric=_SCALAR)


def _build(
    stem: str, title: str, caption: str, summary: pd.DataFrame, metrics: Sequence[str], spread: Spread
) -> PaperTable:
    variants = list(dict.fromkeys(summary["variant"]))
    halved = summary.assign(interval=(summary["high"] - summary["low"]) / 2)
    means, sizes = (
        halved.pivot(index="variant", columns="metric", values=column)
        .reindex(index=variants, columns=list(metrics))
        .astype(float)
        for column in ("mean", spread)
    )
    columns = {
        find_metric(metric).directed_label: [
            decimal(mean, size) for mean, size in zip(means[metric], sizes[metric], strict=True)
        ]
        for metric in metrics
    }
    cells = pd.DataFrame({"Model": [_name(variant, summary) for variant in variants]} | columns)
    return PaperTable(
        stem=stem, title=title, caption=caption, frame=summary, cells=cells, is_best=_mark_best(means)
    )


def _name(variant: str, summary: pd.DataFrame) -> str:
    n_fits = int(summary.loc[summary["variant"] == variant, "n_seeds"].max())
    label = LABELS.get(variant, model_label(variant))
    return f"{label} ({n_fits} fits)" if n_fits > 1 else label


def _mark_best(means: pd.DataFrame) -> BoolArray:
    """Mark each column's best model, with a column for names; no ceiling is a model."""
    values = means.to_numpy(copy=True) * [find_metric(str(metric)).gain for metric in means.columns]
    values[means.index.isin(list(LABELS))] = np.nan
    has_rival = (~np.isnan(values)).sum(axis=0) > 1
    is_best = has_rival & (values == np.fmax.reduce(values, axis=0))
    return np.column_stack([np.zeros(len(values), dtype=bool), is_best])
