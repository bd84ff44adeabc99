"""Figure 8: how near to the perturbed gene its DEGs lie in the network (App. A.2)."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import BoolArray, FloatArray, StringArray
from adapert.errors import InputError, format_count
from adapert.seeding import numpy_generator
from adapert.statistics.estimates import CONFIDENCE, bootstrap_interval
from analysis.dataset import name_dataset
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure
from analysis.figures.prediction import model_label
from analysis.figures.style import DEG_COLOUR, INK, MODEL_COLOURS, OTHER_COLOUR, finish_axes
from analysis.predictions import Predictions

GRAPHS = (10, 20)
"""Edges kept into each gene: a panel each."""

MAX_HOPS = 3

DEGS, HITS, ALL_GENES = "DEGs", "DEGs among these", "all genes"

DEPTHS = (10, 20)
"""Genes of largest predicted change that a model is followed to."""

_TOP = re.compile("^top [0-9]+ of ")


def summarize_graph_coverage(
    dataset: PreparedDataset,
    predictions: Predictions | None = None,
    variant: str | None = None,
    graphs: Sequence[int] = GRAPHS,
) -> pd.DataFrame:
    """Measure the share of a perturbation's DEGs that lies within 1, 2 and 3 hops of the perturbed gene.

    Hops go along edges in either direction. The perturbed gene itself counts nowhere: it is a DEG nearly
    always, and 0 hops away. `ALL_GENES` is what genes drawn at random would reach on average. With a
    model, its genes of largest predicted change, and the DEGs among these, are followed at each of `DEPTHS`.

    Args:
        dataset: With the network, and the splits whose DEGs count.
        predictions: An evaluation on this data set; its perturbations and DEGs then replace the
            splits'.
        variant: Model whose genes of largest absolute predicted delta are followed too, at each of `DEPTHS`;
            none if None.
        graphs: Numbers of edges kept into each gene.

    Returns:
        dataset, graph_top_k, depth (0 without a model), gene_set (`DEGs`, ``"top 10 of VARIANT"``, `HITS`,
        `ALL_GENES`), n_hops, the mean over perturbations, low and high (`bootstrap_interval` of that mean),
        n_perturbations, and those left out of every set: n_isolated, whose genes no edge of this graph
        touches, and n_without_degs.

    Raises:
        InputError: Predictions of other genes or perturbations than the data set's, or of no such variant.
    """
    perturbations, by_depth = _gene_sets(dataset, predictions, variant)
    targets = [dataset.perturbed_nodes(name) for name in perturbations.tolist()]
    rows = []
    for top_k in graphs:
        distance = hop_distances(dataset.shared, top_k, targets)
        for depth, gene_sets in by_depth.items():
            identity = {"graph_top_k": top_k, "depth": depth}
            rows += [identity | row for row in _summarize_reach(distance, gene_sets, f"{top_k}/{depth}")]
    frame = pd.DataFrame(rows)
    frame.insert(0, "dataset", name_dataset(dataset))
    return frame


def plot_graph_coverage(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw mean coverage against hops, a line a set of genes: a row a graph and a column a depth.

    Returns:
        A figure; the grey line is what random genes give. Without a model, a column a graph.

    Raises:
        InputError: No perturbation has both an edge and a DEG.
    """
    if summary["mean"].isna().all():
        raise InputError(
            "The figure needs a perturbation with DEGs whose gene has an edge in the network, but there is "
            "none. Prepare the data with another network, or with --deg-adjust none."
        )
    first = summary.iloc[0]
    note = (
        f" Left out at top-{first['graph_top_k']}: {format_count(first['n_isolated'], 'perturbation')} "
        f"without an edge, {first['n_without_degs']} without a DEG."
        if first["n_isolated"] + first["n_without_degs"]
        else ""
    )
    graphs, depths = (list(dict.fromkeys(summary[column])) for column in ("graph_top_k", "depth"))
    has_depths = depths != [0]
    followed = (
        " Top: the genes of largest predicted change; the DEGs among these count where there are some."
        if has_depths
        else ""
    )
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (len(graphs), len(depths)) if has_depths else (1, len(graphs)),
            panel_height=2.3,
            legend=_legend_handles(summary),
            title=f"Genes near the perturbed gene: {summary['dataset'].iloc[0]}",
            caption=(
                f"Dots: mean over perturbations; lines: the {CONFIDENCE:.0%} interval of that mean under a "
                "bootstrap of perturbations. Edges lead both ways; the perturbed gene itself is not counted. "
                "The grey line is the share of all measured genes within reach, which is what random genes "
                f"give: a set above it is nearer than chance.{followed}{note}"
            ),
            sharex=True,
            sharey=True,
        )
        parts = summary.groupby(["graph_top_k", "depth"], sort=False)
        for axes, ((top_k, depth), part) in zip(panels.flat, parts, strict=True):
            _draw_panel(axes, part)
            genes = f"top {depth} predicted, " if depth else ""
            n = part["n_perturbations"].max()
            axes.set_title(f"{genes}top-{top_k} edges of each gene (n={n:,})", loc="left")
        panels[0, 0].set_ylim(0, min(1.03, 1.15 * float(summary[["mean", "high"]].max().max())))
        for row in panels:
            row[0].set_ylabel("share of genes within reach")
        for axes in panels[-1]:
            axes.set_xlabel("hops from the perturbed gene, at most")
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
) -> tuple[StringArray, dict[int, dict[str, BoolArray]]]:
    """Name perturbations, and mark the genes of each set at each depth, (n_perturbations, n_genes)."""
    if predictions is None:
        tables = [split.table for split in dataset.splits.values()]
        names = np.concatenate([table.perturbations for table in tables])
        return names, {0: {DEGS: np.concatenate([table.deg_mask for table in tables])}}
    if predictions.gene_names.tolist() != dataset.gene_names.tolist():
        raise InputError(
            f"Predictions must be of the data set's {dataset.n_genes:,} genes, but these are of "
            f"{len(predictions.gene_names):,} genes, in another order or of other names. "
            "Name the data set that was evaluated."
        )
    degs = predictions.deg_mask
    if variant is None:
        return predictions.perturbations, {0: {DEGS: degs}}
    # Each gene's place by size of its predicted delta; of equal ones the first comes first.
    order = np.argsort(-np.abs(predictions.prediction_of(variant)), axis=1, kind="stable")
    place = np.argsort(order, axis=1)
    label = model_label(variant)
    return predictions.perturbations, {
        depth: {DEGS: degs, f"top {depth} of {label}": place < depth, HITS: degs & (place < depth)}
        for depth in DEPTHS
    }


