"""The leaderboard as a figure: every system's metrics with intervals, as published and tuned."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from adapert.evaluation.catalogue import find_metric
from adapert.statistics.pairs import ALL
from adapert.study.plan.peers import DEFAULT
from analysis.figures import style
from analysis.figures.page import SCREEN, SMALL_FONT_SIZE, Style, StyledFigure, build_figure
from analysis.figures.prediction import model_label
from analysis.leaderboard.reads import GROUPS

DRAWN_METRICS = ("pearson_delta", "pds", "rank_overlap_at_50")


def plot_leaderboard(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a row a system and a panel a metric: filled dots as tuned, hollow ones as published.

    Args:
        summary: From `analysis.leaderboard.summary.summarize_leaderboard`; all effect sizes together are
            drawn.
        figure_style: What it is drawn for.

    Raises:
        InputError: Every value is NaN.
    """
    summary = style.drawable(summary[summary["effect_size"] == ALL])
    metrics = style.present(DRAWN_METRICS, summary.loc[summary["metric"].isin(DRAWN_METRICS), "metric"])
    systems = summary.drop_duplicates("system").set_index("system")["group"]
    drawn = summary[summary["metric"].isin(metrics)]
    default = " Hollow: as published, before the search." if (drawn["form"] == DEFAULT).any() else ""
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, len(metrics)),
            panel_height=0.5 + 0.24 * len(systems),
            title=f"Systems after equal searches: {_phrase(drawn)}",
            caption=(
                "By what they read of a gene that was never perturbed in training (further embeddings such "
                "as another screen, several networks, one network, text alone, nothing), and within that by "
                f"Pearson-delta. Filled: the picked config, or the only one.{default} Dots: mean over "
                "perturbations, each averaged over seeds and "
                f"splits. Lines: {style.interval_caption(drawn)} ↑{style.NO_BREAK}higher is better."
            ),
            sharey=True,
        )
        for axes, metric in zip(panels[0], metrics, strict=True):
            _draw_panel(axes, drawn[drawn["metric"] == metric], list(systems.index))
            axes.set_xlabel(find_metric(metric).directed_label)
        _separate_groups(panels[0], list(systems))
        panels[0, 0].set_yticks(range(len(systems)), [model_label(name) for name in systems.index])
        panels[0, 0].set_ylim(len(systems) - 0.4, -0.6)
    return figure


def _phrase(summary: pd.DataFrame) -> str:
    study, split = summary["study"].iloc[0], summary["split"].iloc[0]
    return f"study '{study}', {split} perturbations, {style.count(summary['n_seeds'], 'fit')} each"


def _draw_panel(axes: Axes, estimates: pd.DataFrame, systems: list[str]) -> None:
    colours = style.model_colours(systems)
    for (is_default, system), rows in estimates.groupby([estimates["form"] == DEFAULT, "system"]):
        # Below the tuned one, so that intervals do not hide each other.
        heights = [systems.index(str(system)) + (0.22 if is_default else 0.0)] * len(rows)
        colour = colours[str(system)]
        axes.hlines(heights, rows["low"], rows["high"], color=colour, linewidth=1.0 if is_default else 1.4)
        axes.plot(
            rows["mean"], heights, "o", color=colour, markerfacecolor="white" if is_default else colour,
            markersize=3.5 if is_default else 4.5,
        )  # fmt: skip
    axes.set_xlim(style.value_range(estimates))
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(axis="x")
    style.finish_axes(axes)


def _separate_groups(panels: "list[Axes]", groups: list[str]) -> None:
    """Draw a line between the groups, and name each at its right."""
    for group in GROUPS:
        if group not in groups:
            continue
        first = groups.index(group)
        for axes in panels if first else ():
            axes.axhline(first - 0.5, color=style.REFERENCE_COLOUR, linewidth=0.6)
        panels[-1].text(
            1.02, first + (groups.count(group) - 1) / 2, f"reads\n{group}", va="center",
            transform=panels[-1].get_yaxis_transform(), size=SMALL_FONT_SIZE, color=style.QUIET_COLOUR,
        )  # fmt: skip
