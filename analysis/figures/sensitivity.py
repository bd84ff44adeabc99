"""Figure 5: how the weight of the non-DEG loss acts on small, medium and large effects (Sec. 5.5)."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from adapert.data.schema import EFFECT_SIZES
from adapert.errors import InputError
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import summarize_by
from adapert.statistics.questions import WEIGHTS, compare_weights, name_weight
from adapert.statistics.readings import LETTER, MEAN_AND_SUM, READINGS, split_readings
from analysis.figures import style
from analysis.figures.marks import add_paired, mark_caption
from analysis.figures.overlap import OVERLAPS, choose_overlap, overlap_caption
from analysis.figures.page import SCREEN, SMALL_FONT_SIZE, Style, StyledFigure, build_grid
from analysis.figures.scales import power_text

SENSITIVITY_METRICS = ("pearson_delta", *OVERLAPS, "pds", "mse")

Look: TypeAlias = tuple[style.Colour, str]
"""Colour and marker of an effect-size group."""

_MARKERS = ("o", "s", "^", "D", "v")
_BEST_MARKER: dict[str, Any] = {
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgecolor": "black",
    "markeredgewidth": 0.9,
}
_DOT: dict[str, Any] = {"markersize": 4, "markeredgewidth": 0.9}
_EDGE = 1.5
_DODGE_POINTS = 3.0
_ZERO_GAP_DECADES = 0.8
_LAMBDA_LABEL = r"$\lambda_{\mathrm{non}}$"
_READING_TITLES = {
    MEAN_AND_SUM: "Eq. 15 a mean over genes, Eq. 16 a sum",
    LETTER: "Eq. 15 and 16 both sums, to the letter",
}


def summarize_sensitivity(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the long table by reading of the loss, effect size and weight of the non-DEG loss.

    Args:
        frame: The long table of one study and one split, with lambda_non and non_deg_reduction.

    Returns:
        study, split, reading (`READINGS`), effect_size, lambda_non, metric, the estimates of `summarize_by`,
        is_best: whether the group's mean of that metric is best there (of equals, at the smallest
        lambda_non), and the comparison with the smallest lambda_non, by rights 0, of `add_paired`. Trials
        without the loss are in both readings.

    Raises:
        InputError: The frame has none of the figure's metrics, or a run without its lambda_non.
    """
    selected = choose_overlap(style.select_metrics(frame, SENSITIVITY_METRICS))
    if selected["lambda_non"].isna().any():
        run = selected.loc[selected["lambda_non"].isna(), "run"].iloc[0]
        raise InputError(
            f"The figure needs each run's parameter 'loss.lambda_non', but run '{run}' has none."
        )
    parts = [
        _summarize_reading(rows).assign(reading=reading) for reading, rows in split_readings(selected).items()
    ]
    summary = pd.concat(parts, ignore_index=True)
    keys = ["study", "split", "reading"]
    return summary[[*keys, *(column for column in summary if column not in keys)]]


def _summarize_reading(selected: pd.DataFrame) -> pd.DataFrame:
    summary = summarize_by(selected, ["study", "split", "effect_size", "lambda_non"])
    orders = {
        "metric": SENSITIVITY_METRICS,
        "effect_size": style.present(EFFECT_SIZES, summary["effect_size"]),
        "lambda_non": sorted(set(summary["lambda_non"])),
    }
    summary = style.order_rows(summary, orders)
    gain = summary["metric"].map(lambda metric: find_metric(metric).gain)
    score = (gain * summary["mean"]).astype(float)
    by_group = [summary["effect_size"], summary["metric"]]
    is_top = score == score.groupby(by_group).transform("max")
    # Rows are sorted by lambda_non: the first of equals is the weakest weight that does as well.
    is_best = is_top & (is_top.groupby(by_group).cumsum() == 1)
    summary = summary.assign(is_best=is_best, variant=summary["lambda_non"].map(name_weight))
    return add_paired(summary, compare_weights(selected)).drop(columns="variant")


