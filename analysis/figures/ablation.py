"""Figure 4: what each part of the model is worth, by effect size (Sec. 5.4)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from adapert.data.schema import EFFECT_SIZES
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import summarize_by
from adapert.statistics.questions import REFERENCE, VARIANTS, compare_variants
from adapert.statistics.readings import find_empty_in
from analysis.figures import style
from analysis.figures.marks import add_paired, mark_caption
from analysis.figures.overlap import OVERLAPS, choose_overlap, overlap_caption
from analysis.figures.page import SCREEN, SMALL_FONT_SIZE, Style, StyledFigure, build_figure

ABLATION_METRICS = ("pearson_delta", *OVERLAPS, "pds")

VARIANT_LABELS = {
    REFERENCE: "full model",
    "no_context": r"w/o $\mathbf{z}_{\mathrm{context}}$",
    "no_non_deg": "w/o $\\mathrm{\u2112}_{\\mathrm{non}}$",
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
    "scvi": "scVI (own compact version)",
    "cpa": "CPA (own compact version)",
    "state": "STATE (own compact version)",
    "morph": "MORPH (own compact version)",
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

_FARTHEST, _NARROWEST = 6.0, 0.05
"""An axis of differences reaches so many times their median, and at least that far."""

_COLOURS = style.MODEL_COLOURS | style.VARIANT_COLOURS


def summarize_ablation(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the long table by effect size and variant.

    Args:
        frame: The long table of one study and one split.

    Returns:
        study, split, effect_size, variant, metric, the estimates of `summarize_by`, lambda_non where the
        frame has it, and the comparison with the full model of `add_paired`; groups from small to large, the
        full model first, variants without a label of their own in the order of the frame, the recipe's.

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
    if "lambda_non" in selected:
        weights = selected.drop_duplicates("variant").set_index("variant")["lambda_non"]
        summary["lambda_non"] = summary["variant"].map(weights)
    return add_paired(style.order_rows(summary, orders), compare_variants(selected))


def plot_ablation(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a row of panels for each effect-size group, and for each metric means and differences.

    Returns:
        A figure: of each metric a column with every variant's mean and, where there is a full
        model, one with its paired difference to that. All rows share a column's axis; a grey line marks the
        full model.

    Raises:
        InputError: Every value is NaN.
    """
    summary = style.drawable(summary)
    groups = style.present(EFFECT_SIZES, summary["effect_size"])
    metrics = style.present(ABLATION_METRICS, summary["metric"])
    variants = _ordered_variants(summary)
    is_compared = bool(summary["difference"].notna().any())
    n_columns = 2 if is_compared else 1
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (len(groups), n_columns * len(metrics)),
            panel_height=0.35 + 0.17 * len(variants),
            title=f"Model variants by effect size: {style.data_phrase(summary)}",
            caption=_caption(summary, metrics, variants, is_compared),
            sharex="col",
            sharey=True,
        )
        for row, group in enumerate(groups):
            panels[row, 0].set_ylabel(style.group_label(group, summary), labelpad=6)
            for column, metric in enumerate(metrics):
                chosen = (summary["effect_size"] == group) & (summary["metric"] == metric)
                pair = panels[row, n_columns * column : n_columns * (column + 1)]
                _draw_means(pair[0], summary[chosen], variants)
                if is_compared:
                    limits = _difference_limits(summary[summary["metric"] == metric])
                    _draw_differences(pair[1], summary[chosen], variants, limits)
        for column, metric in enumerate(metrics):
            of_metric = summary[summary["metric"] == metric]
            means, *differences = panels[-1, n_columns * column : n_columns * (column + 1)]
            means.set_xlabel(find_metric(metric).directed_label)
            means.set_xlim(style.value_range(of_metric))
            for axes in differences:
                axes.set_xlabel("difference")
        figure.align_labels()
    return figure


def _caption(summary: pd.DataFrame, metrics: list[str], variants: list[str], is_compared: bool) -> str:
    line = " Dashed line: full model." if REFERENCE in variants else ""
    hollow = " Hollow: reference models." if set(variants) & set(REFERENCE_MODEL_LABELS) else ""
    mark = f" Asterisk: {mark_caption('the full model', VARIANTS)}" if summary["is_different"].any() else ""
    beside = (
        " Beside it: the mean paired difference to the full model, with its interval; "
        "triangles point to one that the panel has no room for."
        if is_compared
        else ""
    )
    # The test family is named whether anything passed or not.
    none = is_compared and not mark
    mark = f" Nothing {mark_caption('the full model', VARIANTS)}" if none else mark
    empty = find_empty_in(summary, REFERENCE).sentence
    return (
        "Dots: mean over the perturbations of a group (n), each averaged over seeds. "
        f"Lines: {style.interval_caption(summary)}{beside}{line}{hollow}{mark} "
        f"↑{style.NO_BREAK}higher is better.{overlap_caption(metrics)}{f' {empty}' if empty else ''}"
    )


