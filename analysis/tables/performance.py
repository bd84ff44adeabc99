"""Tables 1, 2 and 10: every model's scores over all evaluated perturbations (Sec. 5.1, 5.2, App. D)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from adapert.comparison.summary import LABELS
from adapert.errors import format_count
from adapert.evaluation.catalogue import find_metric
from adapert.records import trained_on
from adapert.statistics.estimates import summarize_by
from adapert.statistics.pairs import CEILINGS
from adapert.statistics.scalars import summarize_scalars
from analysis.figures.prediction import model_label
from analysis.figures.style import order_rows
from analysis.tables.table import PaperTable, decimal

GLOBAL_METRICS = ("pearson_delta", "pds")
"""Columns of Table 1."""

POOLED = "pearson_delta_pooled"
"""A further column of Table 1 where it differs from Pearson-delta: data of several batches."""

POOLED_CAPTION = (
    " Pearson-delta is of deltas against controls of the same batch; against the pooled controls of all "
    "batches it is cell-eval's."
)

DE_METRICS = ("overlap_at_50", "overlap_at_100", "spearman_n_degs", "spearman_lfc", "direction_match")
"""Columns of Tables 2 and 10, where the data have cells."""

STAND_INS = {"overlap_at_50": "rank_overlap_at_50", "overlap_at_100": "rank_overlap_at_100"}
"""What is shown of data without cells, which cannot be tested for differential expression."""

SD_CAPTION = (
    "± is the SD over perturbations, each averaged over its model's fits: how much perturbations differ, not "
    "how sure the mean is."
)
SCALAR = "spearman_n_degs"
SCALAR_CAPTION = "Spearman of DEG counts is one number over all perturbations, so it has no SD."
STAND_IN_CAPTION = (
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
    if SCALAR in metrics:
        summary = pd.concat([summary, *_summarize_scalar(frame, record or {})], ignore_index=True)
    orders = {"variant": list(dict.fromkeys(frame["variant"])), "metric": list(metrics)}
    summary = summary[summary["variant"].isin(orders["variant"])]
    columns = ["variant", "metric", "mean", "sd", "low", "high", "n_perturbations", "n_seeds"]
    return order_rows(summary, orders)[columns]


def _summarize_scalar(frame: pd.DataFrame, record: Mapping[str, Any]) -> list[pd.DataFrame]:
    """Summarise `SCALAR` by variant, by the table's numbers of DEGs where these are what it correlates.

    Of other variants the record has it: of ceilings, since the table has the DEGs of all cells, and a part of
    them stands for the observation; and of all in an evaluation that kept no numbers of predicted DEGs.
    """
    of_models = frame[~frame["variant"].isin(list(CEILINGS))]
    counted = summarize_scalars(of_models, ["variant"]).query("metric == @SCALAR")
    fits = pd.DataFrame(record.get("models", []), columns=["variant", "seed", SCALAR])
    known = fits.astype({SCALAR: float}).dropna(subset=[SCALAR])
    by_variant = known[~known["variant"].isin(counted["variant"])].groupby("variant", sort=False)[SCALAR]
    recorded = by_variant.agg(mean="mean", n_seeds="size").reset_index().assign(metric=SCALAR)
    return [part for part in (counted, recorded) if len(part)]


def build_performance_table(frame: pd.DataFrame, record: Mapping[str, Any]) -> PaperTable:
    """Build Table 1: Pearson-delta and PDS of every model; where batches differ, of pooled controls too."""
    metrics = choose_global_metrics(frame)
    summary = summarize_performance(frame, metrics)
    n = int(summary["n_perturbations"].max())
    note = f"The same prediction for all {n} perturbations has a PDS of {0.5 + 0.5 / n:.3f}."
    return _build(
        "table_1_performance",
        f"Performance, {describe_evaluation(record)}",
        f"{SD_CAPTION} {note}{POOLED_CAPTION if POOLED in metrics else ''}",
        summary,
        metrics,
    )


def build_de_table(frame: pd.DataFrame, record: Mapping[str, Any]) -> PaperTable:
    """Build Table 2 (the paper's Table 10 for its other data set): how well models find and rank the DEGs."""
    metrics = choose_de_metrics(frame)
    note = SCALAR_CAPTION if metrics == DE_METRICS else STAND_IN_CAPTION
    caption = f"{SD_CAPTION} {note}"
    summary = summarize_performance(frame, metrics, record)
    title = f"Differential expression, {describe_evaluation(record)}"
    return _build("table_2_differential_expression", title, caption, summary, metrics)


def choose_global_metrics(frame: pd.DataFrame) -> tuple[str, ...]:
    """Choose the columns of Table 1: `GLOBAL_METRICS`, and `POOLED` where it differs."""
    return (*GLOBAL_METRICS, POOLED) if _differs_pooled(frame) else GLOBAL_METRICS


def choose_de_metrics(frame: pd.DataFrame) -> tuple[str, ...]:
    """Choose the columns of Table 2: `DE_METRICS`, or their `STAND_INS` where the data have no cells."""
    is_tested = frame["metric"].isin(list(STAND_INS)).any()
    return DE_METRICS if is_tested else tuple(STAND_INS.get(metric, metric) for metric in DE_METRICS)


def describe_evaluation(record: Mapping[str, Any]) -> str:
    """Say what was evaluated: ``"test split of data 8df6, 36 perturbations"``, and by which models."""
    opened = record["opened"]
    n, of_models = opened["n_perturbations"], trained_on(opened)
    others = "" if of_models == opened["data_fingerprint"] else f", by models trained on data {of_models}"
    perturbations = format_count(n, "perturbation")
    return f"{opened['split']} split of data {opened['data_fingerprint']}, {perturbations}{others}"


def _differs_pooled(frame: pd.DataFrame) -> bool:
    matched, pooled = (
        frame.loc[frame["metric"] == name, "value"].to_numpy() for name in ("pearson_delta", POOLED)
    )
    return len(pooled) > 0 and not np.allclose(matched, pooled, atol=1e-6, equal_nan=True)


def _build(stem: str, title: str, caption: str, summary: pd.DataFrame, metrics: Sequence[str]) -> PaperTable:
    variants = list(dict.fromkeys(summary["variant"]))
    means, sizes = (
        summary.pivot(index="variant", columns="metric", values=column)
        .reindex(index=variants, columns=list(metrics))
        .astype(float)
        for column in ("mean", "sd")
    )
    columns = {
        find_metric(metric).directed_label: [
            decimal(mean, size) for mean, size in zip(means[metric], sizes[metric], strict=True)
        ]
        for metric in metrics
    }
    n_fits = summary.groupby("variant")["n_seeds"].max().astype(int)
    names = [row_label(name) + (f" ({n_fits[name]} fits)" if n_fits[name] > 1 else "") for name in variants]
    is_best = mark_best(means)
    is_best.insert(0, "Model", False)
    return PaperTable(
        stem=stem,
        title=title,
        caption=caption,
        frame=summary,
        cells=pd.DataFrame({"Model": names} | columns),
        is_best=is_best.to_numpy(),
    )


def row_label(variant: str) -> str:
    """Name a model or a ceiling as tables do."""
    return LABELS.get(variant, model_label(variant))


def mark_best(means: pd.DataFrame) -> pd.DataFrame:
    """Mark each metric's best model, where it has a rival; no ceiling is a model.

    Args:
        means: A row a variant, a column a metric.

    Returns:
        As `means`, of bool.
    """
    models = means.drop(index=list(LABELS), errors="ignore")
    gains = models * [find_metric(metric).gain for metric in means.columns]
    # The maximum of no value is NaN, which equals nothing.
    return (gains.eq(gains.max()) & (gains.count() > 1)).reindex(means.index, fill_value=False)
