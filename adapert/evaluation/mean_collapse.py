"""Metrics that a prediction of the mean response does not score on.

All perturbations share much of their response, so the mean of all is close to each: over all genes it
correlates well. These metrics look at what is specific to a perturbation. Arguments are as in
`adapert.evaluation.metrics`; `weights` are those of `deg_weights`, each row with sum 1.
"""

import numpy as np

from adapert.data.schema import BoolArray, FloatArray
from adapert.evaluation.metrics import pearson_delta

NEGLIGIBLE = 1e-6
"""Relative size below which a deviation is what float32 rounding leaves."""


def centroid_pearson(predicted_delta: FloatArray, observed_delta: FloatArray) -> FloatArray:
    """Correlate predicted with observed deviations from the centroid, the mean of all perturbed.

    Pearson(predicted_p - c, observed_p - c) with c = mean over perturbations of observed_p: Systema's
    "Pearson delta with the perturbed reference".

    Returns:
        (n_perturbations,); 0 where the prediction is the centroid, NaN where the observed delta is, as
        it is for a single perturbation.
    """
    centroid = observed_delta.mean(axis=0, dtype=np.float64)
    predicted, observed = predicted_delta - centroid, observed_delta - centroid
    # A float32 prediction of the centroid differs from the float64 one by rounding.
    size = NEGLIGIBLE * np.abs(observed_delta).max(initial=0)
    observed[_is_flat(observed, size)] = np.nan
    is_collapsed = _is_flat(predicted, size) & ~np.isnan(observed).any(axis=1)
    return np.where(is_collapsed, 0.0, pearson_delta(predicted, observed))


def deg_weights(deg_score: FloatArray) -> FloatArray:
    """Turn DEG scores into weights of genes (Mejia et al. 2025).

    |score|, such as a t statistic against all other perturbed cells, is scaled to [0, 1] by its minimum and
    maximum over genes, squared, and divided by its sum.

    Returns:
        Non-negative, each row with sum 1, (n_perturbations, n_genes); equal where all scores are equal.
    """
    size = np.abs(deg_score).astype(np.float64)
    low, high = size.min(axis=1, keepdims=True), size.max(axis=1, keepdims=True)
    is_level = high == low
    share = np.where(is_level, 1.0, (size - low) / np.where(is_level, 1.0, high - low))
    weights: FloatArray = share**2 / (share**2).sum(axis=1, keepdims=True)
    return weights


def weighted_mse(predicted_delta: FloatArray, observed_delta: FloatArray, weights: FloatArray) -> FloatArray:
    """Mean squared error of delta, genes weighted by `deg_weights` (WMSE of Mejia et al. 2025).

    Returns:
        Squared log1p units, (n_perturbations,).
    """
    error: FloatArray = (weights * np.square(predicted_delta - observed_delta)).sum(axis=1)
    return error


def weighted_r2(predicted_delta: FloatArray, observed_delta: FloatArray, weights: FloatArray) -> FloatArray:
    """Share of the weighted squared deviation from the centroid that the prediction explains.

    1 - sum w (predicted_p - observed_p)^2 / sum w (observed_p - c)^2, c = mean over perturbations of
    observed_p. Mejia et al. 2025 subtract the deviation's weighted mean in the denominator too; here the
    centroid itself scores exactly 0.

    Returns:
        At most 1, (n_perturbations,); NaN where the observed delta is the centroid, as it is for a single
        perturbation.
    """
    centroid = observed_delta.mean(axis=0, dtype=np.float64)
    spread = (weights * np.square(observed_delta - centroid)).sum(axis=1)
    is_centroid = np.sqrt(spread) <= NEGLIGIBLE * np.abs(observed_delta).max(initial=0)
    spread[is_centroid] = np.nan
    r2: FloatArray = 1 - weighted_mse(predicted_delta, observed_delta, weights) / spread
    return r2


def collapse_ratio(
    predicted_delta: FloatArray, observed_delta: FloatArray, deg_mask: BoolArray
) -> FloatArray:
    """Divide the SD of the predicted by the SD of the observed delta, over the perturbation's DEGs.

    1 is the right amplitude; a prediction that collapsed to no or a common effect comes near 0.

    Returns:
        (n_perturbations,); NaN where there are fewer than two DEGs or their observed delta is constant.
    """
    observed = _sd_where(observed_delta, deg_mask)
    observed[observed == 0] = np.nan
    return _sd_where(predicted_delta, deg_mask) / observed


def _is_flat(deviation: FloatArray, size: float) -> BoolArray:
    is_flat: BoolArray = np.ptp(deviation, axis=1) <= size
    return is_flat


def _sd_where(delta: FloatArray, mask: BoolArray) -> FloatArray:
    """SD over the marked genes of each row, (n_perturbations,); NaN where fewer than two are."""
    n = mask.sum(axis=1)
    n_or_nan = np.where(n < 2, np.nan, n)
    marked = np.where(mask, delta, 0.0)
    mean = (marked.sum(axis=1) / n_or_nan)[:, None]
    squared = np.where(mask, np.square(delta - mean), 0.0).sum(axis=1)
    sd: FloatArray = np.sqrt(squared / n_or_nan)
    return sd
