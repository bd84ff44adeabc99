"""What the metrics of the catalogue are computed from, put together for one split."""

from typing import Any

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import BoolArray, FloatArray, StringArray
from adapert.evaluation.de_metrics import DifferentialExpression
from adapert.evaluation.mean_collapse import deg_weights


def gather_delta_inputs(
    predicted_delta: FloatArray,
    observed_delta: FloatArray,
    deg_mask: BoolArray,
    target_mask: BoolArray,
    deg_score: FloatArray,
) -> dict[str, Any]:
    """Gather what metrics of deltas need, in double precision.

    Args:
        predicted_delta: log1p units, (n_perturbations, n_genes).
        observed_delta: As `predicted_delta`.
        deg_mask: True DEGs, as `predicted_delta`.
        target_mask: Perturbed genes, as `predicted_delta`.
        deg_score: What `deg_weights` weighs genes by, as `predicted_delta`.

    Returns:
        Name in `adapert.evaluation.catalogue.INPUTS` to value.
    """
    return {
        "predicted_delta": predicted_delta.astype(np.float64),
        "observed_delta": observed_delta.astype(np.float64),
        "deg_mask": deg_mask,
        "target_mask": target_mask,
        "weights": deg_weights(deg_score),
    }


def gather_cell_inputs(
    dataset: PreparedDataset, predicted: DifferentialExpression, observed: DifferentialExpression
) -> dict[str, Any]:
    """Gather what metrics need beside deltas, of data prepared from cells.

    Args:
        dataset: With the control profile.
        predicted: Of the emitted cells.
        observed: Of the real cells.

    Returns:
        As `gather_delta_inputs`.
    """
    return {
        "control_mean": dataset.shared.control_mean,
        "predicted_cells": predicted,
        "observed_cells": observed,
    }


def perturbed_genes(perturbations: StringArray, dataset: PreparedDataset) -> BoolArray:
    """Mark the measured genes that each perturbation targets, (n_perturbations, n_genes)."""
    mask = np.zeros((len(perturbations), dataset.n_genes), dtype=bool)
    for row, name in enumerate(perturbations.tolist()):
        mask[row, [node for node in dataset.perturbed_nodes(name) if node < dataset.n_genes]] = True
    return mask
