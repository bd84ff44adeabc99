"""Figure 7: how many genes perturbations of small, medium and large change affect (App. A.1)."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from adapert.data.effect_size import effect_size_bounds, group_effect_sizes
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import EFFECT_SIZES
from adapert.data.units import describe_degs, describe_units
from adapert.errors import format_count
from analysis.dataset import describe_perturbations, name_dataset
from analysis.figures import style
from analysis.figures.page import SCREEN, SMALL_FONT_SIZE, Style, StyledFigure, build_figure

_N_BINS = 30
_NARROWEST = 10  # DEGs that the histogram shows at least


def summarize_deg_counts(dataset: PreparedDataset, min_change: float | None = None) -> pd.DataFrame:
    """Count the DEGs of each perturbation of the splits that the data set was read with.

    As in the paper's figure, groups are tertiles of the mean absolute change over genes, not the effect sizes
    of tables, which are by the number of DEGs.

    Args:
        dataset: By default read without its test split, which then takes no part.
        min_change: Count genes whose absolute change is above it, .1 in the paper's figure; None counts the
            data set's DEGs.

    Returns:
        dataset, deg_source (what called DEGs), units (of changes), split, perturbation, effect_size (the
        tertile), mean_change, n_degs and n_genes; groups from small to large.
    """
    frame = describe_perturbations(dataset).drop(columns=["n_cells", "effect_size"])
    deltas = [np.asarray(split.table.delta, np.float64) for split in dataset.splits.values()]
    changes = np.abs(np.concatenate(deltas))
    frame["mean_change"] = changes.mean(axis=1)
    units, source = describe_units(dataset.manifest), describe_degs(dataset.manifest)
    if min_change is not None:
        frame["n_degs"] = (changes > min_change).sum(axis=1)
        source = f"absolute change above {min_change:g} {units}"
    bounds = effect_size_bounds("tertiles", dataset.n_genes, frame["mean_change"].to_numpy())
    frame["effect_size"] = group_effect_sizes(frame["mean_change"].to_numpy(), bounds)
    frame = frame.assign(dataset=name_dataset(dataset), deg_source=source, units=units)
    columns = ["dataset", "deg_source", "units", "split", "perturbation", "effect_size", "mean_change"]
    groups = style.present(EFFECT_SIZES, frame["effect_size"])
    return style.order_rows(frame[[*columns, "n_degs", "n_genes"]], {"effect_size": groups})


def plot_deg_counts(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw the mean numbers of DEGs and other genes as stacked bars, and the counts as a histogram.

    Returns:
        A figure: bars left, histogram right, groups in the same colours.
    """
    groups = style.present(EFFECT_SIZES, summary["effect_size"])
    colours = [style.EFFECT_SIZE_COLOURS.get(group, style.OTHER_COLOUR) for group in groups]
    splits = " and ".join(dict.fromkeys(summary["split"]))
    tops = summary.groupby("effect_size")["mean_change"].max().reindex(groups)[:-1]
    limits = " and ".join(f"{top:.2g}" for top in tops)
    told = f" (up to {limits} {summary['units'].iloc[0]})" if limits else ""
    rule = (
        f"Groups: tertiles of the mean absolute change over genes{told}, as in the paper's figure; elsewhere "
        "they are by the number of DEGs."
    )
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, 2),
            panel_height=2.3,
            legend=[Patch(color=colour, label=group) for group, colour in zip(groups, colours, strict=True)],
            title=f"DEGs by size of change: {summary['dataset'].iloc[0]}",
            caption=(
                f"{format_count(len(summary), 'perturbation')} of {splits}, "
                f"{format_count(summary['n_genes'].iloc[0], 'gene')}. {rule} DEGs: "
                f"{summary['deg_source'].iloc[0]}. Numbers: mean number of genes, and the share of all."
            ),
        )
        _draw_bars(panels[0, 0], summary, groups, colours)
        _draw_histograms(panels[0, 1], summary, groups, colours)
    return figure


def _draw_bars(axes: Axes, summary: pd.DataFrame, groups: list[str], colours: list[style.Colour]) -> None:
    n_genes = int(summary["n_genes"].iloc[0])
    means = summary.groupby("effect_size")["n_degs"].mean().reindex(groups)
    positions = np.arange(len(groups))
    axes.bar(positions, means, width=0.62, color=colours, label="DEGs")
    axes.bar(
        positions,
        n_genes - means,
        bottom=means,
        width=0.62,
        color=style.UNMEASURED_COLOUR,
        label="other genes",
    )
    for position, mean in zip(positions.tolist(), means, strict=True):
        both: dict[str, Any] = {"ha": "center", "size": SMALL_FONT_SIZE}
        axes.text(position, mean, f"{mean:,.0f} ({mean / n_genes:.1%})", va="bottom", **both)
        axes.text(position, (mean + n_genes) / 2, f"{n_genes - mean:,.0f}", va="center", color="0.35", **both)
    counts = summary["effect_size"].value_counts()
    axes.set_xticks(positions, [f"{group}\n(n={counts[group]:,})" for group in groups])
    axes.set_xlim(-0.6, max(len(groups) - 0.4, 1.6))
    axes.set_ylim(0, n_genes)
    axes.set_ylabel("genes, mean")
    axes.set_title("DEGs (coloured) and other genes (grey)", loc="left")
    style.finish_axes(axes)


def _draw_histograms(
    axes: Axes, summary: pd.DataFrame, groups: list[str], colours: list[style.Colour]
) -> None:
    values = [summary.loc[summary["effect_size"] == group, "n_degs"].to_numpy() for group in groups]
    # Bins of one whole width, with their edges between the counts.
    low, high = int(summary["n_degs"].min()), int(summary["n_degs"].max())
    width = max(1, -(-(high - low + 1) // _N_BINS))
    bins = [edge - 0.5 for edge in range(low, high + width + 1, width)]
    axes.hist(values, bins=bins, color=colours, label=groups, stacked=True, linewidth=0)
    axes.set_xlim(right=max(axes.get_xlim()[1], _NARROWEST))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("DEGs of a perturbation")
    axes.set_ylabel("perturbations")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_title("Perturbations by their number of DEGs", loc="left")
    style.finish_axes(axes)
