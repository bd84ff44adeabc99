"""Tables 1, 2 and 10 of several evaluations side by side: a row a model, a group of columns an evaluation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from adapert.comparison.summary import FEWEST_SHOWN, INTERVAL_CAPTION, LABELS, PDS_CAPTION
from adapert.data.schema import BoolArray
from adapert.evaluation.catalogue import find_metric
from adapert.records import trained_on
from analysis.tables.performance import (
    POOLED,
    POOLED_CAPTION,
    STAND_IN_CAPTION,
    STAND_INS,
    choose_de_metrics,
    choose_global_metrics,
    describe_evaluation,
    mark_best,
    row_label,
    summarize_performance,
)
from analysis.tables.table import PaperTable, decimal

PERFORMANCE_STEM, DE_STEM = "table_1_joint", "table_2_joint"

_Evaluation = tuple[pd.DataFrame, Mapping[str, Any]]

_WITHIN = (
    "Evaluations may differ in perturbations and genes: compare models within one; each one's best is bold."
)


def build_joint_tables(evaluations: Mapping[str, _Evaluation]) -> list[PaperTable]:
    """Build Tables 1 and 2 of several evaluations, with the intervals of means.

    Args:
        evaluations: Name to long table and record, both from `adapert.comparison.summary.read_evaluation`.

    Returns:
        Two tables. A model that an evaluation lacks has no number there. Their frames are those of
        `summarize_performance` below each other, beside evaluation, split, data_fingerprint and trained_on.
    """
    of_deltas = {name: choose_global_metrics(frame) for name, (frame, _) in evaluations.items()}
    pooled = POOLED_CAPTION if any(POOLED in metrics for metrics in of_deltas.values()) else ""
    of_degs = {name: choose_de_metrics(frame) for name, (frame, _) in evaluations.items()}
    untested = [name for name, metrics in of_degs.items() if set(STAND_INS.values()) & set(metrics)]
    stand_in = f" {', '.join(untested)}: {STAND_IN_CAPTION}" if untested else ""
    return [
        _build(PERFORMANCE_STEM, "Performance", f" {PDS_CAPTION}{pooled}", evaluations, of_deltas),
        _build(DE_STEM, "Differential expression", stand_in, evaluations, of_degs),
    ]


def _build(
    stem: str,
    title: str,
    note: str,
    evaluations: Mapping[str, _Evaluation],
    metrics: Mapping[str, Sequence[str]],
) -> PaperTable:
    summaries = {
        name: summarize_performance(frame, metrics[name], record)
        for name, (frame, record) in evaluations.items()
    }
    variants = list(dict.fromkeys(variant for part in summaries.values() for variant in part["variant"]))
    variants.sort(key=list(LABELS).__contains__)  # what no model is comes last
    groups = [_lay_out(part, variants, metrics[name]) for name, part in summaries.items()]
    cells = pd.concat([cells for cells, _ in groups], axis=1, keys=list(summaries))
    cells.insert(0, ("", "Model"), _name_rows(variants, list(summaries.values())))
    opened = "; ".join(f"{name}: {describe_evaluation(record)}" for name, (_, record) in evaluations.items())
    return PaperTable(
        stem=stem,
        title=f"{title}, {', '.join(evaluations)}",
        caption=f"{opened}. {INTERVAL_CAPTION}{note} {_WITHIN}",
        frame=pd.concat(
            [_identify(part, name, evaluations[name][1]) for name, part in summaries.items()],
            ignore_index=True,
        ),
        cells=cells,
        is_best=np.hstack([np.zeros((len(variants), 1), dtype=bool), *(best for _, best in groups)]),
    )


def _lay_out(
    summary: pd.DataFrame, variants: Sequence[str], metrics: Sequence[str]
) -> tuple[pd.DataFrame, BoolArray]:
    """Write one evaluation's columns, and mark the best cells."""
    half = (summary["high"] - summary["low"]) / 2
    halved = summary.assign(half=half.where(summary["n_perturbations"] >= FEWEST_SHOWN))
    means, halves = (
        halved.pivot(index="variant", columns="metric", values=column)
        .reindex(index=list(variants), columns=list(metrics))
        .astype(float)
        for column in ("mean", "half")
    )
    cells = {
        find_metric(metric).directed_label: list(map(decimal, means[metric], halves[metric]))
        for metric in metrics
    }
    return pd.DataFrame(cells), mark_best(means).to_numpy()


def _name_rows(variants: Sequence[str], summaries: Sequence[pd.DataFrame]) -> list[str]:
    """Name the rows with their numbers of fits, one for each evaluation where they differ: ``(3/2 fits)``."""
    by_variant = [part.groupby("variant")["n_seeds"].max().astype(int) for part in summaries]
    names = []
    for variant in variants:
        n_fits = [int(counts[variant]) for counts in by_variant if variant in counts]
        shown = "/".join(map(str, n_fits if len(set(n_fits)) > 1 else n_fits[:1]))
        names.append(row_label(variant) + (f" ({shown} fits)" if max(n_fits) > 1 else ""))
    return names


def _identify(summary: pd.DataFrame, name: str, record: Mapping[str, Any]) -> pd.DataFrame:
    opened = record["opened"]
    identity = {
        "evaluation": name,
        "split": opened["split"],
        "data_fingerprint": opened["data_fingerprint"],
        "trained_on": trained_on(opened),
    }
    return summary.assign(**identity)[[*identity, *summary.columns]]
