"""Figure 9: enrichment of pathways in predicted against that in observed changes (Sec. 5.6, App. G)."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from adapert.data.formats.gene_sets import GeneSets
from adapert.data.schema import FloatArray
from adapert.errors import InputError, format_count
from analysis.figures import style
from analysis.figures.page import SCREEN, SMALL_FONT_SIZE, Style, StyledFigure, build_figure
from analysis.figures.prediction import model_label
from analysis.pathways import (
    SIGNIFICANT_FDR,
    STATUSES,
    compare_pathways,
    correlate_pathways,
)
from analysis.predictions import Predictions, choose_perturbation, choose_variants

MAX_LABELS = 14

_ONE_SIDED_SHARE = 0.9
_ONE_SIDED_CAPTION = (
    " Nearly all observed NES have one sign, as where the data say only which genes rise: they gather about "
    "1, and r says little."
)

_LABEL_X = 1.06
_LEADER: dict[str, Any] = {
    "arrowstyle": "-",
    "color": style.REFERENCE_COLOUR,
    "linewidth": 0.5,
    "relpos": (0, 0.5),
    "shrinkB": 2,
}
_LABEL_LENGTH = 34
_CAPITAL_WIDTH, _LEADER_WIDTH, _LEGEND_WIDTH = 0.07, 0.3, 1.4
_LABEL_GAP = 0.052
_LABEL_LOWEST = 0.3  # above the legend


def summarize_pathways(
    predictions: Predictions, gene_sets: GeneSets, perturbation: str | None = None
) -> pd.DataFrame:
    """Enrich one perturbation's observed delta and the model's prediction of it (`choose_variants`).

    Args:
        predictions: Predictions of one evaluation.
        gene_sets: From `adapert.data.formats.gene_sets.read_gene_sets`.
        perturbation: The one to show; by default that of `choose_perturbation`, as in Figure 1.

    Returns:
        As `compare_pathways`.

    Raises:
        InputError: No such perturbation, or no set has enough genes.
    """
    model, _ = choose_variants(predictions)
    name = perturbation or choose_perturbation(predictions, model)
    return compare_pathways(predictions, gene_sets, name, [model])


def plot_pathways(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw predicted against observed NES, a dot a pathway, names of those significant in both at its right.

    Returns:
        A figure, with the diagonal and the regression line.

    Raises:
        InputError: No pathway has an NES on both sides.
    """
    known = summary.dropna(subset=["observed_nes", "predicted_nes"])
    if known.empty:
        raise InputError(
            "The figure needs normalised enrichment scores of observed and predicted changes, but no pathway "
            "has both. Use gene sets that share more genes with the data."
        )
    first = known.iloc[0]
    n_both = int((summary["status"] == "both").sum())
    names = f"the {MAX_LABELS} strongest of {n_both}" if n_both > MAX_LABELS else "all"
    observed = summary["observed_nes"].dropna()
    share = float((observed > 0).mean())
    is_one_sided = len(observed) > 1 and not 1 - _ONE_SIDED_SHARE < share < _ONE_SIDED_SHARE
    names_width = _names_width(known[known["status"] == "both"])
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, 2),
            panel_height=3.4,
            title=(
                f"Pathway enrichment, predicted against observed: {first['perturbation']}, "
                f"{model_label(first['variant'])}, evaluation '{first['evaluation']}'"
            ),
            caption=(
                "A dot is a gene set, NES its normalised enrichment score by preranked GSEA (gseapy; genes "
                f"ranked by delta, {summary['n_genes'].min()} to {summary['n_genes'].max()} measured genes a "
                f"set). Named: sets significant in both ({names}). Grey dashes: predicted = observed; blue: "
                "least squares. Sets share genes, so p is smaller than it should be."
                f"{_ONE_SIDED_CAPTION if is_one_sided else ''}"
            ),
            width_ratios=(figure_style.widths["page"] - names_width, names_width),
        )
        panels[0, 1].set_axis_off()
        _draw(panels[0, 0], known)
    return figure


