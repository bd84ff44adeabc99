"""What each source of prior knowledge is worth: every combination, and paired differences by source."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from adapert.data.sources import SEPARATOR
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import summarize_by
from adapert.statistics.pairs import ALL
from adapert.statistics.questions import LEVEL
from adapert.statistics.source_worth import ALONE, BESIDE, SOURCES, compare_sources
from analysis.figures import style
from analysis.figures.ablation import ABLATION_METRICS
from analysis.figures.marks import mark_caption
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure
from analysis.priors import SOURCES_COLUMN, find_sources

COMBINATION, WORTH = "combination", "worth"
"""Parts of the figure: means of variants, and differences by source."""

_ROW_HEIGHT = 0.17
_ROLES: dict[str, dict[str, Any]] = {
    ALONE: {"marker": "o", "color": style.palette(2)[0], "offset": -0.17},
    BESIDE: {"marker": "s", "color": style.palette(2)[1], "offset": 0.17},
}


def summarize_priors(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise a study of priors over all perturbations.

    Args:
        frame: From `analysis.priors.load_priors`, of one split.

    Returns:
        study, split, part, name, role, metric, mean, low, high, n_perturbations, n_seeds, p_holm,
        is_different. Of part `COMBINATION` a row a variant, in the recipe's order, called by its sources: its
        mean. Of part `WORTH` a row a source and role of `compare_sources`: its mean difference.

    Raises:
        InputError: The frame has none of the figure's metrics.
    """
    selected = style.select_metrics(frame, ABLATION_METRICS)
    sources_of = find_sources(selected)
    names = dict(
        selected.drop_duplicates("variant").set_index("variant")[SOURCES_COLUMN].map(_name_combination)
    )
    means = summarize_by(selected, ["variant"])
    orders = {"variant": list(sources_of), "metric": list(ABLATION_METRICS)}
    means = style.order_rows(means, orders)
    means = means.assign(part=COMBINATION, name=means["variant"].map(names), role="", p_holm=np.nan)
    worth = compare_sources(selected, sources_of)
    worth = worth[worth["effect_size"] == ALL].rename(columns={"difference": "mean", "source": "name"})
    summary = pd.concat([means, worth.assign(part=WORTH)], ignore_index=True)
    summary = summary.assign(
        study=selected["study"].iloc[0],
        split=selected["split"].iloc[0],
        is_different=summary["p_holm"].astype(float) < LEVEL,
    )
    return summary[
        [
            *("study", "split", "part", "name", "role", "metric", "mean", "low", "high"),
            *("n_perturbations", "n_seeds", "p_holm", "is_different"),
        ]
    ]


def plot_priors(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw the means of all combinations above, and what each source adds below, a column for each metric.

    Raises:
        InputError: Every value is NaN.
    """
    summary = style.drawable(summary)
    metrics = [metric for metric in ABLATION_METRICS if (summary["metric"] == metric).any()]
    combinations, worth = (summary[summary["part"] == part] for part in (COMBINATION, WORTH))
    names = list(dict.fromkeys(combinations["name"]))
    sources = list(dict.fromkeys(worth["name"]))
    heights = [len(names) + 1.0, *([1.6 * len(sources) + 1.0] if sources else [])]
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (len(heights), len(metrics)),
            panel_height=0.25 + _ROW_HEIGHT * sum(heights) / len(heights),
            title=f"Sources of prior knowledge: {style.data_phrase(summary)}",
            caption=(
                f"Above: mean over perturbations (n={style.count(combinations['n_perturbations'])}), each "
                "averaged over seeds, of the model with the sources named. Below: what a source adds, the "
                "mean paired difference between with and without it, alone (beside no other source) and "
                "beside all other sources that the model reads with it. Filled: "
                f"{mark_caption('0', SOURCES)} Lines: {style.interval_caption(combinations)} "
                f"↑{style.NO_BREAK}higher is better."
            ),
            legend=_legend_handles() if sources else (),
            sharey="row",
            gridspec_kw={"height_ratios": heights},
        )
        for column, metric in enumerate(metrics):
            label = find_metric(metric).directed_label
            _draw_combinations(panels[0, column], combinations[combinations["metric"] == metric], names)
            panels[0, column].set_xlabel(label)
            if sources:
                _draw_worth(panels[1, column], worth[worth["metric"] == metric], sources)
                panels[1, column].set_xlabel(f"difference in {find_metric(metric).label}")
        figure.align_labels()
    return figure


def _name_combination(sources: str) -> str:
    return sources.replace(SEPARATOR, " + ") or "none"


def _draw_combinations(axes: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    places = [names.index(name) for name in rows["name"]]
    axes.hlines(places, rows["low"], rows["high"], color=style.OTHER_COLOUR, linewidth=1.4)
    axes.plot(rows["mean"], places, "o", color=style.OTHER_COLOUR, markersize=4.5)
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the recipe's first on top
    axes.set_xlim(style.value_range(rows))
    _finish(axes)


def _draw_worth(axes: Axes, rows: pd.DataFrame, sources: list[str]) -> None:
    axes.axvline(0, color=style.REFERENCE_COLOUR, linewidth=0.8, dashes=(3, 2), zorder=1)
    for role, look in _ROLES.items():
        of_role = rows[rows["role"] == role]
        places = [sources.index(name) + look["offset"] for name in of_role["name"]]
        axes.hlines(places, of_role["low"], of_role["high"], color=look["color"], linewidth=1.4)
        for place, mean, is_different in zip(places, of_role["mean"], of_role["is_different"], strict=True):
            fill = look["color"] if is_different else "white"
            axes.plot(mean, place, look["marker"], color=look["color"], markerfacecolor=fill, markersize=4.5)
    axes.set_yticks(np.arange(len(sources)), sources)
    axes.set_ylim(len(sources) - 0.4, -0.6)
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(axis="x")
    style.finish_axes(axes)


def _legend_handles() -> list[Line2D]:
    return [
        Line2D([], [], color=look["color"], marker=look["marker"], markersize=4, label=role)
        for role, look in _ROLES.items()
    ]
