"""The catalogue of metrics: what each is called, which values are better, and how it is computed.

Whoever ranks, tests, tabulates or draws metrics reads them here. To add one is to add an entry.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from typing import Any, Literal, TypeAlias

from adapert.data.schema import BoolArray, FloatArray
from adapert.errors import InputError, name_some, nearest
from adapert.evaluation.de_metrics import (
    deg_recall,
    direction_match,
    n_predicted_degs,
    overlap_at_k,
    spearman_lfc,
    spearman_n_degs,
)
from adapert.evaluation.mean_collapse import centroid_pearson, collapse_ratio, weighted_mse, weighted_r2
from adapert.evaluation.metrics import (
    l2_top_expressed,
    mae,
    mse,
    pds,
    pearson_delta,
    rank_overlap_at_k,
    retrieval,
    rmse_top_degs,
)

Direction: TypeAlias = Literal["larger", "smaller", "neither"]
"""Which values are better; ``"neither"`` where the best is what was observed, such as a ratio of 1."""

INPUTS = {
    "predicted_delta": "Predicted minus control expression, log1p units, (n_perturbations, n_genes).",
    "observed_delta": "As `predicted_delta`.",
    "deg_mask": "True DEGs, as `predicted_delta`.",
    "predicted_pooled_delta": "As `predicted_delta`, but against the mean of all controls; responses: none.",
    "observed_pooled_delta": "As `predicted_pooled_delta`.",
    "target_mask": "Perturbed genes, as `predicted_delta`.",
    "weights": "Weights of genes, from `deg_weights`, as `predicted_delta`.",
    "control_mean": "Mean control profile, log1p units, (n_genes,); responses have none.",
    "predicted_cells": "`DifferentialExpression` of the emitted cells; responses have none.",
    "observed_cells": "`DifferentialExpression` of the real cells; responses have none.",
}
"""What a metric can be computed from."""

DELTAS = ("predicted_delta", "observed_delta")
POOLED_DELTAS = ("predicted_pooled_delta", "observed_pooled_delta")
WITH_DEGS = (*DELTAS, "deg_mask")
CELLS = ("predicted_cells", "observed_cells")

EPOCH_INPUTS = WITH_DEGS
"""What is at hand after every epoch."""


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Name in long tables and, after ``best_``, in trackers.
        label: Name in figures, tables and pages.
        inputs: Names in `INPUTS` of the function's arguments, in their order.
        function: Returns values by perturbation, (n_perturbations,), or one number.
        better: Which values are better.
        bounds: Smallest and largest value that it can have; infinite where there is none.
        unit: Empty for a number without one.
        is_scalar: Whether it gives one number over all perturbations.
        correlates: Metric and column of the long table whose rank correlation over perturbations a scalar
            is, so that it can be computed on resampled perturbations; None for other metrics.
        every_epoch: Whether it is cheap enough to be computed and reported after every epoch.
        at_end: Whether its mean is tracked as ``best_NAME`` at a trial's end, so that configs can be ranked
            by it.
        cell_eval: Name of the same metric in cell-eval 0.8.2; empty where there is none.
    """

    name: str
    label: str
    inputs: tuple[str, ...]
    function: Callable[..., Any]
    _: KW_ONLY
    better: Direction
    bounds: tuple[float, float]
    unit: str = ""
    is_scalar: bool = False
    correlates: tuple[str, str] | None = None
    every_epoch: bool = False
    at_end: bool = False
    cell_eval: str = ""

    @property
    def needs(self) -> Literal["deltas", "control expression", "cells"]:
        """What of a data set and a prediction it needs: cells are emitted and tested."""
        if "predicted_cells" in self.inputs:
            return "cells"
        return "control expression" if {"control_mean", *POOLED_DELTAS} & set(self.inputs) else "deltas"

    @property
    def best(self) -> float | None:
        """The bound that a perfect prediction reaches; None for a metric without a direction."""
        return {"larger": self.bounds[1], "smaller": self.bounds[0], "neither": None}[self.better]

    @property
    def gain(self) -> float:
        """What a difference is multiplied by to be a gain: 1, -1, or NaN for a metric without a direction."""
        return {"larger": 1.0, "smaller": -1.0, "neither": math.nan}[self.better]

    @property
    def directed_label(self) -> str:
        """The label, with an arrow towards better."""
        return self.label + {"larger": " ↑", "smaller": " ↓", "neither": ""}[self.better]


