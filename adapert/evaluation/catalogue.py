"""The catalogue of metrics: what each is called, which values are better, and how it is computed.

Whoever ranks, tests, tabulates or draws metrics reads them here. To add one is to add an entry.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
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
"""Which values are better; ``"neither"`` where the observed value, such as a ratio of 1, is."""

INPUTS = {
    "predicted_delta": "Predicted minus control expression, log1p units, (n_perturbations, n_genes).",
    "observed_delta": "As `predicted_delta`.",
    "deg_mask": "True DEGs, as `predicted_delta`.",
    "target_mask": "Perturbed genes, as `predicted_delta`.",
    "weights": "Of genes, from `deg_weights`, as `predicted_delta`.",
    "control_mean": "Mean control profile, log1p units, (n_genes,); responses have none.",
    "predicted_cells": "`DifferentialExpression` of the emitted cells; responses have none.",
    "observed_cells": "`DifferentialExpression` of the real cells; responses have none.",
}
"""What a metric can be computed from."""

EPOCH_INPUTS = ("predicted_delta", "observed_delta", "deg_mask")
"""What is at hand after every epoch."""

DELTAS = ("predicted_delta", "observed_delta")
CELLS = ("predicted_cells", "observed_cells")

SHARE, CORRELATION, UNBOUNDED_ABOVE = (0.0, 1.0), (-1.0, 1.0), (0.0, math.inf)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: In long tables and, after ``best_``, in trackers.
        label: In figures, tables and pages.
        better: Which values are better.
        bounds: Smallest and largest value that it can have; infinite where there is none.
        unit: Empty for a number without one.
        inputs: Names in `INPUTS` of the function's arguments, in their order.
        function: Gives values by perturbation, (n_perturbations,), or one number.
        is_scalar: Whether it gives one number over all perturbations.
        every_epoch: Whether it is cheap enough to be computed and reported after every epoch.
        at_end: Whether its mean is tracked as ``best_NAME`` at a trial's end, so that configs can be ranked
            by it.
        cell_eval: What cell-eval 0.8.2 calls the same; empty where it has no such metric.
    """

    name: str
    label: str
    better: Direction
    bounds: tuple[float, float]
    unit: str = ""
    inputs: tuple[str, ...]
    function: Callable[..., Any]
    is_scalar: bool = False
    every_epoch: bool = False
    at_end: bool = False
    cell_eval: str = ""

    @property
    def needs(self) -> Literal["deltas", "control expression", "cells"]:
        """What of a data set and a prediction it needs: cells are emitted and tested."""
        if "predicted_cells" in self.inputs:
            return "cells"
        return "control expression" if "control_mean" in self.inputs else "deltas"

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


