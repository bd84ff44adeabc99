"""Figure 1: predicted against observed delta of one perturbation, a model and a collapsed one (Sec. 1)."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from adapert.comparison.summary import LABELS
from adapert.errors import format_count
from adapert.evaluation.mean_collapse import collapse_ratio
from adapert.evaluation.metrics import pearson_delta
from analysis.figures.ablation import REFERENCE_MODEL_LABELS
from analysis.figures.page import SCREEN, Style, StyledFigure, build_figure
from analysis.figures.style import DEG_COLOUR, GENE_COLOUR, REFERENCE_COLOUR, finish_axes
from analysis.predictions import Predictions, choose_perturbation, choose_variants

MODEL_LABELS = (
    {
        "adapert": "AdaPert",
        "adapert_ensemble": "AdaPert, ensemble",
        "app_own_gene": "APP (own version) with the perturbed gene",
    }
    | REFERENCE_MODEL_LABELS
    | LABELS
)

_CAPTION = (
    "A dot is a gene. r: Pearson-delta, over all genes. Collapse ratio: SD of the predicted over SD of the "
    "observed delta, on DEGs; 1 is the right amplitude, 0 the same change of every gene. Dashed: predicted = "
    "observed. The perturbation, unless named, is the one of median Pearson-delta under the first model "
    "among the largest effects."
)


def model_label(variant: str) -> str:
    """Name a variant as figures do."""
    return MODEL_LABELS.get(variant, variant)


def summarize_prediction(
    predictions: Predictions, perturbation: str | None = None, variants: tuple[str, ...] | None = None
) -> pd.DataFrame:
    """Lay out one perturbation's deltas, gene by gene.

    Args:
        predictions: Predictions of one evaluation.
        perturbation: The one to show; by default that of `choose_perturbation`, under the first variant.
        variants: Models to draw, side by side; by default those of `choose_variants`.

    Returns:
        evaluation, perturbation, effect_size, variant, gene, observed_delta and predicted_delta, units,
        is_deg, and of each variant its pearson_delta (all genes) and collapse_ratio (DEGs), repeated.

    Raises:
        InputError: No such perturbation or variant, or none can be chosen.
    """
    chosen = variants or tuple(name for name in choose_variants(predictions) if name is not None)
    name = perturbation or choose_perturbation(predictions, chosen[0])
    row = predictions.row_of(name)
    observed, is_deg = predictions.observed_delta[[row]].astype(np.float64), predictions.deg_mask[[row]]
    parts = []
    for variant in chosen:
        predicted = predictions.prediction_of(variant)[[row]].astype(np.float64)
        columns = {
            "evaluation": predictions.name,
            "perturbation": predictions.perturbations[row],
            "effect_size": predictions.effect_size[row],
            "variant": variant,
            "gene": predictions.gene_names,
            "observed_delta": observed[0],
            "predicted_delta": predicted[0],
            "units": predictions.units,
            "is_deg": is_deg[0],
            "pearson_delta": pearson_delta(predicted, observed)[0],
            "collapse_ratio": collapse_ratio(predicted, observed, is_deg)[0],
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def plot_prediction(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw a panel a variant, a dot a gene, DEGs coloured and on top.

    Returns:
        A figure; all panels share their axes, a dashed line marks predictions without error.
    """
    variants = list(dict.fromkeys(summary["variant"]))
    first = summary.iloc[0]
    n_degs = int(summary.loc[summary["variant"] == first["variant"], "is_deg"].sum())
    # Both axes have the same range, so that a prediction of too small amplitude looks flat.
    values = summary[["observed_delta", "predicted_delta"]].to_numpy()
    margin = 0.04 * float(np.ptp(values)) or 0.1
    limits = float(values.min()) - margin, float(values.max()) + margin
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, len(variants)),
            panel_height=2.9,
            title=(
                f"Predicted against observed delta: {first['perturbation']}, a {first['effect_size']} effect "
                f"with {format_count(n_degs, 'DEG')}, evaluation '{first['evaluation']}'"
            ),
            caption=_CAPTION,
            sharex=True,
            sharey=True,
        )
        for axes, variant in zip(panels.flat, variants, strict=True):
            _draw_panel(axes, summary[summary["variant"] == variant])
        panels[0, 0].set(xlim=limits, ylim=limits, ylabel=f"predicted delta ({first['units']})")
        panels[0, 0].legend(loc="upper left", frameon=False, handletextpad=0.2)
    return figure


def _draw_panel(axes: Axes, genes: pd.DataFrame) -> None:
    axes.axline((0, 0), slope=1, color=REFERENCE_COLOUR, linewidth=0.8, dashes=(4, 3), zorder=1)
    for is_deg, colour, label in (
        (False, GENE_COLOUR, "other genes"),
        (True, DEG_COLOUR, "DEGs"),
    ):
        chosen = genes[genes["is_deg"] == is_deg]
        axes.scatter(
            chosen["observed_delta"],
            chosen["predicted_delta"],
            s=9 if is_deg else 5,
            color=colour,
            linewidths=0,
            alpha=0.85 if is_deg else 0.6,
            rasterized=True,  # thousands of dots as vectors make a page slow
            label=f"{label} ({len(chosen):,})",
        )
    scores = genes.iloc[0]
    axes.set_title(
        f"{model_label(scores['variant'])}: r = {_number(scores['pearson_delta'])}, "
        f"collapse ratio {_number(scores['collapse_ratio'])}",
        loc="left",
    )
    axes.set_box_aspect(1)
    axes.set_xlabel(f"observed delta ({genes['units'].iloc[0]})")
    finish_axes(axes)


def _number(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.2f}"