# Each kind of value has its direction and its bounds.
_share = partial(Metric, better="larger", bounds=(0.0, 1.0))
_correlation = partial(Metric, better="larger", bounds=(-1.0, 1.0))
_error = partial(Metric, better="smaller", bounds=(0.0, math.inf))
_amount = partial(Metric, better="neither", bounds=(0.0, math.inf))

_ENTRIES = (
    _correlation("pearson_delta", "Pearson-delta", DELTAS, pearson_delta, every_epoch=True),
    _correlation(
        "pearson_delta_pooled",
        "Pearson-delta, pooled controls",
        POOLED_DELTAS,
        pearson_delta,
        cell_eval="pearson_delta",
    ),
    _share("pds", "PDS", DELTAS, pds, every_epoch=True),
    _share("pds_without_target", "PDS without the target", (*DELTAS, "target_mask"), pds),
    _share(
        "pds_without_target_pooled",
        "PDS without the target, pooled controls",
        (*POOLED_DELTAS, "target_mask"),
        pds,
        cell_eval="discrimination_score_l1",
    ),
    _share("retrieval", "Retrieval", DELTAS, retrieval, at_end=True),
    _share(
        "rank_overlap_at_50", "Rank overlap@50", WITH_DEGS, partial(rank_overlap_at_k, k=50), every_epoch=True
    ),
    _share("rank_overlap_at_100", "Rank overlap@100", WITH_DEGS, partial(rank_overlap_at_k, k=100)),
    _share("rank_overlap_at_N", "Rank overlap@N", WITH_DEGS, partial(rank_overlap_at_k, k=None)),
    _error("mse", "MSE of delta", DELTAS, mse, unit="log1p²", every_epoch=True, cell_eval="mse_delta"),
    _error("mae", "MAE of delta", DELTAS, mae, unit="log1p", cell_eval="mae_delta"),
    _error(
        "rmse_top_10_degs", "RMSE of the top 10 DEGs", WITH_DEGS, partial(rmse_top_degs, k=10), unit="log1p"
    ),
    _error(
        "rmse_top_20_degs", "RMSE of the top 20 DEGs", WITH_DEGS, partial(rmse_top_degs, k=20), unit="log1p"
    ),
    _correlation(
        "centroid_pearson", "Pearson-delta from the centroid", DELTAS, centroid_pearson, at_end=True
    ),
    _error("weighted_mse", "Weighted MSE", (*DELTAS, "weights"), weighted_mse, unit="log1p²"),
    Metric(
        "weighted_r2",
        "Weighted R2",
        (*DELTAS, "weights"),
        weighted_r2,
        better="larger",
        bounds=(-math.inf, 1.0),
    ),
    _amount("collapse_ratio", "Collapse ratio", WITH_DEGS, collapse_ratio),
    _error(
        "l2_top_1000",
        "L2 of the 1,000 most expressed genes",
        (*DELTAS, "control_mean"),
        l2_top_expressed,
        unit="log1p",
    ),
    # DES@k is the paper's Differential Expression Score at k, cell-eval's overlap at k. Without a k the word
    # names no metric here, since the paper also calls a recall of DEGs so (Eq. 27; `deg_recall`).
    _share(
        "overlap_at_50", "DES@50", CELLS, partial(overlap_at_k, k=50), at_end=True, cell_eval="overlap_at_50"
    ),
    _share(
        "overlap_at_100",
        "DES@100",
        CELLS,
        partial(overlap_at_k, k=100),
        at_end=True,
        cell_eval="overlap_at_100",
    ),
    _share("overlap_at_N", "DES@N", CELLS, partial(overlap_at_k, k=None), cell_eval="overlap_at_N"),
    _share("deg_recall", "DEG recall", CELLS, deg_recall, cell_eval="de_sig_genes_recall"),
    _share("direction_match", "Direction match", CELLS, direction_match, cell_eval="de_direction_match"),
    _correlation(
        "spearman_lfc", "Spearman of log fold changes", CELLS, spearman_lfc, cell_eval="de_spearman_lfc_sig"
    ),
    # No score: what `spearman_n_degs` is computed from on any part of the perturbations.
    _amount(
        "n_predicted_degs",
        "Predicted DEGs",
        ("predicted_cells",),
        n_predicted_degs,
        unit="genes",
        cell_eval="de_nsig_counts_pred",
    ),
    _correlation(
        "spearman_n_degs",
        "Spearman of DEG counts",
        CELLS,
        spearman_n_degs,
        is_scalar=True,
        correlates=("n_predicted_degs", "n_degs"),
        at_end=True,
        cell_eval="de_spearman_sig",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ENTRIES}
"""Name to metric, in the order in which long tables list them."""


def find_metric(name: str) -> Metric:
    """Look a metric up.

    Raises:
        InputError: The catalogue does not have it: neither its direction nor its range is known.
    """
    check_metrics([name])
    return METRICS[name]


def check_metrics(names: Iterable[str], source: str = "") -> None:
    """Refuse metrics that the catalogue does not have, before anything is said of which values are better.

    Args:
        names: Names of metrics.
        source: Where they come from, such as ``"'per_perturbation.parquet'"``; empty where that is obvious.

    Raises:
        InputError: One or more are not in the catalogue.
    """
    unknown = [name for name in dict.fromkeys(map(str, names)) if name not in METRICS]
    if unknown:
        have = f"{source} has {name_some(unknown)}" if source else f"{name_some(unknown)} is not among them"
        raise InputError(
            f"Only metrics of the catalogue can be compared, but {have}.{nearest(unknown[0], METRICS)} "
            "Add an entry to adapert/evaluation/catalogue.py, or leave the metric's rows out."
        )


def metrics_at_end() -> tuple[str, ...]:
    """Name the metrics that are tracked at a trial's end, by their means."""
    return tuple(name for name, metric in METRICS.items() if metric.at_end)


def metrics_of_epochs() -> tuple[str, ...]:
    """Name the metrics that are reported after every epoch."""
    return tuple(name for name, metric in METRICS.items() if metric.every_epoch)


def compute_metrics(
    given: Mapping[str, Any], names: Collection[str] | None = None
) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Compute every metric that has all its inputs.

    Args:
        given: Name in `INPUTS` to value. Data prepared from responses lack those of cells.
        names: Metrics to compute; all where None.

    Returns:
        Metrics by perturbation, (n_perturbations,) each, and metrics over all perturbations.
    """
    values = {
        name: metric.function(*[given[each] for each in metric.inputs])
        for name, metric in METRICS.items()
        if given.keys() >= set(metric.inputs) and (names is None or name in names)
    }
    scalars = {name: value for name, value in values.items() if METRICS[name].is_scalar}
    return {name: value for name, value in values.items() if name not in scalars}, scalars


def cheap_metrics(
    predicted_delta: FloatArray, observed_delta: FloatArray, deg_mask: BoolArray
) -> dict[str, FloatArray]:
    """Compute the metrics that every epoch can afford: name to (n_perturbations,).

    Args:
        predicted_delta: log1p units, (n_perturbations, n_genes).
        observed_delta: As `predicted_delta`.
        deg_mask: True DEGs, as `predicted_delta`.
    """
    given = dict(zip(EPOCH_INPUTS, (predicted_delta, observed_delta, deg_mask), strict=True))
    return compute_metrics(given, metrics_of_epochs())[0]
