"""What each source of prior knowledge is worth, as a table."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import CONFIDENCE
from adapert.statistics.pairs import ALL
from adapert.statistics.source_worth import SOURCES, compare_sources
from analysis.figures.ablation import ABLATION_METRICS
from analysis.priors import find_sources
from analysis.tables.table import MISSING, PaperTable

SOURCES_STEM = "table_sources"


def build_sources_table(frame: pd.DataFrame) -> PaperTable:
    """Build a row a source and role: its paired difference in every metric.

    Args:
        frame: From `analysis.priors.load_priors`, of one split.
    """
    metrics = [metric for metric in ABLATION_METRICS if (frame["metric"] == metric).any()]
    worth = compare_sources(frame[frame["metric"].isin(metrics)], find_sources(frame))
    everywhere = worth[worth["effect_size"] == ALL]
    rows = []
    for (source, role), of_pair in everywhere.groupby(["source", "role"], sort=False):
        by_metric = of_pair.set_index("metric").to_dict("index")
        main = by_metric[metrics[0]]
        rows.append(
            {
                "Source": source,
                "Read": role,
                "With, without": f"{main['variant']}, {main['reference']}",
                **{find_metric(metric).directed_label: _write(by_metric.get(metric)) for metric in metrics},
                "wins : losses": f"{main['wins']} : {main['losses']}",
            }
        )
    study, split = frame["study"].iloc[0], frame["split"].iloc[0]
    return PaperTable(
        stem=SOURCES_STEM,
        title=f"What each source is worth, study '{study}', {split} split",
        caption=(
            "Mean difference between the variants with and without the source on the same perturbations and "
            f"seeds, its {CONFIDENCE:.0%} interval over perturbations and seeds, and p ({SOURCES.rule}). "
            "Beside the others: with all other sources that the model reads at the same time. Wins: "
            f"perturbations that are better with it, in {find_metric(metrics[0]).label}. The CSV has the "
            "effect-size groups too."
        ),
        frame=worth,
        cells=pd.DataFrame(rows),
        n_names=3,
    )


def _write(row: Mapping[Hashable, Any] | None) -> str:
    if row is None or np.isnan(row["difference"]):
        return MISSING
    interval = "" if np.isnan(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    p = row["p_holm"]
    significance = "" if np.isnan(p) else ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
    return f"{row['difference']:+.3f}{interval}{significance}"
