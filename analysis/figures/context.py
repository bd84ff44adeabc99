"""The context of one perturbation: the genes that a model selected for it, and the network among them."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D

from adapert.errors import format_count
from adapert.seeding import numpy_generator
from analysis.figures.page import FONT_SIZE, SCREEN, SMALL_FONT_SIZE, Style, StyledFigure, build_figure
from analysis.figures.style import INK, UNMEASURED_COLOUR

MOST_GENES = 25
"""Context genes that a picture has room for."""

_SIZES = 60.0, 420.0
"""Areas of the least and the most relevant gene's dot, points squared."""

_HEIGHT = 4.2
"""Of the picture without its words, inches."""

_ONE_RING = 12
"""Context genes that have room on one ring."""


def summarize_context(contexts: pd.DataFrame, deltas: pd.DataFrame, perturbation: str) -> pd.DataFrame:
    """Choose the genes of a picture: the perturbed ones, and the `MOST_GENES` most relevant selected ones.

    Args:
        contexts: perturbation, gene, is_perturbed, is_selected, alpha, weight (`adapert.prediction`).
        deltas: Predicted, a row a perturbation and a column a gene.
        perturbation: The one to show.

    Returns:
        perturbation, gene, is_perturbed, relevance (alpha, or the weight where the model has no alpha),
        predicted_delta (NaN where a gene was not measured), and n_selected, the context genes that there
        are, repeated. Perturbed genes first, then by falling relevance.
    """
    rows = contexts[(contexts["perturbation"] == perturbation) & contexts["is_selected"].astype(bool)]
    relevance = rows["alpha"].astype(float).fillna(rows["weight"].astype(float))
    rows = rows.assign(relevance=relevance).sort_values("relevance", ascending=False, kind="stable")
    is_perturbed = rows["is_perturbed"].astype(bool)
    shown = pd.concat([rows[is_perturbed], rows[~is_perturbed].head(MOST_GENES)], ignore_index=True)
    shown["predicted_delta"] = deltas.loc[perturbation].reindex(shown["gene"]).to_numpy(dtype=float)
    shown["n_selected"] = int((~is_perturbed).sum())
    return shown[["perturbation", "gene", "is_perturbed", "relevance", "predicted_delta", "n_selected"]]


def plot_context(
    nodes: pd.DataFrame, edges: pd.DataFrame, units: str, figure_style: Style = SCREEN
) -> StyledFigure:
    """Draw the genes of a context: perturbed ones in the middle, the others around them.

    Args:
        nodes: From `summarize_context`.
        edges: source, target: the model's network; edges between other genes are left out.
        units: Units of the deltas.
        figure_style: What the picture is drawn for.

    Returns:
        A figure: dots grow with relevance, and are coloured by predicted delta. Without a context
        gene it says so below the perturbed ones.
    """
    names = list(nodes["gene"])
    among = edges[edges["source"].isin(names) & edges["target"].isin(names)]
    place = place_genes(nodes, among)
    bound = float(np.nanmax(np.abs(nodes["predicted_delta"]), initial=0.0)) or 1.0
    n_selected, n_shown = int(nodes["n_selected"].iloc[0]), int((~nodes["is_perturbed"].astype(bool)).sum())
    selected = format_count(n_selected, "gene") if n_selected else "no genes"
    which = f", {n_shown} most relevant shown" if n_shown < n_selected else ""
    grey = " Grey: not measured." if nodes["predicted_delta"].isna().any() else ""
    title = f"Context of {nodes['perturbation'].iloc[0]}: {selected} selected{which}"
    area = " Area: relevance (alpha)." if n_selected else ""
    caption = f"Thick rim: perturbed.{area} Lines: the model's network.{grey}"
    with figure_style.applied():
        figure, panels = build_figure(figure_style, (1, 1), _HEIGHT, title, caption)
        axes = panels[0, 0]
        for ends in zip(among["source"], among["target"], strict=True):
            axes.plot(
                *zip(*(place[gene] for gene in ends), strict=True), color="0.72", linewidth=0.7, zorder=1
            )
        colours = ScalarMappable(Normalize(-bound, bound), "RdBu_r")
        _draw_nodes(axes, nodes, place, colours)
        bar = figure.colorbar(colours, ax=axes, shrink=0.5, aspect=28, pad=0.02)
        bar.set_label(f"predicted delta ({units})")
        bar.outline.set_visible(False)
        if n_selected:
            _draw_size_legend(axes, nodes)
        else:
            axes.text(0, -0.55, "The model selected no context gene.", ha="center", size=FONT_SIZE)
    return figure


