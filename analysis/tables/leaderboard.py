"""The leaderboard as tables: systems after equal searches, by what they read, and by effect size."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from adapert.comparison.summary import COMBINATION_METRICS
from adapert.data.schema import EFFECT_SIZES
from adapert.errors import format_count
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import CONFIDENCE
from adapert.statistics.pairs import ALL
from adapert.statistics.questions import SYSTEMS
from adapert.study.plan.peers import DEFAULT
from analysis.figures.prediction import model_label
from analysis.leaderboard.summary import LEADERBOARD_METRICS, RANKED_BY, REFERENCES
from analysis.tables.table import MISSING, PaperTable, decimal, whole

LEADERBOARD_STEM, BY_SIZE_STEM = "table_leaderboard", "table_leaderboard_effect_sizes"
UNSEEN_STEM = "table_leaderboard_unseen_genes"

_ARROWS = {"larger": " ↑", "smaller": " ↓", "neither": ""}

_Row = Mapping[Hashable, Any]

OWN_VERSIONS = (
    "Every system is this project's own version of what its paper describes, as far as the paper does."
)

CHOSEN_HERE = (
    "Tuned configs were chosen on validation perturbations, some of them these: all systems alike, but each "
    "is a little flattered. 'adapert evaluate' compares the picked configs on the test split."
)


def build_leaderboard_tables(summary: pd.DataFrame, combinations: pd.DataFrame) -> list[PaperTable]:
    """Build the leaderboard; by effect size, where there are several; of combinations, where there are any.

    Args:
        summary: From `analysis.leaderboard.summary.summarize_leaderboard`.
        combinations: From `analysis.leaderboard.summary.rank_combinations`.
    """
    tables = [build_leaderboard_table(summary)]
    if summary["effect_size"].nunique() > 2:
        tables.append(_build_by_size(summary))
    return [*tables, _build_of_combinations(combinations)] if len(combinations) else tables


def build_leaderboard_table(summary: pd.DataFrame) -> PaperTable:
    """Build a row a system: rank, what it reads, its cost, every metric, and paired differences."""
    everywhere = summary[summary["effect_size"] == ALL]
    metrics = [metric for metric in LEADERBOARD_METRICS if (everywhere["metric"] == metric).any()]
    references = [name for name in REFERENCES if f"{name}_difference" in everywhere]
    rows = []
    shown = ""
    for system, of_system in everywhere.groupby("system", sort=False):
        best = of_system[of_system["form"] != DEFAULT].set_index("metric").to_dict("index")
        default = of_system[of_system["form"] == DEFAULT].set_index("metric")["mean"].to_dict()
        if RANKED_BY not in best:
            continue
        main = best[RANKED_BY]
        row = {
            "Reads": "" if main["group"] == shown else main["group"],
            "System": model_label(str(system)),
            "Sources": main["reads"],
            "Rank": _write_rank(main),
            "Parameters": whole(main["n_parameters"]),
            "Trials": whole(main["n_trials"]),
            "Hours": MISSING if np.isnan(main["hours"]) else f"{main['hours']:.2f}",
        }
        for metric in metrics:
            row[_head(metric)] = _write_metric(best.get(metric), default.get(metric))
        for name in references:
            row[f"minus {model_label(name)}"] = _write_difference(main, name)
            row[f"wins over {model_label(name)}"] = _write_wins(main, name)
        rows.append(row)
        shown = str(main["group"])
    n = int(everywhere["n_perturbations"].max())
    study, split = everywhere["study"].iloc[0], everywhere["split"].iloc[0]
    title = f"Systems after equal searches, study '{study}', {format_count(n, f'{split} perturbation')}"
    return PaperTable(
        stem=LEADERBOARD_STEM,
        title=title,
        caption=_caption(references),
        frame=everywhere.reset_index(drop=True),
        cells=pd.DataFrame(rows),
        n_names=3,
    )


def _build_by_size(summary: pd.DataFrame) -> PaperTable:
    ranked = summary[(summary["metric"] == RANKED_BY) & (summary["form"] != DEFAULT)]
    label = find_metric(RANKED_BY).label
    return PaperTable(
        stem=BY_SIZE_STEM,
        title=f"{label} of systems by effect size, study '{ranked['study'].iloc[0]}'",
        caption=f"In brackets: {CONFIDENCE:.0%} intervals of {label} and of the rank. {CHOSEN_HERE}",
        frame=ranked.reset_index(drop=True),
        cells=_lay_out(ranked, "effect_size", {size: size for size in EFFECT_SIZES}),
        n_names=2,
    )


def _build_of_combinations(combinations: pd.DataFrame) -> PaperTable:
    label = find_metric(RANKED_BY).label
    return PaperTable(
        stem=UNSEEN_STEM,
        title=f"{label} of systems on combinations, study '{combinations['study'].iloc[0]}'",
        caption="By number of genes that no training perturbation targets. In brackets: "
        f"{CONFIDENCE:.0%} intervals of {label} and of the rank. {CHOSEN_HERE}",
        frame=combinations.reset_index(drop=True),
        cells=_lay_out(
            combinations,
            "n_unseen_genes",
            {group: group if group == ALL else f"{group} unseen" for group in combinations["n_unseen_genes"]},
        ),
        n_names=2,
    )


def _lay_out(ranked: pd.DataFrame, key: str, heads: Mapping[str, str]) -> pd.DataFrame:
    """Write a row a system, and a column a group of perturbations that `heads` name and there is."""
    n_perturbations = ranked.groupby(key)["n_perturbations"].max()
    cells = []
    for system, of_system in ranked.groupby("system", sort=False):
        row = {"Reads": str(of_system["group"].iloc[0]), "System": model_label(str(system))}
        found = of_system.set_index(key).to_dict("index")
        for group, head in heads.items():
            if group in n_perturbations:
                row[f"{head} (n={int(n_perturbations[group])})"] = (
                    f"{_interval(found[group])}, rank {_write_rank(found[group])}"
                    if group in found
                    else MISSING
                )
        cells.append(row)
    return pd.DataFrame(cells)


def _caption(references: list[str]) -> str:
    compared = " and ".join(model_label(name) for name in references)
    paired = (
        f" Minus {compared}: mean paired difference of {find_metric(RANKED_BY).label}, its {CONFIDENCE:.0%} "
        f"interval, and p ({SYSTEMS.rule}); wins: perturbations on which the system is better and worse."
        if references
        else ""
    )
    return (
        f"Rank by {find_metric(RANKED_BY).label} with its {CONFIDENCE:.0%} interval over resampled "
        "families of perturbations, splits and seeds; rows without one have a constant prediction. Metrics: "
        "means over perturbations, each averaged over seeds and splits, as published → tuned where the "
        "system was searched. Reads: what the system knows of genes that were not perturbed in training; "
        "further embeddings are those beyond the data set's first, such as another screen. Trials, hours: "
        f"of its search, the hours with those of retraining the best few.{paired} {CHOSEN_HERE} "
        f"{OWN_VERSIONS}"
    )


def _head(metric: str) -> str:
    return COMBINATION_METRICS.get(metric, find_metric(metric).label) + _ARROWS[find_metric(metric).better]


def _write_rank(row: _Row) -> str:
    if np.isnan(row["rank"]):
        return MISSING
    interval = "" if np.isnan(row["rank_low"]) else f" [{row['rank_low']:.0f}, {row['rank_high']:.0f}]"
    return f"{row['rank']:.0f}{interval}"


def _interval(row: _Row) -> str:
    interval = "" if np.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{decimal(row['mean'])}{interval}"


def _write_metric(best: _Row | None, default: float | None) -> str:
    before = "" if default is None else f"{decimal(default)} → "
    return before + (MISSING if best is None else decimal(best["mean"]))


def _write_difference(row: _Row, reference: str) -> str:
    difference, low, high, p = (
        row[f"{reference}_{name}"] for name in ("difference", "low", "high", "p_holm")
    )
    if np.isnan(difference):
        return MISSING
    interval = "" if np.isnan(low) else f" [{low:+.3f}, {high:+.3f}]"
    significance = "" if np.isnan(p) else ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"
    return f"{difference:+.3f}{interval}{significance}"


def _write_wins(row: _Row, reference: str) -> str:
    wins, losses = row[f"{reference}_wins"], row[f"{reference}_losses"]
    # A constant prediction has no Pearson-delta, and so no pair to win.
    has_pair = not (pd.isna(wins) or np.isnan(row[f"{reference}_difference"]))
    return f"{int(wins)} : {int(losses)}" if has_pair else MISSING
