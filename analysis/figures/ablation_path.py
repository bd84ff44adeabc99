"""The ablation path: what each change from default to picked config is worth (Fawcett and Hoos 2016)."""

import pandas as pd

from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import summarize_by
from analysis.figures import style
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure

PATH_METRICS = ("pearson_delta", "rank_overlap_at_50", "pds")

_ABOVE = 0.25  # a step's other fields lie off the interval of the one that was taken

CHOOSES = "pearson_delta"
"""The metric by which a step is chosen among the fields that are left."""


def summarize_path(frame: pd.DataFrame) -> pd.DataFrame:
    """Summarise the long table by config of the path.

    Args:
        frame: The long table of one study and one split; variants are ``"STEP FIELD"``, from ``"0 start"``.

    Returns:
        study, split, step, field, is_taken (whether the path went on from this config), metric and the
        estimates of `summarize_by`; by step, fields in the order of their names.

    Raises:
        InputError: The frame has none of the figure's metrics.
    """
    summary = summarize_by(style.select_metrics(frame, PATH_METRICS), ["study", "split", "variant"])
    named = summary["variant"].str.split(" ", n=1, expand=True)
    summary.insert(2, "step", named[0].astype(int))
    summary.insert(3, "field", named[1])
    chosen = summary[summary["metric"] == CHOOSES].dropna(subset=["mean"])
    taken = chosen.loc[chosen.groupby("step")["mean"].idxmax(), "variant"]
    summary.insert(4, "is_taken", summary["variant"].isin(taken))
    return summary.drop(columns="variant").sort_values(["step", "field", "metric"], ignore_index=True)


def plot_path(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a panel a metric: the path's configs from top to bottom, and those it was chosen among.

    Raises:
        InputError: Every value is NaN.
    """
    summary = style.drawable(summary)
    metrics = style.present(PATH_METRICS, summary["metric"])
    colour = style.MODEL_COLOURS["adapert"]
    labels = summary[summary["is_taken"]].drop_duplicates("step").set_index("step")["field"]
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, len(metrics)),
            panel_height=0.5 + 0.24 * len(labels),
            title=f"From the default config to the picked one: {style.data_phrase(summary)}",
            caption=(
                "Each step moves one field from its default to its picked value: the one of best mean "
                "Pearson-delta, chosen on these very perturbations. Filled dots: the path; hollow: fields "
                f"that were not chosen. Lines: {style.interval_caption(summary)}"
            ),
            sharey=True,
        )
        for axes, metric in zip(panels[0], metrics, strict=True):
            rows = summary[summary["metric"] == metric]
            on_path, others = rows[rows["is_taken"]], rows[~rows["is_taken"]]
            axes.plot(
                others["mean"], others["step"] - _ABOVE, "o", color=style.REFERENCE_COLOUR,
                markerfacecolor="none", markersize=3,
            )  # fmt: skip
            axes.plot(on_path["mean"], on_path["step"], "-", color=colour, linewidth=0.8)
            axes.hlines(on_path["step"], on_path["low"], on_path["high"], color=colour, linewidth=1.4)
            axes.plot(on_path["mean"], on_path["step"], "o", color=colour, markersize=4.5)
            axes.set_xlabel(find_metric(metric).directed_label)
            axes.grid(axis="x")
            style.finish_axes(axes)
        panels[0, 0].set_yticks(
            labels.index, ["start" if step == 0 else f"+ {f}" for step, f in labels.items()]
        )
        panels[0, 0].set_ylim(float(labels.index.max()) + 0.5, -0.5)
    return figure
