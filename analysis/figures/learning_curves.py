"""Learning curves of a search: validation Pearson-delta by epoch, one line a trial."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator

from adapert.statistics.two_level import FloatArray
from analysis.figures import search
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure
from analysis.figures.style import finish_axes

_COLUMNS = ["study", "number", "status", "reason", "objective", "epoch", "value"]
_LOWEST_SHOWN = 0.02


def summarize_learning_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Put the curves of a search's trials in order.

    Returns:
        study, number, status, reason, objective, epoch, value and is_best (the trial is the best finished
        one); sorted by number and epoch, without trials that have no objective.

    Raises:
        InputError: No trial has an objective.
    """
    ordered = curves[_COLUMNS].sort_values(["number", "epoch"])
    known = search.with_objective(ordered)
    best = known.loc[known["is_best"], "number"]
    return known.assign(is_best=known["number"].isin(best))


def plot_learning_curves(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw validation Pearson-delta by epoch, the best trial on top of all others."""
    best = summary.loc[summary["is_best"], "number"]
    thick = f" Thick: trial {best.iloc[0]}, the best; its dot is its best epoch." if len(best) else ""
    rungs = search.rungs(_last_epochs(summary))
    dashed = " Dashed: rungs, where the scheduler compares trials." if rungs else ""
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, 1),
            panel_height=2.7,
            span="column",
            title=f"Learning curves: {search.trials_phrase(summary)}",
            caption=(
                "Validation Pearson-delta, mean over perturbations, at every epoch. Coloured: finished "
                f"trials. Grey, with a hollow end: trials that ended before their time.{thick}{dashed} "
                f"The axis leaves out the lowest {_LOWEST_SHOWN:.0%} of the values."
            ),
        )
        axes = panels[0, 0]
        _draw_curves(axes, summary)
        for rung in rungs:
            axes.axvline(rung, color="0.5", linewidth=0.7, dashes=(3, 2), zorder=1)
            axes.annotate(
                f"rung {rung}", (rung, 0), xycoords=("data", "axes fraction"), xytext=(2, 2),
                textcoords="offset points", color="0.4",
            )  # fmt: skip
        axes.set_xlabel("epoch")
        axes.set_ylabel(search.OBJECTIVE_LABEL)
        axes.set_xlim(float(summary["epoch"].min()), float(summary["epoch"].max()) + 0.5)
        # The depths of a few first epochs and lost trials would leave no room for the rest.
        low, high = float(summary["value"].quantile(_LOWEST_SHOWN)), float(summary["value"].max())
        margin = 0.05 * (high - low) or 0.02
        axes.set_ylim(low - margin, high + margin)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.grid(axis="y")
        finish_axes(axes)
        if (summary["status"] == search.FINISHED).any():
            search.draw_colourbar(
                figure, search.objective_scale(_finished(summary)), [axes], "objective (best epoch)"
            )
    return figure


def _draw_curves(axes: Axes, summary: pd.DataFrame) -> None:
    others = summary[(summary["status"] != search.FINISHED)]
    axes.add_collection(LineCollection(_lines(others), colors=search.FAINT, linewidths=0.7, alpha=0.8))
    ends = _last_epochs(others)
    axes.plot(ends["epoch"], ends["value"], "o", color=search.FAINT, markerfacecolor="white", markersize=3)
    # By ascending objective, so that the best lie on top.
    finished = _finished(summary).sort_values(["objective", "number", "epoch"])
    if len(finished):
        objective = finished.groupby(["objective", "number"], sort=True).first().reset_index()["objective"]
        lines = LineCollection(_lines(finished), linewidths=0.9, cmap=search.colour_map())
        lines.set_array(objective.to_numpy())
        lines.set_norm(search.objective_scale(finished))
        axes.add_collection(lines)
    best = summary[summary["is_best"]]
    axes.plot(best["epoch"], best["value"], color=search.BEST_COLOUR, linewidth=2)
    top = best.nlargest(1, "value")
    search.plot_whole(axes, top["epoch"], top["value"], marker="o", color=search.BEST_COLOUR, markersize=6)


def _finished(summary: pd.DataFrame) -> pd.DataFrame:
    return summary[summary["status"] == search.FINISHED]


def _last_epochs(summary: pd.DataFrame) -> pd.DataFrame:
    return summary.groupby("number").tail(1)


def _lines(summary: pd.DataFrame) -> list[FloatArray]:
    """Cut rows where another trial begins: of many trials much faster than grouping them."""
    begins = np.flatnonzero(np.diff(summary["number"])) + 1
    return np.split(summary[["epoch", "value"]].to_numpy(), begins) if len(summary) else []