def place_genes(nodes: pd.DataFrame, edges: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Place genes: perturbed ones near (0, 0), the others on rings, neighbours in the network side by side.

    Args:
        nodes: gene, is_perturbed.
        edges: source, target, among them.

    Returns:
        Gene to its place, within the unit circle.
    """
    is_perturbed = nodes["is_perturbed"].astype(bool)
    inner, outer = list(nodes.loc[is_perturbed, "gene"]), list(nodes.loc[~is_perturbed, "gene"])
    ordered = _side_by_side(outer, edges)
    # Many alternate between two rings, so that names have room; an odd number leaves one place free.
    radii = (1.0, 0.68) if len(ordered) > _ONE_RING else (0.85, 0.85)
    n_places = max(len(ordered) + len(ordered) % 2, 1)
    place = {}
    for number, gene in enumerate(ordered):
        angle, radius = np.pi / 2 + 2 * np.pi * number / n_places, radii[number % 2]
        place[gene] = (radius * np.cos(angle), radius * np.sin(angle))
    spread = 0.0 if len(inner) == 1 else 0.2
    turns = 2 * np.pi * np.arange(len(inner)) / max(len(inner), 1)
    own = zip(inner, turns, strict=True)
    return place | {gene: (-spread * np.cos(turn), -spread * np.sin(turn)) for gene, turn in own}


def _side_by_side(genes: list[str], edges: pd.DataFrame) -> list[str]:
    """Order genes on a circle so that connected ones are near each other, by swaps that shorten edges."""
    at = {gene: number for number, gene in enumerate(genes)}
    ends = zip(edges["source"], edges["target"], strict=True)
    known = [(at[source], at[target]) for source, target in ends if source in at and target in at]
    pairs = np.array(known, dtype=np.int64).reshape(-1, 2)
    position = np.arange(len(genes))

    def length(position: np.ndarray[Any, Any]) -> float:
        apart = np.abs(position[pairs[:, 0]] - position[pairs[:, 1]])
        return float(np.minimum(apart, len(genes) - apart).sum())

    # A stream of its own: the same context is always the same picture.
    generator = numpy_generator(0, "places in a picture")
    shortest = length(position)
    for first, second in generator.integers(len(genes), size=(2000, 2)) if len(pairs) else ():
        swapped = position.copy()
        swapped[[first, second]] = position[[second, first]]
        if (tried := length(swapped)) < shortest:
            position, shortest = swapped, tried
    return [genes[number] for number in np.argsort(position)]


def _draw_nodes(
    axes: Axes, nodes: pd.DataFrame, place: dict[str, tuple[float, float]], colours: ScalarMappable
) -> None:
    xy = np.array([place[gene] for gene in nodes["gene"]])
    is_perturbed = nodes["is_perturbed"].to_numpy(dtype=bool)
    fills = [
        UNMEASURED_COLOUR if np.isnan(v) else tuple(colours.to_rgba(v)) for v in nodes["predicted_delta"]
    ]
    areas = _areas(nodes)
    axes.scatter(
        xy[:, 0],
        xy[:, 1],
        s=areas,
        c=fills,
        edgecolors=[INK] * len(nodes),
        linewidths=[1.8 if is_own else 0.5 for is_own in is_perturbed],
        zorder=2,
    )
    for (x, y), gene, is_own, area in zip(xy, nodes["gene"], is_perturbed, areas, strict=True):
        axes.annotate(
            gene,
            (x, y),
            xytext=(0, -(np.sqrt(area / np.pi) + 2)),  # below the dot
            textcoords="offset points",
            ha="center",
            va="top",
            size=FONT_SIZE if is_own else SMALL_FONT_SIZE,
            weight="bold" if is_own else "normal",
            zorder=3,
            bbox={"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )
    axes.set(xlim=(-1.2, 1.2), ylim=(-1.25, 1.15))
    axes.set_axis_off()


def _draw_size_legend(axes: Axes, nodes: pd.DataFrame) -> None:
    """Show the dots of the most relevant context gene, of the least that is drawn, and of one between."""
    relevance = nodes.loc[~nodes["is_perturbed"].astype(bool), "relevance"].astype(float)
    highest, lowest = float(relevance.max()), float(relevance.min())
    shown = dict.fromkeys([highest, (highest + lowest) / 2, lowest])
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", markersize=np.sqrt(_area(value, highest)), color="white",
            markeredgecolor=INK, markeredgewidth=0.5, label=f"{value:.2g}",
        )
        for value in shown
    ]  # fmt: skip
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0.02), ncols=3, title="relevance",
        frameon=False, alignment="left", title_fontsize=SMALL_FONT_SIZE, handletextpad=0.9,
        columnspacing=1.8, handleheight=3.6,
    )  # fmt: skip


def _area(relevance: Any, highest: float) -> Any:
    """Area of a dot, points squared: linear in relevance."""
    least, most = _SIZES
    return least + (most - least) * (relevance / highest if highest else 1.0)


def _areas(nodes: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Areas of dots: linear in a context gene's relevance; perturbed genes, always selected, are alike."""
    relevance = nodes["relevance"].to_numpy(dtype=float)
    is_perturbed = nodes["is_perturbed"].to_numpy(dtype=bool)
    highest = float(relevance[~is_perturbed].max(initial=0.0))
    return np.where(is_perturbed, _SIZES[1], _area(relevance, highest))
