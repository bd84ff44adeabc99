"""What the metrics of the catalogue are computed from, put together for one split."""

from typing import Any

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import BoolArray, FloatArray, StringArray
from adapert.evaluation.de_metrics import DifferentialExpression
from adapert.evaluation.mean_collapse import deg_weights


def gather_inputs(
    dataset: PreparedDataset,
    perturbations: StringArray,
    *,
    predicted_delta: FloatArray,
    observed_delta: FloatArray,
    deg_mask: BoolArray,
    deg_score: FloatArray,
    pooled_deltas: tuple[FloatArray, FloatArray] | None = None,
    cells: tuple[DifferentialExpression, DifferentialExpression] | None = None,
) -> dict[str, Any]:
    """Gather what metrics need, deltas in double precision.

    Args:
        dataset: Has the control profile and the genes that perturbations target.
        perturbations: Names, (n_perturbations,).
        predicted_delta: log1p units, (n_perturbations, n_genes).
        observed_delta: As `predicted_delta`.
        deg_mask: True DEGs, as `predicted_delta`.
        deg_score: What `deg_weights` weighs genes by, as `predicted_delta`.
        pooled_deltas: Predicted and observed delta against the mean of all controls, as `predicted_delta`;
            None in data prepared from responses.
        cells: Tests of the emitted and of the real cells; None in data prepared from responses.

    Returns:
        Name in `adapert.evaluation.catalogue.INPUTS` to value.
    """
    given: dict[str, Any] = {
        "predicted_delta": predicted_delta.astype(np.float64),
        "observed_delta": observed_delta.astype(np.float64),
        "deg_mask": deg_mask,
        "target_mask": perturbed_genes(perturbations, dataset),
        "weights": deg_weights(deg_score),
    }
    if pooled_deltas is not None:
        names = ("predicted_pooled_delta", "observed_pooled_delta")
        given |= {name: delta.astype(np.float64) for name, delta in zip(names, pooled_deltas, strict=True)}
    if cells is not None:
        predicted, observed = cells
        control_mean = dataset.shared.control_mean
        given |= {"control_mean": control_mean, "predicted_cells": predicted, "observed_cells": observed}
    return given


def perturbed_genes(perturbations: StringArray, dataset: PreparedDataset) -> BoolArray:
    """Mark the measured genes that each perturbation targets, (n_perturbations, n_genes)."""
    mask = np.zeros((len(perturbations), dataset.n_genes), dtype=bool)
    for row, name in enumerate(perturbations.tolist()):
        mask[row, [node for node in dataset.perturbed_nodes(name) if node < dataset.n_genes]] = True
    return mask
