"""What the figures of a search share: which trials, their words, their colours, the rungs they stopped at."""

from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import Locator
from numpy.typing import ArrayLike

from adapert.errors import InputError, format_count
from adapert.evaluation.catalogue import find_metric
from adapert.records import EndReason, TrialStatus
from analysis.figures.page import SMALL_FONT_SIZE
from analysis.figures.style import NO_BREAK

OBJECTIVE_LABEL = f"validation {find_metric('pearson_delta').directed_label}"

BEST_COLOUR = (0.84, 0.37, 0.0)
"""Colour of the best finished trial in every figure."""

FAINT = "0.72"
"""Colour of trials that were not finished."""

FINISHED, STOPPED = TrialStatus.FINISHED.value, TrialStatus.STOPPED.value

_WORDS = {
    TrialStatus.FINISHED: "finished",
    TrialStatus.STOPPED: "stopped early",
    TrialStatus.FAILED: "failed",
    TrialStatus.INTERRUPTED: "interrupted",
    TrialStatus.RUNNING: "running",
}
_CREST = (
    "#a5cd90", "#94c591", "#84bd91", "#73b590", "#64ad90", "#57a490", "#4c9b90", "#42928f", "#388a8e",
    "#2f818d", "#25788c", "#1e6f8a", "#1c6589", "#1e5b86", "#225182", "#27477d", "#2a3c77", "#2c3172",
)  # fmt: skip
"""Steps of the map that seaborn 0.13 calls "crest"."""
_LOWEST_COLOURED = 0.1
_ROOM_BELOW = 2.0
_ENOUGH = 5
_BAR_ASPECT = 8
_BAR_WIDTH = 0.21


def with_objective(trials: pd.DataFrame) -> pd.DataFrame:
    """Keep the trials that have an objective, and say which finished one is the best.

    Returns:
        `trials` with the column is_best: True once, at the first of equals, or nowhere.

    Raises:
        InputError: None has an objective.
    """
    known = trials[np.isfinite(trials["objective"].astype(float))].reset_index(drop=True)
    if known.empty:
        raise InputError(
            "A figure of a search needs a trial with an objective, but every one is NaN. "
            "Look at the trials' losses with `adapert ui`."
        )
    finished = known.loc[known["status"] == FINISHED, "objective"]
    best = finished.idxmax() if len(finished) else None
    return known.assign(is_best=known.index == best)


def split_by_end(trials: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Split trials into those that ended before their time, the finished ones, and the best of these."""
    is_finished = trials["status"] == FINISHED
    return trials[~is_finished], trials[is_finished], trials[trials["is_best"]]


def trials_phrase(trials: pd.DataFrame) -> str:
    """Say what a figure shows: ``"study 'search', 80 trials (41 finished, 39 stopped early)"``."""
    status = trials.drop_duplicates("number")["status"]
    counts = [f"{(status == end).sum()} {word}" for end, word in _WORDS.items() if (status == end).any()]
    return f"study '{trials['study'].iloc[0]}', {format_count(len(status), 'trial')} ({', '.join(counts)})"


def rungs(trials: pd.DataFrame) -> list[int]:
    """List the epochs at which the scheduler stopped trials; trials tracked without a reason count, too."""
    at_rung = (trials["status"] == STOPPED) & trials["reason"].isin([EndReason.RUNG.value, ""])
    return sorted({int(epoch) for epoch in trials.loc[at_rung, "epoch"].dropna()})


def colour_map() -> Colormap:
    """Map light to dark, so that on white the best are seen first."""
    return LinearSegmentedColormap.from_list("crest", _CREST)


def objective_scale(trials: pd.DataFrame) -> Normalize:
    """Spread colours over the objectives but for their lowest tenth, so that the others are told apart."""
    objective = trials["objective"].astype(float)
    return Normalize(float(objective.quantile(_LOWEST_COLOURED)), float(objective.max()), clip=True)


def draw_colourbar(
    figure: Figure,
    scale: Normalize,
    panels: list[Axes],
    label: str = OBJECTIVE_LABEL,
    extend: Literal["min", "neither"] = "min",
    ticks: Locator | None = None,
) -> None:
    """Put a slim bar of the colours right of the panels."""
    bar = figure.colorbar(
        ScalarMappable(scale, colour_map()),
        ax=panels,
        extend=extend,
        ticks=ticks,
        fraction=_BAR_WIDTH / figure.get_figwidth(),
        pad=0.015,
        aspect=_BAR_ASPECT * figure.get_figheight(),
    )
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL_FONT_SIZE, length=2)
    bar.set_label(label)


def objective_range(trials: pd.DataFrame) -> tuple[float, float]:
    """Span the objectives with a margin.

    Where there are enough finished trials, they get a third of the axis: a trial that was stopped far below
    them lies outside (`draw_outside`), since what is to be seen is how the good ones differ.
    """
    values = trials["objective"].astype(float)
    finished = values[trials["status"] == FINISHED]
    low, high = float(values.min()), float(values.max())
    if len(finished) >= _ENOUGH and finished.min() < finished.max():
        low = max(low, float(finished.min() - _ROOM_BELOW * (finished.max() - finished.min())))
    margin = 0.07 * (high - low) or 0.02
    return low - margin, high + margin


def draw_outside(axes: Axes, places: pd.Series, objective: pd.Series, low: float) -> None:
    """Mark at the lower edge the trials that lie below it."""
    below = objective < low
    plot_whole(
        axes, places[below], np.zeros(int(below.sum())), marker="v", transform=axes.get_xaxis_transform(),
        color=FAINT, markerfacecolor="white", markersize=3.5,
    )  # fmt: skip


def plot_whole(axes: Axes, x: pd.Series, y: ArrayLike, **look: Any) -> None:
    """Plot dots that no edge of the axes cuts, of which there may be none."""
    if len(x):  # a line without extent, not clipped, is one on which the layout would collapse
        axes.plot(x, y, linestyle="none", clip_on=False, **look)


def outside_phrase(trials: pd.DataFrame) -> str:
    """Say how many trials lie below the axis; empty where none does."""
    n_outside = int((trials["objective"] < objective_range(trials)[0]).sum())
    return (
        f" Triangles: {format_count(n_outside, 'trial').replace(' ', NO_BREAK)} below the axis."
        if n_outside
        else ""
    )