def _difference_limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Limit an axis of differences, so that one variant that lost everything does not hide the others."""
    estimates = _as_estimates(rows)
    bound = max(_FARTHEST * float(rows["difference"].abs().median()), _NARROWEST)
    low, high = style.value_range(estimates)
    return max(low, -bound), min(high, bound)


def _as_estimates(rows: pd.DataFrame) -> pd.DataFrame:
    """Take the differences for means, as limits of an axis do; the full model's own is 0."""
    return pd.DataFrame(
        {
            "mean": rows["difference"].fillna(0.0),
            "low": rows["difference_low"],
            "high": rows["difference_high"],
        }
    )


def _ordered_variants(frame: pd.DataFrame) -> list[str]:
    found = list(dict.fromkeys(frame["variant"].astype(str)))
    named = [*VARIANT_LABELS, *REFERENCE_MODEL_LABELS]
    return [
        *(name for name in VARIANT_LABELS if name in found),
        *(name for name in found if name not in named),
        *(name for name in REFERENCE_MODEL_LABELS if name in found),
    ]


def _draw_means(axes: Axes, estimates: pd.DataFrame, variants: list[str]) -> None:
    reference = estimates.loc[estimates["variant"] == REFERENCE, "mean"]
    if len(reference):
        _draw_reference(axes, float(reference.iloc[0]))
    for position, variant in enumerate(variants):
        _draw_row(axes, position, variant, estimates[estimates["variant"] == variant])
    labels = VARIANT_LABELS | REFERENCE_MODEL_LABELS
    axes.set_yticks(np.arange(len(variants)), [labels.get(variant, variant) for variant in variants])
    axes.set_ylim(len(variants) - 0.4, -0.6)  # the full model on top
    if estimates["n_perturbations"].nunique() > 1:  # a metric is undefined for part of its group
        axes.set_title(
            f"n={style.count(estimates['n_perturbations'])}",
            loc="right", size=SMALL_FONT_SIZE, color=style.QUIET_COLOUR, pad=2,
        )  # fmt: skip
    _finish(axes)


def _draw_differences(
    axes: Axes, estimates: pd.DataFrame, variants: list[str], limits: tuple[float, float]
) -> None:
    _draw_reference(axes, 0.0)
    axes.set_xlim(limits)
    compared = estimates[estimates["difference"].notna()]
    for position, variant in enumerate(variants):
        rows = compared[compared["variant"] == variant]
        for difference, is_different in rows[["difference", "is_different"]].to_numpy():
            if not limits[0] <= difference <= limits[1]:
                _draw_beyond(axes, position, variant, difference, "*" if is_different else "")
                continue
            _draw_row(axes, position, variant, _as_estimates(rows))
            if is_different:
                axes.annotate(
                    "*", (difference, position), xytext=(0, 0.5), textcoords="offset points", ha="center",
                    va="bottom", annotation_clip=False,
                )  # fmt: skip
    _finish(axes)


def _draw_beyond(axes: Axes, position: int, variant: str, difference: float, mark: str) -> None:
    """Point to a difference that has no room, with its value."""
    is_left = difference < 0
    place, inwards = (0.0, 5) if is_left else (1.0, -5)
    colour = _COLOURS.get(variant, style.OTHER_COLOUR)
    across = axes.get_yaxis_transform()
    axes.plot(
        [place], [position], "<" if is_left else ">", color=colour, markersize=4.0, clip_on=False,
        transform=across, label=variant,
    )  # fmt: skip
    axes.annotate(
        f"{difference:.2f}{mark}", (place, position), xycoords=across, xytext=(inwards, 0),
        textcoords="offset points", ha="left" if is_left else "right", va="center",
        size=SMALL_FONT_SIZE,
    )  # fmt: skip


def _draw_reference(axes: Axes, value: float) -> None:
    axes.axvline(value, color=style.REFERENCE_COLOUR, linewidth=0.8, dashes=(3, 2), zorder=1)


def _draw_row(axes: Axes, position: int, variant: str, rows: pd.DataFrame) -> None:
    colour = _COLOURS.get(variant, style.OTHER_COLOUR)
    fill = "white" if variant in REFERENCE_MODEL_LABELS else colour
    axes.hlines([position] * len(rows), rows["low"], rows["high"], color=colour, linewidth=1.4)
    axes.plot(
        rows["mean"], [position] * len(rows), "o", color=colour, markerfacecolor=fill, markersize=4.0,
        label=variant,
    )  # fmt: skip


def _finish(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 4, 5, 10]))
    axes.grid(axis="x")
    style.finish_axes(axes)
