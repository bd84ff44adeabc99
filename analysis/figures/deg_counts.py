"""Figure 7: how many genes perturbations of small, medium and large effect change (App. A.1)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import EFFECT_SIZES
from adapert.data.units import describe_degs
from adapert.errors import format_count
from analysis.dataset import GROUP_RULES, describe_perturbations, name_dataset
from analysis.figures import style

_N_BINS = 30
_NARROWEST = 10  # DEGs that the histogram shows at least


def summarize_deg_counts(dataset: PreparedDataset) -> pd.DataFrame:
    """Count the DEGs of each perturbation of the splits that the data set was read with.

    Args:
        dataset: By default read without its test split, which then takes no part.

    Returns:
        dataset, effect_size_groups (how groups were made), deg_source (what called DEGs), split,
        perturbation, effect_size, n_degs and n_genes; groups from small to large.
    """
    frame = describe_perturbations(dataset).drop(columns="n_cells")
    frame.insert(0, "dataset", name_dataset(dataset))
    frame.insert(1, "effect_size_groups", dataset.manifest.choices.effect_size_groups)
    frame.insert(2, "deg_source", describe_degs(dataset.manifest))
    groups = style.present(EFFECT_SIZES, frame["effect_size"])
    return style.order_rows(frame, {"effect_size": groups})


def plot_deg_counts(summary: pd.DataFrame) -> Figure:
    """Draw the mean numbers of DEGs and other genes as stacked bars, and the counts as a histogram.

    Returns:
        A figure 7 in wide: bars left, histogram right, groups in the same colours.
    """
    groups = style.present(EFFECT_SIZES, summary["effect_size"])
    shades = style.palette(10)
    # A group has the same colour whichever others there are.
    known = dict(zip(EFFECT_SIZES, (shades[0], shades[1], shades[3]), strict=True))
    colours = [known.get(group, shades[7]) for group in groups]
    splits = " and ".join(dict.fromkeys(summary["split"]))
    rule = GROUP_RULES.get(summary["effect_size_groups"].iloc[0], "")
    with style.paper_style():
        figure, panels = style.build_figure(
            (1, 2),
            panel_height=2.3,
            title=f"DEGs by effect size: {summary['dataset'].iloc[0]}",
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
    axes.bar(positions, n_genes - means, bottom=means, width=0.62, color="0.88", label="other genes")
    for position, mean in zip(positions.tolist(), means, strict=True):
        axes.text(position, mean, f"{mean:,.0f} ({mean / n_genes:.1%})", ha="center", va="bottom", size=7.5)
        axes.text(
            position, (mean + n_genes) / 2, f"{n_genes - mean:,.0f}", ha="center", size=7.5, color="0.35"
        )
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
    axes.legend(loc="upper right", frameon=False)
    style.finish_axes(axes)
