"""Slices of a search: the objective against each field that varied."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from adapert.errors import InputError
from analysis.fields import field_label, varied_fields
from analysis.figures import search, style
from analysis.figures.page import SCREEN, Style, StyledFigure, build_grid
from analysis.figures.scales import build_scale

_IDENTITY = ["study", "number", "status", "epoch", "objective", "is_best"]
_SPREAD = 0.1
_GOLDEN = 0.618


def summarize_slices(trials: pd.DataFrame) -> pd.DataFrame:
    """Stack the fields in which trials differ.

    Returns:
        study, number, status, epoch, objective, is_best, field, value (of the field's own type) and position
        on the field's axis, 0 to 1 (`build_scale`); the paper's six hyperparameters first.

    Raises:
        InputError: No trial has an objective, or no field varies.
    """
    known = search.with_objective(trials)
    fields = varied_fields(known)
    if not fields:
        raise InputError(
            f"Slices need a field in which trials differ, but those of study '{known['study'].iloc[0]}' are "
            "all alike. Draw them of a search."
        )
    return pd.concat(
        [
            known[_IDENTITY].assign(
                field=field,
                value=known[field].astype(object),
                position=build_scale(known[field]).positions(known[field]),
            )
            for field in fields
        ],
        ignore_index=True,
    )


def plot_slices(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a panel for each field: the objective against its values.

    Returns:
        A figure; all panels share the axis of the objective.
    """
    fields = list(dict.fromkeys(summary["field"]))
    trials = summary.drop_duplicates("number")
    order = Normalize(float(summary["number"].min()), float(summary["number"].max()))
    with figure_style.applied():
        figure, panels = build_grid(
            figure_style,
            len(fields),
            n_columns=3,
            panel_height=1.45,
            title=f"Slices: {search.trials_phrase(summary)}",
            caption=(
                "A dot is a trial, placed by its value of a field and its validation Pearson-delta. "
                "Filled: finished, darker the later it was tried. Hollow: ended before its time. Ringed: the "
                f"best.{search.outside_phrase(trials)} "
                "Other fields differ between trials, too: what looks like an effect of one may be another's."
            ),
            sharey=True,
        )
        low, high = search.objective_range(trials)
        for axes, field in zip(panels, fields, strict=True):
            _draw_slice(axes, summary[summary["field"] == field], order, low)
        for axes in panels[::3]:
            axes.set_ylabel("Pearson-delta ↑")
        panels[0].set_ylim(low, high)
        whole = MaxNLocator(integer=True)
        search.draw_colourbar(figure, order, figure.axes, "trial", extend="neither", ticks=whole)
    return figure


def _draw_slice(axes: Axes, rows: pd.DataFrame, order: Normalize, low: float) -> None:
    scale = build_scale(rows["value"].infer_objects())
    if scale.kind == "choices":
        # Trials of a choice are set apart: multiples of the golden ratio fill a range evenly.
        rows = rows.assign(position=rows["position"] + (rows["number"] * _GOLDEN % 1 - 0.5) * _SPREAD)
    others, finished, best = search.split_by_end(rows)
    hollow: dict[str, Any] = {"markerfacecolor": "none", "marker": "o"}
    shown = others[others["objective"] >= low]
    search.plot_whole(
        axes, shown["position"], shown["objective"], color=search.FAINT, markersize=3, markeredgewidth=0.7,
        **hollow,
    )  # fmt: skip
    axes.scatter(
        finished["position"], finished["objective"], s=14, linewidths=0.3, c=finished["number"],
        cmap=search.colour_map(), norm=order, edgecolors="white",
    )  # fmt: skip
    axes.plot(
        best["position"], best["objective"], markeredgecolor=search.BEST_COLOUR, markeredgewidth=1.5,
        markersize=7, linestyle="none", **hollow,
    )  # fmt: skip
    search.draw_outside(axes, others["position"], others["objective"], low)
    ticks = scale.ticks()
    axes.set_xticks([position for position, _ in ticks], [text for _, text in ticks])
    axes.set_xlim(-0.08, 1.08)
    axes.set_xlabel(field_label(str(rows["field"].iloc[0])))
    axes.grid(axis="y")
    style.finish_axes(axes)
