"""Figure 8: how near to the perturbed gene its DEGs lie in the network (App. A.2)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import BoolArray, FloatArray, StringArray
from adapert.errors import InputError, format_count
from adapert.seeding import numpy_generator
from adapert.statistics.estimates import CONFIDENCE, bootstrap_interval
from analysis.dataset import name_dataset
from analysis.figures.prediction import model_label
from analysis.figures.style import build_figure, finish_axes, palette, paper_style
from analysis.predictions import Predictions

GRAPHS = (10, 20)
"""Edges kept into each gene: a panel each."""

MAX_HOPS = 3

DEGS, ALL_GENES = "DEGs", "all genes"

_TOP_GENES = (10, 20)
_MARKERS = ("o", "s", "^", "D", "v")


def summarize_graph_coverage(
    dataset: PreparedDataset,
    predictions: Predictions | None = None,
    variant: str | None = None,
    graphs: Sequence[int] = GRAPHS,
) -> pd.DataFrame:
    """Measure the share of a perturbation's DEGs that lies within 1, 2 and 3 hops of the perturbed gene.

    Hops go along edges in either direction. The perturbed gene itself counts nowhere: it is a DEG nearly
    always, and 0 hops away. `ALL_GENES` is what genes drawn at random would reach on average.

    Args:
        dataset: With the network, and the splits whose DEGs count.
        predictions: An evaluation on this data set; its perturbations and DEGs then replace the
            splits'.
        variant: Model whose genes of largest absolute predicted delta are followed too; none if None.
        graphs: Numbers of edges kept into each gene.

    Returns:
        dataset, graph_top_k, gene_set (`DEGs`, ``"top 10 of VARIANT"``, `ALL_GENES`), n_hops, the mean over
        perturbations, low and high (`bootstrap_interval` of that mean), n_perturbations, and those left
        out of every set: n_isolated, whose genes no edge of this graph touches, and n_without_degs.

    Raises:
        InputError: Predictions of other genes or perturbations than the data set's, or of no such variant.
    """
    perturbations, gene_sets = _gene_sets(dataset, predictions, variant)
    targets = [dataset.perturbed_nodes(name) for name in perturbations.tolist()]
    rows = [row for top_k in graphs for row in _summarize_graph(dataset, top_k, targets, gene_sets)]
    frame = pd.DataFrame(rows)
    frame.insert(0, "dataset", name_dataset(dataset))
    return frame


def plot_graph_coverage(summary: pd.DataFrame) -> Figure:
    """Draw a panel a graph: mean coverage against hops, a line a set of genes.

    Returns:
        A figure 7 in wide; the grey line is what random genes give.

    Raises:
        InputError: No perturbation has both an edge and a DEG.
    """
    if summary["mean"].isna().all():
        raise InputError(
            "The figure needs a perturbation with DEGs whose gene has an edge in the network, but there is "
            "none. Prepare the data with another network, or with --deg-adjust none."
        )
    graphs = list(dict.fromkeys(summary["graph_top_k"]))
    first = summary.iloc[0]
    note = (
        f" Left out at top-{first['graph_top_k']}: {format_count(first['n_isolated'], 'perturbation')} "
        f"without an edge, {first['n_without_degs']} without a DEG."
        if first["n_isolated"] + first["n_without_degs"]
        else ""
    )
    with paper_style():
        figure, panels = build_figure(
            (1, len(graphs)),
            panel_height=2.3,
            title=f"Genes near the perturbed gene: {summary['dataset'].iloc[0]}",
            caption=(
                f"Dots: mean over perturbations; lines: the {CONFIDENCE:.0%} interval of that mean under a "
                "bootstrap of perturbations. Edges lead both ways; the perturbed gene itself is not counted. "
                "The grey line is the share of all measured genes within reach, which is what random genes "
                f"give: a set above it is nearer than chance.{note}"
            ),
            sharey=True,
        )
        for axes, top_k in zip(panels.flat, graphs, strict=True):
            of_graph = summary[summary["graph_top_k"] == top_k]
            _draw_panel(axes, of_graph)
            axes.set_title(
                f"top-{top_k} edges of each gene (n={of_graph['n_perturbations'].max():,})", loc="left"
            )
        panels[0, 0].set_ylim(0, min(1.03, 1.15 * float(summary[["mean", "high"]].max().max())))
        panels[0, 0].set_ylabel("share of genes within reach")
        panels[0, 0].legend(loc="upper left", frameon=False)
    return figure


def hop_distances(shared: SharedTable, top_k: int, targets: Sequence[Sequence[int]]) -> FloatArray:
    """Count the hops from each perturbation's genes to every node of the graph.

    Args:
        shared: Table with the network.
        top_k: Edges kept into each gene.
        targets: Nodes of the genes of each perturbation; of several, the nearest counts.

    Returns:
        (n_perturbations, n_nodes); infinite beyond `MAX_HOPS`.
    """
    from scipy.sparse.csgraph import dijkstra

    is_kept = np.asarray(shared.edge_rank) < top_k
    n_nodes = len(shared.node_names)
    ends = (np.asarray(shared.edge_target)[is_kept], np.asarray(shared.edge_source)[is_kept])
    graph = scipy.sparse.csr_array((np.ones(is_kept.sum()), ends), shape=(n_nodes, n_nodes))
    sources = sorted({node for nodes in targets for node in nodes})
    distance = dijkstra(graph, directed=False, indices=sources, unweighted=True, limit=MAX_HOPS)
    place = {node: row for row, node in enumerate(sources)}
    return np.stack([distance[[place[node] for node in nodes]].min(axis=0) for nodes in targets])


def _gene_sets(
    dataset: PreparedDataset, predictions: Predictions | None, variant: str | None
) -> tuple[StringArray, dict[str, BoolArray]]:
    """Name perturbations, and mark the genes of each set, (n_perturbations, n_genes)."""
    if predictions is None:
        tables = [split.table for split in dataset.splits.values()]
        names = np.concatenate([table.perturbations for table in tables])
        return names, {DEGS: np.concatenate([table.deg_mask for table in tables])}
    if predictions.gene_names.tolist() != dataset.gene_names.tolist():
        raise InputError(
            f"Predictions must be of the data set's {dataset.n_genes:,} genes, but these are of "
            f"{len(predictions.gene_names):,} genes, in another order or of other names. "
            "Name the data set that was evaluated."
        )
    sets = {DEGS: predictions.deg_mask}
    if variant is not None:
        # Each gene's place by size of its predicted delta; of equal ones the first comes first.
        order = np.argsort(-np.abs(predictions.prediction_of(variant)), axis=1, kind="stable")
        place = np.argsort(order, axis=1)
        sets |= {f"top {n} of {model_label(variant)}": place < n for n in _TOP_GENES}
    return predictions.perturbations, sets


def _summarize_graph(
    dataset: PreparedDataset, top_k: int, targets: Sequence[Sequence[int]], gene_sets: dict[str, BoolArray]
) -> list[dict[str, Any]]:
    distance = hop_distances(dataset.shared, top_k, targets)
    genes = distance[:, : dataset.n_genes]
    is_other = genes > 0
    is_joined = (distance == 1).any(axis=1)
    has_degs = (gene_sets[DEGS] & is_other).any(axis=1)
    counts = {"n_isolated": (~is_joined).sum(), "n_without_degs": (is_joined & ~has_degs).sum()}
    rows = []
    for name, mask in (gene_sets | {ALL_GENES: np.ones_like(is_other)}).items():
        members = (mask & is_other)[is_joined & has_degs]
        # The perturbed gene may be the only member: then there is no share.
        n_members = members.sum(axis=1)
        for n_hops in range(1, MAX_HOPS + 1):
            n_near = (members & (genes[is_joined & has_degs] <= n_hops)).sum(axis=1)
            shares = n_near[n_members > 0] / n_members[n_members > 0]
            generator = numpy_generator(0, f"coverage/{top_k}/{name}/{n_hops}")
            interval = bootstrap_interval(shares[None], generator)
            mean = float(shares.mean()) if len(shares) else np.nan
            rows.append(
                {"graph_top_k": top_k, "gene_set": name, "n_hops": n_hops, "mean": mean}
                | {"low": interval.low, "high": interval.high, "n_perturbations": len(shares)}
                | counts
            )
    return rows


def _draw_panel(axes: Axes, summary: pd.DataFrame) -> None:
    names = list(dict.fromkeys(summary["gene_set"]))
    colours = palette(len(names))
    for number, name in enumerate(names):
        rows = summary[summary["gene_set"] == name]
        is_baseline = name == ALL_GENES
        colour: Any = "0.5" if is_baseline else colours[number]
        shift = 0.05 * (number - (len(names) - 1) / 2)
        axes.vlines(rows["n_hops"] + shift, rows["low"], rows["high"], color=colour, linewidth=1.2)
        axes.plot(
            rows["n_hops"] + shift,
            rows["mean"],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            color=colour,
            linestyle="--" if is_baseline else "-",
            linewidth=1.1,
            label="all genes (chance)" if is_baseline else name,
        )
    axes.set_xticks(range(1, MAX_HOPS + 1))
    axes.set_xlim(0.7, MAX_HOPS + 0.3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    axes.set_xlabel("hops from the perturbed gene, at most")
    axes.grid(axis="y")
    finish_axes(axes)
