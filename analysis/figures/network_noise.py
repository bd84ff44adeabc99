"""What noise in the network costs each system: metrics against the share of edges kept, added, rewired."""

import textwrap
from collections.abc import Sequence
from itertools import cycle
from typing import Any, TypeAlias

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import summarize_by
from adapert.statistics.pairs import ALL, model_of
from adapert.statistics.questions import NOISE, UNDISTURBED, compare_noise, read_noise
from analysis.figures import style
from analysis.figures.marks import add_paired, mark_caption
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure
from analysis.figures.prediction import model_label

NOISE_METRICS = ("pearson_delta", "pds", "l2_top_1000")
"""The last is APP's; tables of responses do not have it."""

Look: TypeAlias = tuple[style.Colour, str]
"""Colour and marker of a system."""

_LABEL_WIDTH = 22
_MARGIN = 0.08
_DODGE_POINTS = 3.0
_MARKERS = ("o", "s", "^", "D", "v")


def summarize_network_noise(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the long table by system and dose of noise, over all perturbations.

    Args:
        frame: The long table of one study and one split, its variants called by `name_noise`.

    Returns:
        study, split, effect_size (``all``), system, noise, fraction, variant, metric, the estimates of
        `summarize_by`, and the comparison with the same system on the network as it is of `add_paired`. The
        network as it is has a row for each kind of noise that its system was tried with.

    Raises:
        InputError: The frame has none of the figure's metrics, or a variant of another name.
    """
    selected = style.select_metrics(frame, NOISE_METRICS)
    summary = summarize_by(selected, ["study", "split", "variant"]).assign(effect_size=ALL)
    summary = add_paired(summary, compare_noise(selected).assign(effect_size=ALL))
    doses = pd.DataFrame(
        [read_noise(variant) for variant in summary["variant"]], index=summary.index
    )  # system, noise, fraction
    laid_out = pd.concat([summary, doses], axis="columns")
    is_dosed = laid_out["noise"] != ""
    as_it_is = laid_out[~is_dosed].drop(columns=["noise", "fraction"])
    tried = laid_out.loc[is_dosed, ["system", "noise"]].drop_duplicates()
    tried = tried.assign(fraction=tried["noise"].map(UNDISTURBED))
    rows = pd.concat([as_it_is.merge(tried, on="system"), laid_out[is_dosed]], ignore_index=True)
    orders: dict[str, Sequence[Any]] = {
        "metric": NOISE_METRICS,
        "system": list(dict.fromkeys(read_noise(variant).system for variant in frame["variant"])),
        "noise": list(UNDISTURBED),
        "fraction": sorted(set(rows["fraction"])),
    }
    first = ["study", "split", "effect_size", "system", "noise", "fraction", "variant", "metric"]
    return style.order_rows(rows, orders)[[*first, *rows.columns.difference(first, sort=False)]]


def plot_network_noise(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a row of panels for each metric, a column for each kind of noise, a line for each system.

    Returns:
        A figure; the network as it is stands left, and noise grows to the right.

    Raises:
        InputError: Every value is NaN.
    """
    summary = style.drawable(summary)
    metrics = style.present(NOISE_METRICS, summary["metric"])
    noises = style.present(dict(UNDISTURBED), summary["noise"])
    systems = list(dict.fromkeys(summary["system"]))
    colours, markers = style.model_colours(map(model_of, systems)), cycle(_MARKERS)
    looks = {system: (colours[model_of(system)], next(markers)) for system in systems}
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (len(metrics), len(noises)),
            panel_height=1.6,
            title=f"Noise in the network: {style.data_phrase(summary)}",
            caption=(
                "Points: mean over perturbations "
                f"(n={style.count(summary['n_perturbations'])}), each averaged over seeds; systems are "
                "set apart sideways for legibility. Filled: "
                f"{mark_caption('the same system on the network as it is', NOISE)} Bars: "
                f"{style.interval_caption(summary)} ↑{style.NO_BREAK}higher is better, "
                f"↓{style.NO_BREAK}lower is better."
            ),
            legend=_legend_handles(looks),
            sharey="row",
        )
        for row, metric in enumerate(metrics):
            of_metric = summary[summary["metric"] == metric]
            for column, noise in enumerate(noises):
                axes = panels[row, column]
                _draw_panel(axes, of_metric[of_metric["noise"] == noise], looks)
                _scale_fraction(axes, noise, of_metric.loc[of_metric["noise"] == noise, "fraction"])
            panels[row, 0].set_ylim(style.value_range(of_metric))
            label = textwrap.fill(find_metric(metric).directed_label, _LABEL_WIDTH)
            panels[row, 0].set_ylabel(label)
        for column, noise in enumerate(noises):
            panels[-1, column].set_xlabel(f"share of edges {noise}")
        figure.align_labels()
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, looks: dict[str, Look]) -> None:
    figure = axes.get_figure(root=True)
    assert figure is not None
    for index, (system, (colour, marker)) in enumerate(looks.items()):
        line = rows[rows["system"] == system]
        # The shift is in points, so that the lines' data stay the fractions and no interval hides another.
        inches = _DODGE_POINTS * (index - (len(looks) - 1) / 2) / 72
        shifted = axes.transData + ScaledTranslation(inches, 0, figure.dpi_scale_trans)
        look: dict[str, Any] = {"color": colour, "transform": shifted}
        axes.vlines(line["fraction"], line["low"], line["high"], linewidth=0.9, alpha=0.75, **look)
        axes.plot(line["fraction"], line["mean"], linewidth=1.2, label=system, **look)
        for is_different, fill in ((True, colour), (False, "white")):
            points = line[line["is_different"] == is_different]
            axes.plot(points["fraction"], points["mean"], marker, markerfacecolor=fill, markersize=4, **look)
    axes.grid(axis="y")
    style.finish_axes(axes)


def _scale_fraction(axes: Axes, noise: str, fractions: pd.Series) -> None:
    ticks = sorted(set(fractions))
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    margin = _MARGIN * (ticks[-1] - ticks[0] or 1)
    ends = (ticks[0] - margin, ticks[-1] + margin)
    axes.set_xlim(ends if UNDISTURBED[noise] == ticks[0] else ends[::-1])


def _legend_handles(looks: dict[str, Look]) -> list[Line2D]:
    return [
        Line2D([], [], color=colour, marker=marker, markersize=4, label=model_label(system))
        for system, (colour, marker) in looks.items()
    ]
