"""Metrics of predicted against observed deltas, perturbation by perturbation (the paper's appendix B)."""

import numpy as np
from scipy.spatial.distance import cdist

from adapert.data.schema import BoolArray, FloatArray, IntArray


def pearson_delta(predicted_delta: FloatArray, observed_delta: FloatArray) -> FloatArray:
    """Correlate predicted with observed effects, perturbation by perturbation (Eq. 23).

    Args:
        predicted_delta: Predicted minus control expression, log1p units, (n_perturbations, n_genes).
        observed_delta: Observed minus control expression, as `predicted_delta`.

    Returns:
        Pearson r, (n_perturbations,); NaN where either delta is constant.
    """
    predicted = _centred(predicted_delta)
    observed = _centred(observed_delta)
    norms = np.linalg.norm(predicted, axis=1) * np.linalg.norm(observed, axis=1)
    is_constant = (np.ptp(predicted_delta, axis=1) == 0) | (np.ptp(observed_delta, axis=1) == 0)
    norms[is_constant] = np.nan
    r: FloatArray = np.clip((predicted * observed).sum(axis=1) / norms, -1, 1)
    return r


def pds(
    predicted_delta: FloatArray, observed_delta: FloatArray, target_mask: BoolArray | None = None
) -> FloatArray:
    """Score how well each prediction finds its own perturbation (Eq. 24 to 26).

    d_pt = ||predicted_p - observed_t||_1 over all evaluated perturbations t; the rank r_p counts those
    nearer than t = p, and ties share the mean rank; PDS = 1 - (r_p - 1) / n_perturbations.

    Args:
        predicted_delta: log1p units, (n_perturbations, n_genes).
        observed_delta: As `predicted_delta`.
        target_mask: Perturbed genes, as `predicted_delta`; where given, row p leaves its own perturbed
            genes out of all its distances (cell-eval 0.8.2: ``exclude_target_gene``).

    Returns:
        (n_perturbations,), in (0, 1]; 1 for a single perturbation.
    """
    distance = cdist(predicted_delta, observed_delta, "cityblock")
    if target_mask is not None:
        for row, mask in enumerate(target_mask):
            distance[row] -= np.abs(predicted_delta[row, mask] - observed_delta[:, mask]).sum(axis=1)
    own = np.diagonal(distance)[:, None]
    n_nearer = (distance < own).sum(axis=1)
    n_tied = (distance == own).sum(axis=1) - 1
    score: FloatArray = 1 - (n_nearer + n_tied / 2) / len(distance)
    return score


def rank_overlap_at_k(
    predicted_delta: FloatArray, observed_delta: FloatArray, deg_mask: BoolArray, k: int | None = 50
) -> FloatArray:
    """Share of the k strongest true DEGs among the k genes of strongest predicted effect.

    Args:
        predicted_delta: log1p units, (n_perturbations, n_genes).
        observed_delta: As `predicted_delta`; its size ranks the true DEGs.
        deg_mask: True DEGs, as `predicted_delta`.
        k: At most this many genes, and never more than there are DEGs; None is all DEGs.

    Returns:
        (n_perturbations,), in [0, 1]; NaN where there is no DEG. Ties go to the earlier gene.
    """
    overlap = np.full(len(predicted_delta), np.nan)
    for row, mask in enumerate(deg_mask):
        n_kept = int(mask.sum()) if k is None else min(k, int(mask.sum()))
        if n_kept:
            degs = np.flatnonzero(mask)
            true = degs[_strongest(observed_delta[row, degs], n_kept)]
            overlap[row] = len(np.intersect1d(true, _strongest(predicted_delta[row], n_kept))) / n_kept
    return overlap


def mse(predicted_delta: FloatArray, observed_delta: FloatArray) -> FloatArray:
    """Mean over genes of the squared error of delta, squared log1p units, (n_perturbations,)."""
    error: FloatArray = np.square(predicted_delta - observed_delta).mean(axis=1)
    return error


def cheap_metrics(
    predicted_delta: FloatArray, observed_delta: FloatArray, deg_mask: BoolArray
) -> dict[str, FloatArray]:
    """Compute the metrics that every epoch can afford: name to (n_perturbations,).

    Args:
        predicted_delta: log1p units, (n_perturbations, n_genes).
        observed_delta: As `predicted_delta`.
        deg_mask: True DEGs, as `predicted_delta`.
    """
    return {
        "pearson_delta": pearson_delta(predicted_delta, observed_delta),
        "pds": pds(predicted_delta, observed_delta),
        "rank_overlap_at_50": rank_overlap_at_k(predicted_delta, observed_delta, deg_mask, k=50),
        "mse": mse(predicted_delta, observed_delta),
    }


def mean_over_perturbations(values: FloatArray) -> float:
    """Average a metric over the perturbations where it is defined; NaN where it is nowhere."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def effective_rank(contexts: FloatArray) -> float:
    """Number of directions that contexts use: exp of the entropy of their singular values' shares.

    Roy and Vetterli (2007). 1 where all contexts point one way: the collapse that a trainable target of
    Eq. 20 allows.

    Args:
        contexts: (n_perturbations, size).
    """
    shares = np.linalg.svd(contexts, compute_uv=False)
    shares = shares / (shares.sum() or 1)  # All contexts may be 0.
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _centred(delta: FloatArray) -> FloatArray:
    centred: FloatArray = delta - delta.mean(axis=1, keepdims=True)
    return centred


def _strongest(delta: FloatArray, n_genes: int) -> IntArray:
    return np.argsort(-np.abs(delta), kind="stable")[:n_genes]
