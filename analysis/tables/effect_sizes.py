"""Table 3: two models compared, by effect size (Sec. 5.3)."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from adapert.comparison.summary import ALL, FEWEST_SHOWN, LABELS
from adapert.data.schema import EFFECT_SIZES
from adapert.errors import InputError
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.estimates import CONFIDENCE
from adapert.statistics.pairs import pool_effect_sizes
from adapert.statistics.questions import LEVEL, MODELS, compare_two_models
from analysis.figures.prediction import model_label
from analysis.figures.style import order_rows
from analysis.predictions import MODEL, check_variant
from analysis.tables.performance import describe_evaluation
from analysis.tables.table import MISSING, MOST_PERCENT, PaperTable, decimal, percentage

DES, RANK_OVERLAP = "overlap_at_N", "rank_overlap_at_N"

_ENSEMBLE = "_ensemble"

_STAND_IN_CAPTION = (
    f"These data have no cells to test: {find_metric(RANK_OVERLAP).label}, by predicted deltas, stands in "
    f"for {find_metric(DES).label}."
)

GAIN = ["improvement_percent", "improvement_percent_low", "improvement_percent_high"]
"""Columns of a gain in percent and its interval."""

NO_GAIN_CAPTION = (
    f"no gain where that is wider than ±{MOST_PERCENT} %, no interval below {FEWEST_SHOWN} perturbations"
)

_COLUMNS = [
    *("effect_size", "metric", "model", "baseline", "model_mean", "baseline_mean"),
    *("difference", "low", "high", "p_holm", *GAIN, "n_perturbations", "n_seeds"),
]


def summarize_improvement(frame: pd.DataFrame, model: str, baseline: str) -> pd.DataFrame:
    """Compare two models on the same perturbations, by effect size.

    Returns:
        effect_size (`ALL` last), metric, model, baseline, model_mean, baseline_mean, the paired difference
        with low, high and p_holm, improvement_percent with its low and high (the gain in percent of the
        baseline's mean, NaN where that is 0), n_perturbations and n_seeds.

    Raises:
        InputError: A variant that the evaluation does not have, or the same twice.
    """
    for variant in (model, baseline):
        check_variant(variant, list(dict.fromkeys(frame["variant"])))
    if model == baseline:
        raise InputError(f"A model is compared with another, but both are '{model}'. Name two variants.")
    rows = frame[frame["metric"].isin(choose_size_metrics(frame))]
    paired = compare_two_models(rows, model, baseline)
    pooled = pool_effect_sizes(rows, ["effect_size"])
    keys = ["effect_size", "variant", "metric"]
    by_perturbation = pooled.groupby([*keys, "perturbation"], observed=True)["value"].mean()
    means = by_perturbation.groupby(level=keys).mean().rename("mean").reset_index()
    for role, variant in (("model", model), ("baseline", baseline)):
        of_variant = means[means["variant"] == variant].rename(columns={"mean": f"{role}_mean"})
        columns = ["effect_size", "metric", f"{role}_mean"]
        paired = paired.merge(of_variant[columns], on=["effect_size", "metric"], how="left")
    paired = add_gain(paired, paired["baseline_mean"])
    if paired["effect_size"].nunique() == 2:  # all perturbations are of one group
        paired = paired[paired["effect_size"] != ALL]
    orders = {"effect_size": [*EFFECT_SIZES, ALL], "metric": choose_size_metrics(frame)}
    return order_rows(paired.assign(model=model, baseline=baseline), orders)[_COLUMNS]


def build_effect_size_table(
    frame: pd.DataFrame, record: Mapping[str, Any], baseline: str | None = None
) -> PaperTable | None:
    """Build Table 3: two models and the improvement, by effect size.

    Args:
        frame: The long table of one evaluation.
        record: What ``evaluation.json`` holds.
        baseline: Variant that AdaPert is compared with; by default the best other by mean Pearson-delta.

    Returns:
        The table; None where only one model was evaluated.

    Raises:
        InputError: A variant that the evaluation does not have, or the same twice.
    """
    model, other = _choose(frame, baseline)
    if other is None:
        return None
    summary = summarize_improvement(frame, model, other)
    metrics = choose_size_metrics(frame)
    heads = {metric: find_metric(metric).label for metric in metrics}
    groups = summary.groupby("effect_size", sort=False)
    rule = " The other model is the one of best mean Pearson-delta among the rest."
    chosen = rule if baseline is None else ""
    stand_in = "" if DES in metrics else f" {_STAND_IN_CAPTION}"
    pair = f"{model_label(model)} against {model_label(other)}"
    return PaperTable(
        stem="table_3_effect_sizes",
        title=f"{pair} by effect size, {describe_evaluation(record)}",
        caption=(
            "Means over perturbations, each averaged over fits. Improvement: mean difference on the same "
            f"perturbations, in percent of the other model's mean, with that difference's {CONFIDENCE:.0%} "
            f"interval in brackets (two-level bootstrap; {NO_GAIN_CAPTION}); * p < {LEVEL:g} "
            f"({MODELS.rule}).{chosen}{stand_in}"
        ),
        frame=summary,
        cells=pd.DataFrame([row for group, part in groups for row in _rows(str(group), part, heads)]),
        n_names=2,
    )


def choose_size_metrics(frame: pd.DataFrame) -> tuple[str, str, str]:
    """Choose the columns of Table 3: DES where the data have cells, else what stands in for it."""
    has_tests = (frame["metric"] == DES).any()
    return ("pearson_delta", DES if has_tests else RANK_OVERLAP, "pds")


def add_gain(paired: pd.DataFrame, means: "pd.Series[float]") -> pd.DataFrame:
    """Add the columns `GAIN` to paired differences.

    Args:
        paired: metric, difference, low and high.
        means: Of what is gained on, one a row.
    """
    gain = paired["metric"].map(lambda metric: find_metric(metric).gain)
    scale = 100 * gain / means.abs().replace(0, np.nan)
    gains = paired[["difference", "low", "high"]].mul(scale, axis=0).set_axis(GAIN, axis=1)
    gains[GAIN[1:]] = np.sort(gains[GAIN[1:]], axis=1)  # a gain in an error is a negative difference
    return paired.join(gains)


def write_gain(row: Mapping[Any, Any]) -> str:
    """Write the columns `GAIN`: `MISSING` without a gain, no interval below `FEWEST_SHOWN` perturbations."""
    if (written := percentage(*(row.get(name, np.nan) for name in GAIN))) == MISSING:
        return MISSING
    return written if row["n_perturbations"] >= FEWEST_SHOWN else percentage(row[GAIN[0]])


def _choose(frame: pd.DataFrame, baseline: str | None) -> tuple[str, str | None]:
    variants = [name for name in dict.fromkeys(frame["variant"]) if name not in LABELS]
    chosen = MODEL if MODEL in variants else variants[0]
    if baseline is not None:
        return chosen, baseline
    others = [name for name in variants if name.removesuffix(_ENSEMBLE) != chosen.removesuffix(_ENSEMBLE)]
    is_other = frame["variant"].isin(others) & (frame["metric"] == "pearson_delta")
    means = frame[is_other].groupby("variant", sort=False)["value"].mean().dropna()
    return chosen, str(means.idxmax()) if len(means) else None


def _rows(group: str, part: pd.DataFrame, heads: Mapping[str, str]) -> list[dict[str, str]]:
    """Write a group's three rows: baseline, model, improvement."""
    by_metric = {row["metric"]: row for row in part.to_dict("records")}
    first = part.iloc[0]
    label = f"{group} (n={int(part['n_perturbations'].max())})"
    write: dict[str, Callable[[Mapping[Any, Any]], str]] = {
        model_label(first["baseline"]): lambda row: decimal(row["baseline_mean"]),
        model_label(first["model"]): lambda row: decimal(row["model_mean"]),
        "improvement": _improvement,
    }
    return [
        {"Effect size": "" if number else label, "Model": name}
        | {head: form(by_metric[metric]) for metric, head in heads.items()}
        for number, (name, form) in enumerate(write.items())
    ]


def _improvement(row: Mapping[Any, Any]) -> str:
    written = write_gain(row)
    return f"{written} *" if written != MISSING and row["p_holm"] < LEVEL else written
