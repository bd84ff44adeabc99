"""How good a config each system's search finds after so many trials: do the trials suffice?"""

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from adapert.statistics.expected_best import expected_best
from analysis.figures import search, style
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure
from analysis.figures.prediction import model_label


def summarize_expected_best(trials: pd.DataFrame) -> pd.DataFrame:
    """Expect the best validation score after so many trials, system by system.

    Args:
        trials: From `analysis.leaderboard.load.load_searches`; seeds of one config are averaged.

    Returns:
        system, n_trials (1, 2, ...), expected_best, and of the system's first trial, the published config,
        first (NaN where it has no score). Trials without a score are left out; one that was stopped counts
        with the best that it had reached.

    Raises:
        InputError: No trial has an objective.
    """
    known = search.with_objective(trials)
    fields = [str(name) for name in known.columns if "." in str(name) and name != "data.path"]
    rows = []
    for system, of_system in known.groupby("system", sort=False):
        by_config = of_system.groupby(fields, sort=False, dropna=False)["objective"].mean()
        first = trials[(trials["system"] == system) & (trials["number"] == 1)]["objective"]
        rows += [
            (system, n, value, float(first.iloc[0]) if len(first) else float("nan"))
            for n, value in enumerate(expected_best(by_config.to_numpy()), start=1)
        ]
    return pd.DataFrame(rows, columns=["system", "n_trials", "expected_best", "first"])


def plot_expected_best(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a curve a system; its first trial, the published config, is a hollow dot at 1."""
    colours = style.model_colours(summary["system"])
    systems = list(dict.fromkeys(summary["system"]))
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, 1),
            panel_height=2.4,
            span="column",
            legend=[
                Line2D([], [], color=colours[system], linewidth=1.4, label=model_label(system))
                for system in systems
            ],
            title="Best validation score to be expected after so many trials",
            caption=(
                "Exact mean of the best of n of a search's trials over all subsets of them, as if they had "
                "come in any order; a sampler that learns from earlier trials puts its better ones last. "
                "Trials that were stopped early count with what they had reached. A curve that still rises "
                "at its end has not had enough trials. Hollow: the published config, tried first."
            ),
        )
        axes = panels[0, 0]
        for system in systems:
            colour = colours[system]
            rows = summary[summary["system"] == system]
            axes.plot(rows["n_trials"], rows["expected_best"], color=colour, linewidth=1.4)
            axes.plot(1, rows["first"].iloc[0], "o", color=colour, markerfacecolor="white", markersize=4.5)
        axes.set_xlabel("trials")
        axes.set_ylabel(search.OBJECTIVE_LABEL)
        axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
        axes.grid(axis="y")
        style.finish_axes(axes)
    return figure