def _summarize_reach(
    distance: FloatArray, gene_sets: dict[str, BoolArray], stream: str
) -> list[dict[str, Any]]:
    """Average each set's share within reach; `distance` is from `hop_distances`."""
    genes = distance[:, : gene_sets[DEGS].shape[1]]
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
            generator = numpy_generator(0, f"coverage/{stream}/{name}/{n_hops}")
            interval = bootstrap_interval(shares[None], generator)
            mean = float(shares.mean()) if len(shares) else np.nan
            rows.append(
                {"gene_set": name, "n_hops": n_hops, "mean": mean}
                | {"low": interval.low, "high": interval.high, "n_perturbations": len(shares)}
                | counts
            )
    return rows


def _look(gene_set: str) -> dict[str, Any]:
    """Colour, marker and line of a set of genes, the same at every depth: a model's genes have its colour."""
    if gene_set == ALL_GENES:
        return {"color": "0.5", "marker": "D", "linestyle": "--"}
    if gene_set == DEGS:
        return {"color": DEG_COLOUR, "marker": "o", "linestyle": "-"}
    if gene_set == HITS:
        return {"color": INK, "marker": "^", "linestyle": "-"}
    model = _TOP.sub("", gene_set)
    colours = {model_label(name): colour for name, colour in MODEL_COLOURS.items()}
    return {"color": colours.get(model, OTHER_COLOUR), "marker": "s", "linestyle": "-"}


def _legend_handles(summary: pd.DataFrame) -> list[Line2D]:
    chance = {ALL_GENES: f"{ALL_GENES} (chance)"}
    labels = {chance.get(name, _TOP.sub("top of ", name)): name for name in summary["gene_set"].unique()}
    return [
        Line2D([], [], label=label, markersize=4, linewidth=1.1, **_look(name))
        for label, name in labels.items()
    ]


def _draw_panel(axes: Axes, summary: pd.DataFrame) -> None:
    names = list(dict.fromkeys(summary["gene_set"]))
    for number, name in enumerate(names):
        rows = summary[summary["gene_set"] == name]
        look = _look(name)
        shift = 0.05 * (number - (len(names) - 1) / 2)
        axes.vlines(rows["n_hops"] + shift, rows["low"], rows["high"], color=look["color"], linewidth=1.2)
        axes.plot(rows["n_hops"] + shift, rows["mean"], markersize=4, linewidth=1.1, label=name, **look)
    axes.set_xticks(range(1, MAX_HOPS + 1))
    axes.set_xlim(0.7, MAX_HOPS + 0.3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))
    axes.grid(axis="y")
    finish_axes(axes)