_ENTRIES = (
    Metric(
        name="pearson_delta",
        label="Pearson-delta",
        better="larger",
        bounds=CORRELATION,
        inputs=DELTAS,
        function=pearson_delta,
        every_epoch=True,
        cell_eval="pearson_delta",
    ),
    Metric(
        name="pds",
        label="PDS",
        better="larger",
        bounds=SHARE,
        inputs=DELTAS,
        function=pds,
        every_epoch=True,
    ),
    Metric(
        name="pds_without_target",
        label="PDS without the target",
        better="larger",
        bounds=SHARE,
        inputs=(*DELTAS, "target_mask"),
        function=pds,
        cell_eval="discrimination_score_l1",
    ),
    Metric(
        name="retrieval",
        label="Retrieval",
        better="larger",
        bounds=SHARE,
        inputs=DELTAS,
        function=retrieval,
        at_end=True,
    ),
    Metric(
        name="rank_overlap_at_50",
        label="Rank overlap@50",
        better="larger",
        bounds=SHARE,
        inputs=(*DELTAS, "deg_mask"),
        function=partial(rank_overlap_at_k, k=50),
        every_epoch=True,
    ),
    Metric(
        name="rank_overlap_at_100",
        label="Rank overlap@100",
        better="larger",
        bounds=SHARE,
        inputs=(*DELTAS, "deg_mask"),
        function=partial(rank_overlap_at_k, k=100),
    ),
    Metric(
        name="rank_overlap_at_N",
        label="Rank overlap@N",
        better="larger",
        bounds=SHARE,
        inputs=(*DELTAS, "deg_mask"),
        function=partial(rank_overlap_at_k, k=None),
    ),
    Metric(
        name="mse",
        label="MSE of delta",
        better="smaller",
        bounds=UNBOUNDED_ABOVE,
        unit="log1p²",
        inputs=DELTAS,
        function=mse,
        every_epoch=True,
        cell_eval="mse_delta",
    ),
    Metric(
        name="mae",
        label="MAE of delta",
        better="smaller",
        bounds=UNBOUNDED_ABOVE,
        unit="log1p",
        inputs=DELTAS,
        function=mae,
        cell_eval="mae_delta",
    ),
    Metric(
        name="rmse_top_10_degs",
        label="RMSE of the top 10 DEGs",
        better="smaller",
        bounds=UNBOUNDED_ABOVE,
        unit="log1p",
        inputs=(*DELTAS, "deg_mask"),
        function=partial(rmse_top_degs, k=10),
    ),
    Metric(
        name="rmse_top_20_degs",
        label="RMSE of the top 20 DEGs",
        better="smaller",
        bounds=UNBOUNDED_ABOVE,
        unit="log1p",
        inputs=(*DELTAS, "deg_mask"),
        function=partial(rmse_top_degs, k=20),
    ),
    Metric(
        name="centroid_pearson",
        label="Pearson-delta from the centroid",
        better="larger",
        bounds=CORRELATION,
        inputs=DELTAS,
        function=centroid_pearson,
        at_end=True,
    ),
    Metric(
        name="weighted_mse",
        label="Weighted MSE",
        better="smaller",
        bounds=UNBOUNDED_ABOVE,
        unit="log1p²",
        inputs=(*DELTAS, "weights"),
        function=weighted_mse,
    ),
    Metric(
        name="weighted_r2",
        label="Weighted R2",
        better="larger",
        bounds=(-math.inf, 1.0),
        inputs=(*DELTAS, "weights"),
        function=weighted_r2,
    ),
    Metric(
        name="collapse_ratio",
        label="Collapse ratio",
        better="neither",
        bounds=UNBOUNDED_ABOVE,
        inputs=(*DELTAS, "deg_mask"),
        function=collapse_ratio,
    ),
    Metric(
        name="l2_top_1000",
        label="L2 of the 1,000 most expressed genes",
        better="smaller",
        bounds=UNBOUNDED_ABOVE,
        unit="log1p",
        inputs=(*DELTAS, "control_mean"),
        function=l2_top_expressed,
    ),
    # DES@k is the paper's Differential Expression Score at k, cell-eval's overlap at k. Without a k the word
    # names no metric here, since the paper also calls a recall of DEGs so (Eq. 27; `deg_recall`).
    Metric(
        name="overlap_at_50",
        label="DES@50",
        better="larger",
        bounds=SHARE,
        inputs=CELLS,
        function=partial(overlap_at_k, k=50),
        at_end=True,
        cell_eval="overlap_at_50",
    ),
    Metric(
        name="overlap_at_100",
        label="DES@100",
        better="larger",
        bounds=SHARE,
        inputs=CELLS,
        function=partial(overlap_at_k, k=100),
        at_end=True,
        cell_eval="overlap_at_100",
    ),
    Metric(
        name="overlap_at_N",
        label="DES@N",
        better="larger",
        bounds=SHARE,
        inputs=CELLS,
        function=partial(overlap_at_k, k=None),
        cell_eval="overlap_at_N",
    ),
    Metric(
        name="deg_recall",
        label="DEG recall",
        better="larger",
        bounds=SHARE,
        inputs=CELLS,
        function=deg_recall,
        cell_eval="de_sig_genes_recall",
    ),
    Metric(
        name="direction_match",
        label="Direction match",
        better="larger",
        bounds=SHARE,
        inputs=CELLS,
        function=direction_match,
        cell_eval="de_direction_match",
    ),
    Metric(
        name="spearman_lfc",
        label="Spearman of log fold changes",
        better="larger",
        bounds=CORRELATION,
        inputs=CELLS,
        function=spearman_lfc,
        cell_eval="de_spearman_lfc_sig",
    ),
    # No score: what `spearman_n_degs` is computed from on any part of the perturbations.
    Metric(
        name="n_predicted_degs",
        label="Predicted DEGs",
        better="neither",
        bounds=UNBOUNDED_ABOVE,
        unit="genes",
        inputs=("predicted_cells",),
        function=n_predicted_degs,
        cell_eval="de_nsig_counts_pred",
    ),
    Metric(
        name="spearman_n_degs",
        label="Spearman of DEG counts",
        better="larger",
        bounds=CORRELATION,
        inputs=CELLS,
        function=spearman_n_degs,
        is_scalar=True,
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
        names: Of metrics.
        source: Where they come from, such as ``"'per_perturbation.parquet'"``; empty where it goes without
            saying.

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
    """Name the metrics whose means a trial's end adds to what is tracked of it."""
    return tuple(name for name, metric in METRICS.items() if metric.at_end)


def metrics_of_epochs() -> tuple[str, ...]:
    """Name the metrics that are reported after every epoch."""
    return tuple(name for name, metric in METRICS.items() if metric.every_epoch)


def compute_metrics(
    given: Mapping[str, Any], names: Collection[str] | None = None
) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Compute every metric whose inputs are there.

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
