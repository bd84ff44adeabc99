"""Every metric that needs deltas only, at once."""

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import BoolArray, FloatArray, StringArray
from adapert.evaluation.mean_collapse import (
    centroid_pearson,
    collapse_ratio,
    deg_weights,
    weighted_mse,
    weighted_r2,
)
from adapert.evaluation.metrics import (
    mae,
    mse,
    pds,
    pearson_delta,
    rank_overlap_at_k,
    retrieval,
    rmse_top_degs,
)


def delta_metrics(
    predicted_delta: FloatArray,
    observed_delta: FloatArray,
    deg_mask: BoolArray,
    target_mask: BoolArray,
    deg_score: FloatArray,
) -> dict[str, FloatArray]:
    """Compute every metric that needs deltas only, in double precision.

    Args:
        predicted_delta: log1p units, (n_perturbations, n_genes).
        observed_delta: As `predicted_delta`.
        deg_mask: True DEGs, as `predicted_delta`.
        target_mask: Perturbed genes, as `predicted_delta`.
        deg_score: What `deg_weights` weighs genes by, as `predicted_delta`.

    Returns:
        Name to (n_perturbations,).
    """
    deltas = (predicted_delta.astype(np.float64), observed_delta.astype(np.float64))
    weights = deg_weights(deg_score)
    return {
        "pearson_delta": pearson_delta(*deltas),
        "pds": pds(*deltas),
        "pds_without_target": pds(*deltas, target_mask),
        "retrieval": retrieval(*deltas),
        "rank_overlap_at_50": rank_overlap_at_k(*deltas, deg_mask, k=50),
        "rank_overlap_at_100": rank_overlap_at_k(*deltas, deg_mask, k=100),
        "rank_overlap_at_N": rank_overlap_at_k(*deltas, deg_mask, k=None),
        "mse": mse(*deltas),
        "mae": mae(*deltas),
        "rmse_top_10_degs": rmse_top_degs(*deltas, deg_mask, k=10),
        "rmse_top_20_degs": rmse_top_degs(*deltas, deg_mask, k=20),
        "centroid_pearson": centroid_pearson(*deltas),
        "weighted_mse": weighted_mse(*deltas, weights),
        "weighted_r2": weighted_r2(*deltas, weights),
        "collapse_ratio": collapse_ratio(*deltas, deg_mask),
    }


def perturbed_genes(perturbations: StringArray, dataset: PreparedDataset) -> BoolArray:
    """Mark the measured genes that each perturbation targets, (n_perturbations, n_genes)."""
    mask = np.zeros((len(perturbations), dataset.n_genes), dtype=bool)
    for row, name in enumerate(perturbations.tolist()):
        mask[row, [node for node in dataset.perturbed_nodes(name) if node < dataset.n_genes]] = True
    return mask
