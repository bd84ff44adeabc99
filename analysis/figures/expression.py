"""Figure 6: how strongly all genes, and the DEGs among them, are expressed in control cells (App. A.1)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import IntArray
from adapert.errors import InputError
from analysis.dataset import name_dataset
from analysis.figures.style import build_figure, finish_axes, palette, paper_style

ALL_CELLS = "all cells"
"""In place of a cell line's name where the data name none."""

GENE_SETS = ("all genes", "DEGs")

_LINE_SEPARATOR = " / "
_N_BINS = 40
_COLOURS = (0, 1)  # of the palette
_MEAN_LOOK: dict[str, Any] = {"color": "0.1", "linewidth": 1.1, "dashes": (4, 2)}
_MEDIAN_LOOK: dict[str, Any] = {"color": "0.1", "linewidth": 1.1, "dashes": (1, 1.2)}


def summarize_expression(dataset: PreparedDataset) -> pd.DataFrame:
    """List the mean expression of each gene in control cells, by cell line.

    Args:
        dataset: Prepared from cells; its DEGs are those of the splits that it was read with.

    Returns:
        dataset, cell_line, gene_set (of `GENE_SETS`), gene, expression (log1p units) and n_perturbations
        (of the cell line, whose DEGs count). A gene that is a DEG of any perturbation has two rows.

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


def plot_expression(summary: pd.DataFrame) -> Figure:
    """Draw a row of histograms a cell line, all genes left and DEGs right, with mean and median.

    Returns:
        A figure 7 in wide; all panels share the expression axis. A set without a gene has an empty panel.
    """
    cell_lines = list(dict.fromkeys(summary["cell_line"]))
    bins = np.histogram_bin_edges(summary["expression"], bins=_N_BINS)
    counts = summary.groupby("cell_line", sort=False)["n_perturbations"].first()
    of_lines = ", ".join(f"{n:,}{'' if line == ALL_CELLS else f' in {line}'}" for line, n in counts.items())
    with paper_style():
        figure, panels = build_figure(
            (len(cell_lines), 2),
            panel_height=1.75,
            title=f"Expression in control cells: {summary['dataset'].iloc[0]}",
            caption=(
                "A gene's expression is its mean over control cells of log1p-transformed, size-normalised "
                "counts. DEGs: differentially expressed in at least one of the perturbations "
                f"({of_lines}); the more these are, the nearer the DEGs come to all genes."
            ),
            sharex=True,
        )
        for row, cell_line in zip(panels, cell_lines, strict=True):
            of_line = summary[summary["cell_line"] == cell_line]
            for axes, gene_set, colour in zip(row, GENE_SETS, _COLOURS, strict=True):
                values = of_line.loc[of_line["gene_set"] == gene_set, "expression"].to_numpy()
                axes.hist(values, bins=list(bins), color=palette(2)[colour], alpha=0.65, linewidth=0)
                axes.set_ylabel("genes")
                axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
                axes.set_ylim(bottom=0, top=None if len(values) else 1)
                if len(values):
                    axes.axvline(values.mean(), label=f"mean {values.mean():.2f}", **_MEAN_LOOK)
                    median = float(np.median(values))
                    axes.axvline(median, label=f"median {median:.2f}", **_MEDIAN_LOOK)
                    axes.legend(loc="upper right", frameon=False)
                finish_axes(axes)
                of_line_only = "" if cell_line == ALL_CELLS else f"{cell_line}: "
                axes.set_title(f"{of_line_only}{gene_set} (n={len(values):,})", loc="left")
        for axes in panels[-1]:
            axes.set_xlabel("mean expression in controls (log1p units)")
    return figure


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
    for split in dataset.splits.values():
        is_here = np.isin(split.table.group_batch_index, batches)
        of_line = np.unique(split.table.group_perturbation_index[is_here])
        is_deg |= np.asarray(split.table.deg_mask[of_line]).any(axis=0)
        n_perturbations += len(of_line)
    genes = pd.DataFrame(
        {"gene": dataset.gene_names, "expression": np.asarray(control_mean, np.float64).ravel()}
    )
    sets = zip(GENE_SETS, (np.ones(len(genes), dtype=bool), is_deg), strict=True)
    both = pd.concat([genes[mask].assign(gene_set=gene_set) for gene_set, mask in sets])
    described = both.assign(
        dataset=name_dataset(dataset), cell_line=cell_line, n_perturbations=n_perturbations
    )
    return described[["dataset", "cell_line", "gene_set", "gene", "expression", "n_perturbations"]]
