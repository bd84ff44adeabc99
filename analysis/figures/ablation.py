"""Figure 4: what each part of the model is worth, by effect size (Sec. 5.4)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adapert.data.schema import EFFECT_SIZES
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import summarize_by
from adapert.statistics.questions import REFERENCE, VARIANTS, compare_variants
from analysis.figures import style
from analysis.figures.marks import add_paired, mark_caption
from analysis.figures.overlap import OVERLAPS, choose_overlap, overlap_caption

ABLATION_METRICS = ("pearson_delta", *OVERLAPS, "pds")

VARIANT_LABELS = {
    REFERENCE: "full model",
    "no_context": r"w/o $\mathbf{z}_{\mathrm{context}}$",
    "no_non_deg": r"w/o $\mathcal{L}_{\mathrm{non}}$",
    "no_context_no_non_deg": "w/o both",
    "context_only": r"$\mathbf{z}_{\mathrm{context}}$ alone",
    "context_only_no_context": "neither context nor gene",
}
"""In the order they are drawn; any other variant follows under its own name, in its recipe's order."""

REFERENCE_MODEL_LABELS = {
    "txpert": "TxPert (own version)",
    "app": "APP (own version)",
    "gears": "GEARS (own version)",
    "perturbed_vae": "PerturbedVAE (own construction)",
    "control": "no change",
    "mean": "mean change",
    "additive": "sum of genes",
    "neighbour": "nearest neighbours",
    "ridge_text": "ridge on text",
    "ridge_network": "ridge on network",
    "ridge_both": "ridge on both",
    "kernel_loo": "learned kernel",
    "kernel_ridge": "kernel ridge",
}
"""Models that are no variants of the full one; below the variants, in this order, as hollow dots."""

_OTHER_COLOUR: style.Colour = (0.35, 0.35, 0.35)


def summarize_ablation(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the long table by effect size and variant.

    Args:
        frame: The long table of one study and one split.

    Returns:
        study, split, effect_size, variant, metric, the estimates of `summarize_by` and the comparison with
        the full model of `add_paired`; groups from small to large, the full model first, variants without a
        label of their own in the order of the frame, which is the recipe's.

    Raises:
        InputError: The frame has none of the figure's metrics.
    """
    selected = choose_overlap(style.select_metrics(frame, ABLATION_METRICS))
    summary = summarize_by(selected, ["study", "split", "effect_size", "variant"])
    orders = {
        "effect_size": style.present(EFFECT_SIZES, summary["effect_size"]),
        "variant": _ordered_variants(selected),
        "metric": list(ABLATION_METRICS),
    }
    return add_paired(style.order_rows(summary, orders), compare_variants(selected))


def plot_ablation(summary: pd.DataFrame) -> Figure:
    """Draw a row of panels for each effect-size group, a column for each metric, a dot for each variant.

    Returns:
        A figure 7 in wide. All rows share a metric's axis; a grey line marks the full model's mean.

    Raises:
        InputError: Every value is NaN.
    """
    summary = style.drawable(summary)
    groups = style.present(EFFECT_SIZES, summary["effect_size"])
    metrics = style.present(ABLATION_METRICS, summary["metric"])
    variants = _ordered_variants(summary)
    line = " Dashed line: full model." if REFERENCE in variants else ""
    hollow = " Hollow: reference models." if set(variants) & set(REFERENCE_MODEL_LABELS) else ""
    mark = f" Asterisk: {mark_caption('the full model', VARIANTS)}" if summary["is_different"].any() else ""
    with style.paper_style():
        figure, panels = style.build_figure(
            (len(groups), len(metrics)),
            panel_height=0.35 + 0.17 * len(variants),
            title=f"Model variants by effect size: {style.data_phrase(summary)}",
            caption=(
                "Dots: mean over the perturbations of a group (n), each averaged over seeds. "
                f"Lines: {style.interval_caption(summary)}{line}{hollow}{mark} ↑{style.NO_BREAK}higher is "
                f"better.{overlap_caption(metrics)}"
            ),
            sharex="col",
            sharey=True,
        )
        for row, group in enumerate(groups):
            panels[row, 0].set_ylabel(style.group_label(group, summary), labelpad=6)
            for column, metric in enumerate(metrics):
                chosen = (summary["effect_size"] == group) & (summary["metric"] == metric)
                _draw_panel(panels[row, column], summary[chosen], variants)
        for column, metric in enumerate(metrics):
            panels[-1, column].set_xlabel(find_metric(metric).directed_label)
            panels[-1, column].set_xlim(style.value_range(summary[summary["metric"] == metric]))
        figure.align_labels()
    return figure


def _ordered_variants(frame: pd.DataFrame) -> list[str]:
    found = list(dict.fromkeys(frame["variant"].astype(str)))
    named = [*VARIANT_LABELS, *REFERENCE_MODEL_LABELS]
    return [
        *(name for name in VARIANT_LABELS if name in found),
        *(name for name in found if name not in named),
        *(name for name in REFERENCE_MODEL_LABELS if name in found),
    ]


def _draw_panel(axes: Axes, estimates: pd.DataFrame, variants: list[str]) -> None:
    reference = estimates.loc[estimates["variant"] == REFERENCE, "mean"]
    if len(reference):
        axes.axvline(
            float(reference.iloc[0]), color=style.REFERENCE_COLOUR, linewidth=0.8, dashes=(3, 2), zorder=1
        )
    # The named variants have the same colours in every study, and all others one grey.
    colours = dict(zip(VARIANT_LABELS, style.palette(len(VARIANT_LABELS)), strict=True))
    for position, variant in enumerate(variants):
        rows, colour = estimates[estimates["variant"] == variant], colours.get(variant, _OTHER_COLOUR)
        axes.hlines([position] * len(rows), rows["low"], rows["high"], color=colour, linewidth=1.4)
        fill = "white" if variant in REFERENCE_MODEL_LABELS else colour
        axes.plot(
            rows["mean"], [position] * len(rows), "o", color=colour, markerfacecolor=fill, markersize=4.5,
            label=variant,
        )  # fmt: skip
        for mean in rows.loc[rows["is_different"], "mean"]:
            axes.annotate(
                "*", (float(mean), position), xytext=(0, 0.5), textcoords="offset points", ha="center",
                va="bottom", annotation_clip=False,
            )  # fmt: skip
    labels = VARIANT_LABELS | REFERENCE_MODEL_LABELS
    axes.set_yticks(np.arange(len(variants)), [labels.get(variant, variant) for variant in variants])
    axes.set_ylim(len(variants) - 0.4, -0.6)  # the full model on top
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.grid(axis="x")
    if estimates["n_perturbations"].nunique() > 1:  # a metric is undefined for part of its group
        axes.set_title(
            f"n={style.count(estimates['n_perturbations'])}",
            loc="right", size=style.SMALL_FONT_SIZE, color="0.35", pad=2,
        )  # fmt: skip
    style.finish_axes(axes)
