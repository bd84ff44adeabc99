"""Parallel coordinates of a search: a line a trial, an axis each field that varied."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.transforms import ScaledTranslation

from adapert.errors import InputError
from adapert.statistics.two_level import FloatArray
from analysis.fields import field_label, varied_fields
from analysis.figures import search
from analysis.figures.page import SCREEN, SMALL_FONT_SIZE, Style, StyledFigure, build_figure
from analysis.figures.scales import build_scale

_IDENTITY = ["study", "number", "status", "epoch", "objective", "is_best"]
_N_STEPS = 24
_GUTTER_POINTS = 26.0


def summarize_parallel(trials: pd.DataFrame) -> pd.DataFrame:
    """Keep what differs between the trials of a search.

    Returns:
        study, number, status, epoch, objective, is_best and the varied fields, the paper's six
        hyperparameters first; the best trial last.

    Raises:
        InputError: No trial has an objective, or fewer than two fields vary.
    """
    known = search.with_objective(trials)
    fields = varied_fields(known)
    if len(fields) < 2:
        raise InputError(
            f"Parallel coordinates need two fields in which trials differ, but those of study "
            f"'{known['study'].iloc[0]}' differ in {len(fields)}. Look at its slices."
        )
    return known[[*_IDENTITY, *fields]].sort_values(["objective", "number"], ignore_index=True)


def plot_parallel(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a line for each trial through its values of the fields.

    Returns:
        A figure, an upright axis for each field.
    """
    fields = [str(column) for column in summary.columns if column not in _IDENTITY]
    heights = np.column_stack([build_scale(summary[field]).positions(summary[field]) for field in fields])
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, 1),
            panel_height=3.0,
            title=f"Parallel coordinates: {search.trials_phrase(summary)}",
            caption=_CAPTION,
        )
        axes = panels[0, 0]
        _draw_lines(axes, summary, heights)
        _draw_gutters(axes, len(fields))
        axes.vlines(range(len(fields)), 0, 1, color="0.3", linewidth=0.8, zorder=3)
        for place, field in enumerate(fields):
            for height, text in build_scale(summary[field]).ticks():
                axes.hlines(height, place - 0.05, place, color="0.3", linewidth=0.8, zorder=3)
                axes.annotate(
                    text, (place, height), xytext=(-5, 0), textcoords="offset points", ha="right",
                    va="center", size=SMALL_FONT_SIZE, zorder=4,
                )  # fmt: skip
        axes.set_xticks(range(len(fields)), [field_label(field).replace(" ", "\n") for field in fields])
        axes.set_xlim(-0.4, len(fields) - 0.7)
        axes.set_ylim(-0.04, 1.04)
        axes.tick_params(axis="x", length=0, pad=5)
        axes.yaxis.set_visible(False)
        axes.spines[:].set_visible(False)
        search.draw_colourbar(figure, search.objective_scale(_shown(summary)), [axes])
    return figure


def _shown(summary: pd.DataFrame) -> pd.DataFrame:
    """The finished trials, or all where none is."""
    is_finished = summary["status"] == search.FINISHED
    return summary[is_finished] if is_finished.any() else summary


def _draw_lines(axes: Axes, summary: pd.DataFrame, heights: FloatArray) -> None:
    is_finished = (summary["status"] == search.FINISHED).to_numpy()
    curves = [_curve(row) for row in heights]
    stopped = [curve for curve, ended in zip(curves, is_finished, strict=True) if not ended]
    axes.add_collection(LineCollection(stopped, colors=search.FAINT, linewidths=0.5, alpha=0.6))
    coloured = LineCollection(
        [curve for curve, ended in zip(curves, is_finished, strict=True) if ended],
        linewidths=1.0, alpha=0.85, cmap=search.colour_map(), norm=search.objective_scale(_shown(summary)),
    )  # fmt: skip
    coloured.set_array(summary.loc[is_finished, "objective"].to_numpy())
    axes.add_collection(coloured)
    best = [curve for curve, first in zip(curves, summary["is_best"], strict=True) if first]
    axes.add_collection(LineCollection(best, colors=[search.BEST_COLOUR], linewidths=2.2, zorder=2.8))


def _draw_gutters(axes: Axes, n_fields: int) -> None:
    """Fade the lines left of each axis, where its labels stand: no line is cut, and labels can be read."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    left = ScaledTranslation(-_GUTTER_POINTS / 2 / 72, 0, figure.dpi_scale_trans)
    axes.vlines(
        range(1, n_fields), 0, 1, color="white", alpha=0.55, linewidth=_GUTTER_POINTS, zorder=2.5,
        transform=axes.transData + left, capstyle="butt",
    )  # fmt: skip


def _curve(heights: FloatArray) -> FloatArray:
    """Join heights by arcs that leave and meet each axis at a right angle, so that crossings stay legible."""
    steps = np.linspace(0, 1, _N_STEPS, endpoint=False)
    ease = steps * steps * (3 - 2 * steps)
    legs = heights[:-1, None] + np.diff(heights)[:, None] * ease
    places = np.arange(len(heights) - 1)[:, None] + steps
    ends = [len(heights) - 1, heights[-1]]
    return np.vstack([np.column_stack([places.ravel(), legs.ravel()]), ends])


_CAPTION = (
    "A line is a trial; it crosses each upright axis at its value of that field. "
    "Coloured: finished trials by their objective. Thick: the best. "
    "Grey: trials that ended before their time."
)
