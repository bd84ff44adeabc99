"""Figure 6: how strongly all genes, and the DEGs, are expressed in control and perturbed cells (App. A.1)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import IntArray
from adapert.errors import InputError
from analysis.dataset import name_dataset
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure
from analysis.figures.style import INK, finish_axes

ALL_CELLS = "all cells"
"""In place of a cell line's name where the data name none."""

GENE_SETS = ("all genes", "DEGs")

CONTROL_CELLS, PERTURBED_CELLS = "control", "perturbed"

_LINE_SEPARATOR = " / "
_N_BINS = 40
_BAR_LOOKS: dict[str, dict[str, Any]] = {
    CONTROL_CELLS: {"color": "0.55", "histtype": "stepfilled", "alpha": 0.6, "linewidth": 0},
    PERTURBED_CELLS: {"color": INK, "histtype": "step", "linewidth": 1.2},
}
_DATA_SHARE = 0.72  # of a panel's height; the legend lies above
_MEAN_LOOK: dict[str, Any] = {"linewidth": 1.1, "dashes": (4, 2)}
_MEDIAN_LOOK: dict[str, Any] = {"linewidth": 1.1, "dashes": (1, 1.2)}


def summarize_expression(dataset: PreparedDataset) -> pd.DataFrame:
    """List the mean expression of each gene in control and in perturbed cells, by cell line.

    Args:
        dataset: Prepared from cells; its perturbed cells and DEGs are those of the splits that it was read
            with.

    Returns:
        dataset, cell_line, cells (`CONTROL_CELLS` or `PERTURBED_CELLS`), gene_set (of `GENE_SETS`), gene,
        expression (log1p units) and n_perturbations (of the cell line, whose DEGs count). A gene that is a
        DEG of any perturbation is in both sets.

    Raises:
        InputError: The data were prepared from responses, which have no expression.
    """
    if dataset.manifest.kind != "cells":
        raise InputError(
            "Distributions of expression need cells, but this data set was prepared from responses. "
            "Leave this figure out, or prepare the cells."
        )
    parts = [_summarize_line(dataset, name, batches) for name, batches in _cell_lines(dataset)]
    return pd.concat(parts, ignore_index=True)


def plot_expression(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a row of histograms a cell line, all genes left and DEGs right, with means and medians.

    Returns:
        A figure; all panels share the expression axis. A set without a gene has an empty panel.
    """
    cell_lines = list(dict.fromkeys(summary["cell_line"]))
    bins = np.histogram_bin_edges(summary["expression"], bins=_N_BINS)
    counts = summary.groupby("cell_line", sort=False)["n_perturbations"].first()
    of_lines = ", ".join(f"{n:,}{'' if line == ALL_CELLS else f' in {line}'}" for line, n in counts.items())
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (len(cell_lines), 2),
            panel_height=1.75,
            title=f"Expression in control and perturbed cells: {summary['dataset'].iloc[0]}",
            caption=(
                "A gene's expression is its mean over control cells (filled), or over the cells of all "
                "perturbations (outline), of log1p-transformed counts. Dashed: mean; dotted: median. DEGs: "
                f"differentially expressed in at least one of the perturbations ({of_lines}); the more these "
                "are, the nearer the DEGs come to all genes."
            ),
            sharex=True,
        )
        for row, cell_line in zip(panels, cell_lines, strict=True):
            of_line = summary[summary["cell_line"] == cell_line]
            for axes, gene_set in zip(row, GENE_SETS, strict=True):
                _draw_panel(axes, of_line[of_line["gene_set"] == gene_set], list(bins))
                prefix = "" if cell_line == ALL_CELLS else f"{cell_line}: "
                n_genes = of_line.loc[of_line["gene_set"] == gene_set, "gene"].nunique()
                axes.set_title(f"{prefix}{gene_set} (n={n_genes:,})", loc="left")
        for axes in panels[-1]:
            axes.set_xlabel("mean expression (log1p units)")
    return figure


def _draw_panel(axes: Axes, genes: pd.DataFrame, bins: list[float]) -> None:
    for cells, look in _BAR_LOOKS.items():
        values = genes.loc[genes["cells"] == cells, "expression"]
        if values.empty:
            continue
        label = f"{cells}: mean {values.mean():.2f}, median {values.median():.2f}"
        axes.hist(values, bins=bins, label=label, **look)
        axes.axvline(float(values.mean()), ymax=_DATA_SHARE, color=look["color"], **_MEAN_LOOK)
        axes.axvline(float(values.median()), ymax=_DATA_SHARE, color=look["color"], **_MEDIAN_LOOK)
    axes.set_ylabel("genes")
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_ylim(0, axes.dataLim.y1 / _DATA_SHARE if len(genes) else 1)
    if len(genes):
        axes.legend(loc="upper right", frameon=False)
    finish_axes(axes)


def _cell_lines(dataset: PreparedDataset) -> Iterator[tuple[str, IntArray]]:
    """Yield each cell line's name and its matching groups; all groups together where no line is named."""
    batches = dataset.shared.batches
    if dataset.manifest.choices.cell_line_column is None:
        yield ALL_CELLS, np.arange(len(batches))
        return
    lines = np.array([name.split(_LINE_SEPARATOR)[0] for name in batches.tolist()])
    for line in dict.fromkeys(lines.tolist()):
        yield line, np.flatnonzero(lines == line)


def _summarize_line(dataset: PreparedDataset, cell_line: str, batches: IntArray) -> pd.DataFrame:
    cells = dataset.control_cells
    rows = np.flatnonzero(np.isin(cells.batch_index, batches))
    if len(rows):  # over cells, not over matching groups
        control_mean = cells.expression(dataset.n_genes)[rows].mean(axis=0)
    else:  # a cell line whose controls are those of others
        control_mean = dataset.shared.batch_control_mean[batches].mean(axis=0)
    is_deg, n_perturbations = np.zeros(dataset.n_genes, dtype=bool), 0
    perturbed_sum, n_cells = np.zeros(dataset.n_genes), 0
    for split in dataset.splits.values():
        table = split.table
        is_here = np.isin(table.group_batch_index, batches)
        of_line = np.unique(table.group_perturbation_index[is_here])
        is_deg |= np.asarray(table.deg_mask[of_line]).any(axis=0)
        n_perturbations += len(of_line)
        perturbed_sum += table.group_n_cells[is_here] @ np.asarray(table.group_mean[is_here], np.float64)
        n_cells += int(table.group_n_cells[is_here].sum())
    means = {CONTROL_CELLS: np.asarray(control_mean, np.float64).ravel()}
    if n_cells:
        means[PERTURBED_CELLS] = perturbed_sum / n_cells
    parts = [
        pd.DataFrame({"gene": dataset.gene_names, "expression": mean})[mask].assign(
            cells=cells, gene_set=gene_set
        )
        for cells, mean in means.items()
        for gene_set, mask in zip(GENE_SETS, (np.ones(dataset.n_genes, dtype=bool), is_deg), strict=True)
    ]
    described = pd.concat(parts).assign(
        dataset=name_dataset(dataset), cell_line=cell_line, n_perturbations=n_perturbations
    )
    columns = ["dataset", "cell_line", "cells", "gene_set", "gene", "expression", "n_perturbations"]
    return described[columns]
