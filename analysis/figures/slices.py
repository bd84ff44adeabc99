"""Slices of a search: the objective against each field that varied."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from adapert.errors import InputError
from analysis.figures.fields import build_scale, field_label, varied_fields
from analysis.figures.style import build_figure, finish_axes, paper_style
from analysis.figures.trials import (
    BEST_COLOUR,
    FAINT,
    FINISHED,
    OBJECTIVE_LABEL,
    colour_map,
    draw_colourbar,
    draw_outside,
    objective_range,
    outside_phrase,
    trials_phrase,
    with_objective,
)

_IDENTITY = ["study", "number", "status", "epoch", "objective", "is_best"]
_N_COLUMNS = 3
_SPREAD = 0.1
_GOLDEN = 0.618


def summarize_slices(trials: pd.DataFrame) -> pd.DataFrame:
    """Stack the fields in which trials differ.

    Args:
        trials: From `load_search`.

    Returns:
        study, number, status, epoch, objective, is_best, field, value (of the field's own type) and position
        on the field's axis, 0 to 1 (`build_scale`); the six knobs first.

    Raises:
        InputError: No trial has an objective, or no field varies.
    """
    known = with_objective(trials)
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


def plot_slices(summary: pd.DataFrame) -> Figure:
    """Draw a panel for each field: the objective against its values.

    Args:
        summary: From `summarize_slices`.

    Returns:
        A figure 7 in wide; all panels share the axis of the objective.
    """
    fields = list(dict.fromkeys(summary["field"]))
    n_columns = min(_N_COLUMNS, len(fields))
    n_rows = -(-len(fields) // n_columns)
    order = Normalize(float(summary["number"].min()), float(summary["number"].max()))
    with paper_style():
        figure, panels = build_figure(
            (n_rows, n_columns),
            panel_height=1.45,
            title=f"Slices: {trials_phrase(summary)}",
            caption=_caption(summary),
            sharey=True,
        )
        low, high = objective_range(summary)
        for axes, field in zip(panels.flat, fields, strict=False):
            _draw_slice(axes, summary[summary["field"] == field], order, low)
        for axes in panels.flat[len(fields) :]:
            axes.set_visible(False)
        for axes in panels[:, 0]:
            axes.set_ylabel("Pearson-delta ↑")
        panels[0, 0].set_ylim(low, high)
        draw_colourbar(figure, order, list(panels.flat), "trial", extend="neither")
    return figure


def _draw_slice(axes: Axes, rows: pd.DataFrame, order: Normalize, low: float) -> None:
    scale = build_scale(rows["value"].infer_objects())
    if scale.kind == "choices":
        rows = rows.assign(position=rows["position"] + _sideways(rows["number"]))
    is_finished = rows["status"] == FINISHED
    others, finished, best = rows[~is_finished], rows[is_finished], rows[rows["is_best"]]
    axes.plot(
        others["position"], others["objective"], "o", color=FAINT, markerfacecolor="none", markersize=3,
        markeredgewidth=0.7,
    )  # fmt: skip
    axes.scatter(
        finished["position"], finished["objective"], c=finished["number"], cmap=colour_map(), norm=order,
        s=14, linewidths=0.3, edgecolors="white",
    )  # fmt: skip
    axes.plot(
        best["position"], best["objective"], "o", markersize=7, markerfacecolor="none",
        markeredgecolor=BEST_COLOUR, markeredgewidth=1.5,
    )  # fmt: skip
    draw_outside(axes, others["position"], others["objective"], low)
    ticks = scale.ticks()
    axes.set_xticks([position for position, _ in ticks], [text for _, text in ticks])
    axes.set_xlim(-0.08, 1.08)
    axes.set_xlabel(field_label(str(rows["field"].iloc[0])))
    axes.grid(axis="y")
    finish_axes(axes)


def _sideways(number: pd.Series) -> pd.Series:
    """Spread the trials of a choice apart: multiples of the golden ratio fill a range evenly."""
    return (number * _GOLDEN % 1 - 0.5) * _SPREAD


def _caption(summary: pd.DataFrame) -> str:
    return (
        f"A dot is a trial, placed by its value of a field and its {OBJECTIVE_LABEL.removesuffix(' ↑')}. "
        "Filled: finished, darker the later it was tried. Hollow: ended before its time. Ringed: the best."
        f"{outside_phrase(summary.drop_duplicates('number'))} "
        "Other fields differ between trials, too: what looks like an effect of one may be another's."
    )
