"""How a search went, trial by trial: the objective, the best so far, and the epochs that each trial had."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.figures import search
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure
from analysis.figures.style import finish_axes

_COLUMNS = ["study", "number", "status", "reason", "epoch", "objective"]
_FINISHED_COLOUR = (0.0, 0.45, 0.7)
_TOP_SHARE = 2.2


def summarize_history(trials: pd.DataFrame) -> pd.DataFrame:
    """Follow a search trial by trial.

    Returns:
        study, number, status, reason, epoch, objective, is_best and best_so_far (the best objective of the
        finished trials up to this one, NaN before the first); trials without an objective are left out.

    Raises:
        InputError: No trial has an objective.
    """
    history = search.with_objective(trials[_COLUMNS].sort_values("number"))
    finished = history["objective"].where(history["status"] == search.FINISHED)
    # A running maximum skips NaN but leaves it there: trials that were stopped carry the last one on.
    return history.assign(best_so_far=finished.cummax().ffill())


def plot_history(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw the objective by trial above, and below it the epochs that each trial was given.

    Returns:
        A figure; both panels share the axis of trial numbers.
    """
    rungs = search.rungs(summary)
    dashed = " Dashed: rungs, where the scheduler compares trials and stops the weaker." if rungs else ""
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (2, 1),
            panel_height=1.55,
            span="column",
            title=f"History: {search.trials_phrase(summary)}",
            caption=(
                "Above: each trial's objective, its best epoch's validation Pearson-delta over all "
                "perturbations. Filled: finished. Hollow: ended before its time, so its value is of fewer "
                f"epochs. Line: best finished trial so far.{search.outside_phrase(summary)} "
                f"Below: epochs each trial was trained for.{dashed}"
            ),
            sharex=True,
            height_ratios=[_TOP_SHARE, 1],
        )
        _draw_objective(panels[0, 0], summary)
        _draw_epochs(panels[1, 0], summary, rungs)
        figure.align_ylabels()
    return figure


def _draw_objective(axes: Axes, summary: pd.DataFrame) -> None:
    others, finished, best = search.split_by_end(summary)
    axes.step(
        summary["number"], summary["best_so_far"], where="post", color=search.BEST_COLOUR, linewidth=1.3
    )
    axes.plot(
        others["number"], others["objective"], "o", color=search.FAINT, markerfacecolor="white", markersize=4
    )
    axes.plot(finished["number"], finished["objective"], "o", color=_FINISHED_COLOUR, markersize=4)
    axes.plot(best["number"], best["objective"], "o", color=search.BEST_COLOUR, markersize=6.5)
    for trial in best.itertuples():
        axes.annotate(
            f"trial {trial.number}: {trial.objective:.3f}",
            (float(trial.number), float(trial.objective)),  # type: ignore[arg-type]
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            va="bottom",
            color=search.BEST_COLOUR,
        )
    axes.set_ylabel(search.OBJECTIVE_LABEL)
    low, high = search.objective_range(summary)
    search.draw_outside(axes, others["number"], others["objective"], low)
    axes.set_ylim(low, high + 0.08 * (high - low))
    axes.grid(axis="y")
    finish_axes(axes)


def _draw_epochs(axes: Axes, summary: pd.DataFrame, rungs: list[int]) -> None:
    others, finished, _ = search.split_by_end(summary)
    looks = ((others, search.FAINT, "white"), (finished, _FINISHED_COLOUR, _FINISHED_COLOUR))
    for rows, colour, fill in looks:
        axes.vlines(rows["number"], 0, rows["epoch"], color=colour, linewidth=1)
        axes.plot(rows["number"], rows["epoch"], "o", color=colour, markerfacecolor=fill, markersize=3)
    for rung in rungs:
        axes.axhline(rung, color="0.5", linewidth=0.7, dashes=(3, 2), zorder=1)
        axes.annotate(
            f"rung {rung}", (1, rung), xycoords=("axes fraction", "data"), xytext=(3, 0),
            textcoords="offset points", va="center", color="0.4",
        )  # fmt: skip
    axes.set_ylabel("epochs")
    axes.set_ylim(0, 1.08 * float(summary["epoch"].max()))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.set_xlabel("trial")
    axes.set_xlim(0, float(summary["number"].max()) + 1)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    finish_axes(axes)
