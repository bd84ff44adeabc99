"""Contours of a search: the objective over pairs of the fields along which it differed most."""

from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from adapert.errors import InputError, format_count
from analysis.fields import field_label, varied_fields
from analysis.figures import search, style
from analysis.figures.page import SCREEN, Style, StyledFigure, build_grid
from analysis.figures.scales import association, build_scale

N_FIELDS = 4
"""Fields that are paired: six panels."""

LEAST_TRIALS = 10
"""Finished trials without which there is no surface to speak of."""

_N_CELLS = 41
_BANDWIDTH = 0.12
_LEAST_WEIGHT = 0.6
_N_LEVELS = 9
_IDENTITY = ["study", "number", "status", "objective", "is_best"]


def summarize_contours(trials: pd.DataFrame) -> pd.DataFrame:
    """Smooth the objective over pairs of fields.

    The surface is the mean of the finished trials' objectives, weighted by a Gaussian kernel of their
    distance on the axes of `build_scale` (its standard deviation is .12 of an axis), on a grid of 41 x 41.

    Paired are the `N_FIELDS` fields of largest `association`, ranges before choices.

    Returns:
        study, x_field, y_field, kind (``"trial"`` or ``"surface"``), x and y (positions on the fields' axes,
        0 to 1), objective; of trials also number, status, is_best, x_value and y_value. The surface is NaN
        where fewer than .6 trials are near, as the kernel counts.

    Raises:
        InputError: No trial has an objective, fewer than `LEAST_TRIALS` are finished, or fewer than two
            fields vary.
    """
    known = search.with_objective(trials)
    finished = known[known["status"] == search.FINISHED]
    fields = varied_fields(known)
    if len(fields) < 2 or len(finished) < LEAST_TRIALS:
        raise InputError(
            f"Contours need two fields in which trials differ and {LEAST_TRIALS} finished trials, but study "
            f"'{known['study'].iloc[0]}' has {format_count(len(fields), 'such field')} and "
            f"{format_count(len(finished), 'finished trial')}. Look at its slices."
        )
    strength = {field: association(finished[field], finished["objective"]) for field in fields}
    # Between choices there is nothing to draw a contour through: ranges come first.
    is_choice = {field: build_scale(known[field]).kind == "choices" for field in fields}
    shown = sorted(fields, key=lambda field: (is_choice[field], -strength[field]))[:N_FIELDS]
    return pd.concat([_summarize_pair(known, x, y) for x, y in combinations(shown, 2)], ignore_index=True)


def plot_contours(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a panel for each pair of fields: the smoothed objective, and the trials on top.

    Returns:
        A figure; all panels share the colours.
    """
    pairs = list(dict.fromkeys(zip(summary["x_field"], summary["y_field"], strict=True)))
    heights = summary.loc[summary["kind"] == "surface", "objective"]
    scale = Normalize(float(heights.quantile(0.05)), float(heights.max()))
    levels = np.linspace(float(scale.vmin or 0), float(scale.vmax or 0), _N_LEVELS)
    trials = summary[summary["kind"] == "trial"]
    with figure_style.applied():
        figure, panels = build_grid(
            figure_style,
            len(pairs),
            n_columns=3,
            panel_height=1.75,
            title=f"Contours: {search.trials_phrase(trials)}",
            caption=_CAPTION,
        )
        for axes, (x, y) in zip(panels, pairs, strict=True):
            of_pair = summary[(summary["x_field"] == x) & (summary["y_field"] == y)]
            surface = of_pair[of_pair["kind"] == "surface"].pivot(index="y", columns="x", values="objective")
            if levels[0] < levels[-1]:
                axes.contourf(
                    surface.columns, surface.index, np.ma.masked_invalid(surface.to_numpy()), levels,
                    cmap=search.colour_map(), norm=scale, extend="min", alpha=0.85,
                )  # fmt: skip
            _draw_trials(axes, of_pair[of_pair["kind"] == "trial"])
        search.draw_colourbar(figure, scale, figure.axes, "mean Pearson-delta ↑")
    return figure


def _summarize_pair(known: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    places = {field: build_scale(known[field]).positions(known[field]) for field in (x, y)}
    trials = known[_IDENTITY].assign(
        kind="trial",
        x=places[x],
        y=places[y],
        x_value=known[x].astype(object),
        y_value=known[y].astype(object),
    )
    is_finished = (known["status"] == search.FINISHED).to_numpy()
    objective = known.loc[is_finished, "objective"].to_numpy(dtype=np.float64)
    cells = np.linspace(0, 1, _N_CELLS)
    # A Gaussian of two coordinates is the product of two, so no (cells, cells, trials) array is made.
    along_x, along_y = (
        np.exp(-(((cells[:, None] - places[field][is_finished]) / _BANDWIDTH) ** 2) / 2) for field in (x, y)
    )
    weights = along_y @ along_x.T
    totals = (along_y * objective) @ along_x.T
    # The bound spares empty cells a warning of numpy's: they are NaN either way.
    means = np.where(weights >= _LEAST_WEIGHT, totals / np.maximum(weights, 1e-300), np.nan)
    grid_x, grid_y = np.meshgrid(cells, cells)
    surface = pd.DataFrame({"x": grid_x.ravel(), "y": grid_y.ravel(), "objective": means.ravel()})
    both = pd.concat([trials, surface.assign(kind="surface", study=known["study"].iloc[0])])
    return both.assign(x_field=x, y_field=y)


def _draw_trials(axes: Axes, trials: pd.DataFrame) -> None:
    others, finished, best = search.split_by_end(trials)
    axes.plot(others["x"], others["y"], "o", color=search.FAINT, markersize=2.5, markerfacecolor="none")
    axes.plot(finished["x"], finished["y"], "o", color="black", markersize=3, markeredgecolor="white",
              markeredgewidth=0.4)  # fmt: skip
    axes.plot(best["x"], best["y"], "o", markersize=6, color=search.BEST_COLOUR, markeredgecolor="white")
    for letter, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        ticks = build_scale(trials[f"{letter}_value"].infer_objects()).ticks()
        axis.set_ticks([position for position, _ in ticks], [text for _, text in ticks])
        axis.set_label_text(field_label(str(trials[f"{letter}_field"].iloc[0])))
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(-0.05, 1.05)
    style.finish_axes(axes)


_CAPTION = (
    "Colour: objective of the finished trials near a point, averaged by a Gaussian kernel of .12 of an axis; "
    "blank where no trial is near. Dots: finished trials; large: the best; hollow: trials that ended before "
    "their time, which the colours leave out. Shown are the ranges along which the finished trials' ranks "
    "differ most, all other fields free: a map of what was tried, not a measure of importance."
)