def plot_sensitivity(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a panel for each metric: its mean against lambda_non, a line for each effect-size group.

    Returns:
        A figure; lambda_non on a logarithmic axis, with 0 left of a break. Two readings of the loss
        stand beside each other, a metric in a row on one axis.

    Raises:
        InputError: Every value is NaN.
    """
    summary = style.drawable(summary)
    metrics = style.present(SENSITIVITY_METRICS, summary["metric"])
    readings = style.present(tuple(READINGS.values()), summary["reading"])
    is_compared = len(readings) > 1
    groups = style.present(EFFECT_SIZES, summary["effect_size"])
    # A group has the same colour and marker in every panel and every study.
    order = [*EFFECT_SIZES, *(group for group in groups if group not in EFFECT_SIZES)]
    markers = dict(zip(order, cycle(_MARKERS), strict=False))
    looks = {
        group: (style.EFFECT_SIZE_COLOURS.get(group, style.OTHER_COLOUR), markers[group]) for group in groups
    }
    lambdas = summary["lambda_non"]
    reference = f"{_LAMBDA_LABEL} = {_lambda_text(float(lambdas.min()))}"
    has_break = (lambdas == 0).any() and (lambdas > 0).any()
    gap = " The axis is logarithmic, with 0 left of the break." if has_break else ""
    scale = (
        f" A weight of the left column is as strong as one N{style.NO_BREAK}times larger of the right, for "
        f"N{style.NO_BREAK}genes; weight{style.NO_BREAK}0 is the same in both."
        if is_compared
        else f" Loss: {_READING_TITLES[readings[0]]}."
    )
    panels_of = [(metric, reading) for metric in metrics for reading in readings]
    with figure_style.applied():
        figure, panels = build_grid(
            figure_style,
            len(panels_of),
            n_columns=2,
            panel_height=1.5 if is_compared else 1.9,
            title=f"Sensitivity to {_LAMBDA_LABEL} by effect size: {style.data_phrase(summary)}",
            caption=(
                "Points: mean over the perturbations of a group (n), each averaged over seeds; groups are "
                f"set apart sideways for legibility. Filled: {mark_caption(reference, WEIGHTS)} "
                f"Bars: {style.interval_caption(summary)}{gap}{scale} "
                f"↑{style.NO_BREAK}higher is better, ↓{style.NO_BREAK}lower is better."
                f"{overlap_caption(metrics)}"
            ),
            legend=_legend_handles(summary, looks),
        )
        for axes, (metric, reading) in zip(panels, panels_of, strict=True):
            of_metric = summary[summary["metric"] == metric]
            estimates = of_metric[of_metric["reading"] == reading]
            for index, (group, look) in enumerate(looks.items()):
                shift_points = _DODGE_POINTS * (index - (len(looks) - 1) / 2)
                _draw_group(axes, estimates[estimates["effect_size"] == group], look, shift_points)
            _scale_lambda(axes, sorted(set(of_metric["lambda_non"])))
            axes.set_ylim(style.value_range(of_metric))
            axes.grid(axis="y")
            style.finish_axes(axes)
            if reading == readings[0]:
                axes.set_ylabel(find_metric(metric).directed_label)
        for axes, reading in zip(panels, readings if is_compared else (), strict=False):
            axes.set_title(_READING_TITLES[reading])
        for axes in panels[-2:]:
            axes.set_xlabel(_LAMBDA_LABEL)
        figure.align_ylabels()
    return figure


def _draw_group(axes: Axes, rows: pd.DataFrame, look: Look, shift_points: float) -> None:
    colour, marker = look
    figure = axes.get_figure(root=True)
    assert figure is not None
    # The shift is in points, so that the lines' data stay the lambdas and no interval hides another.
    to_inches = ScaledTranslation(shift_points / 72, 0, figure.dpi_scale_trans)
    shifted: dict[str, Any] = {"transform": axes.transData + to_inches, "color": colour}
    positive = rows[rows["lambda_non"] > 0]
    across_break = rows.iloc[: 2 if rows["lambda_non"].min() == 0 else 0]
    axes.vlines(rows["lambda_non"], rows["low"], rows["high"], linewidth=0.9, alpha=0.75, **shifted)
    axes.plot(positive["lambda_non"], positive["mean"], linewidth=1.2, **shifted)
    axes.plot(
        across_break["lambda_non"], across_break["mean"], linewidth=1.0, linestyle=(0, (2, 2)), **shifted
    )
    for is_different, fill in ((True, colour), (False, "white")):
        of_kind = rows[rows["is_different"] == is_different]
        axes.plot(of_kind["lambda_non"], of_kind["mean"], marker, markerfacecolor=fill, **_DOT, **shifted)
    best = rows[rows["is_best"]]
    axes.plot(best["lambda_non"], best["mean"], "o", **_BEST_MARKER, **shifted)


def _scale_lambda(axes: Axes, lambdas: Sequence[float]) -> None:
    """Make the axis logarithmic over the positive weights and put 0, if present, left of a break."""
    positive = [value for value in lambdas if value > 0]
    has_zero = len(positive) < len(lambdas)
    if not positive:
        axes.set_xlim(-1, 1)
    elif has_zero:
        # symlog is linear up to the smallest weight and logarithmic from there: 0 at a fixed distance.
        axes.set_xscale("symlog", linthresh=positive[0], linscale=_ZERO_GAP_DECADES)
        axes.set_xlim(-0.3 * positive[0], positive[-1] * _EDGE)
        look: dict[str, Any] = {"ha": "center", "va": "center", "size": SMALL_FONT_SIZE}
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.2}
        axes.text(positive[0] / 2, 0, "//", transform=axes.get_xaxis_transform(), bbox=box, **look)
    else:
        axes.set_xscale("log")
        axes.set_xlim(positive[0] / _EDGE, positive[-1] * _EDGE)
    ticks = list(positive)
    if positive:
        first, last = np.ceil(np.log10(positive[0]) - 1e-9), np.floor(np.log10(positive[-1]) + 1e-9)
        # Whole decades where there are several inside the range, the weights themselves otherwise.
        ticks = [float(10.0**power) for power in np.arange(first, last + 1)] if last > first else positive
    axes.xaxis.set_major_locator(FixedLocator([0.0] * has_zero + ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _lambda_text(value)))


def _lambda_text(value: float) -> str:
    return power_text(value) if value else "0"


def _legend_handles(summary: pd.DataFrame, looks: dict[str, Look]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4, label=style.group_label(group, summary))
        for group, (colour, marker) in looks.items()
    ]
    handles.append(Line2D([], [], linestyle="", marker="o", label="best of its group", **_BEST_MARKER))
    return handles