def _draw(axes: Axes, known: pd.DataFrame) -> None:
    scores = correlate_pathways(known)
    axes.axline((0, 0), slope=1, color=style.REFERENCE_COLOUR, linewidth=0.8, dashes=(4, 3), zorder=1)
    for status, colour in zip(STATUSES, style.STATUS_COLOURS, strict=True):
        rows = known[known["status"] == status]
        axes.scatter(
            rows["observed_nes"], rows["predicted_nes"], s=16, color=colour, label=f"{status} ({len(rows)})"
        )
    # Both axes are symmetric and alike, so that the diagonal is one.
    limit = 1.08 * float(known[["observed_nes", "predicted_nes"]].abs().to_numpy().max()) or 1.0
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
    axes.axhline(0, color=style.UNMEASURED_COLOUR, linewidth=0.6, zorder=0)
    axes.axvline(0, color=style.UNMEASURED_COLOUR, linewidth=0.6, zorder=0)
    n = scores["n_pathways"]
    if np.isnan(scores["r"]):
        headline = f"{format_count(n, 'pathway')}; r is undefined"
    else:
        slope, intercept = np.polyfit(known["observed_nes"], known["predicted_nes"], 1)
        axes.axline(
            (0, intercept), slope=slope, color=style.FIT_COLOUR, linewidth=1.0, dashes=(2, 1.5), zorder=1
        )
        p = scores["p_value"]
        p_text = "p < .001" if p < 0.001 else f"p = {p:.3f}".replace("0.", ".")
        headline = f"{n} pathways: r = {scores['r']:.2f}, {p_text}"
    axes.set_title(headline, loc="left")
    axes.set_xlabel("observed NES")
    axes.set_ylabel("predicted NES")
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(_LABEL_X - 0.03, -0.02),
        frameon=False,
        handletextpad=0.2,
        title=f"FDR < {SIGNIFICANT_FDR:g} in",
        alignment="left",
        title_fontsize=SMALL_FONT_SIZE,
    )
    _label(axes, known[known["status"] == "both"])
    style.finish_axes(axes)


def _label(axes: Axes, rows: pd.DataFrame) -> None:
    """Name pathways in a column beside the panel, in the order of their dots, so that no names overlap."""
    shown = _strongest(rows).sort_values("predicted_nes", ascending=False)
    low, high = axes.get_ylim()
    heights = _spread((shown["predicted_nes"].to_numpy() - low) / (high - low))
    for height, pathway in zip(heights, shown.to_dict("records"), strict=True):
        label = axes.annotate(
            _shorten(pathway["pathway"]),
            xy=(pathway["observed_nes"], pathway["predicted_nes"]),
            xytext=(_LABEL_X, height),
            textcoords="axes fraction",
            va="center",
            size=SMALL_FONT_SIZE,
            arrowprops=_LEADER,
            annotation_clip=False,
        )
        label.set_in_layout(False)  # the panel keeps its width whatever the names


def _strongest(rows: pd.DataFrame) -> pd.DataFrame:
    strength = rows[["observed_nes", "predicted_nes"]].abs().min(axis=1)
    return rows.loc[strength.nlargest(MAX_LABELS).index]


def _shorten(pathway: str) -> str:
    name = pathway.removeprefix("HALLMARK_").replace("_", " ")
    return name if len(name) <= _LABEL_LENGTH else f"{name[: _LABEL_LENGTH - 1]}…"


def _names_width(rows: pd.DataFrame) -> float:
    """Inches that the longest name beside the panel takes with its line, or the legend below the names."""
    longest = max((len(_shorten(name)) for name in _strongest(rows)["pathway"]), default=0)
    return max(_LEGEND_WIDTH, _LEADER_WIDTH + longest * _CAPITAL_WIDTH)


def _spread(heights: FloatArray) -> list[float]:
    """Move falling heights as little as keeps them apart and above the legend."""
    placed: list[float] = []
    for height in heights.tolist():
        placed.append(min(height, placed[-1] - _LABEL_GAP if placed else 1.0))
    floor = _LABEL_LOWEST
    for number in reversed(range(len(placed))):
        placed[number] = max(placed[number], floor)
        floor = placed[number] + _LABEL_GAP
    return placed
