"""Metrics of predicted against observed deltas, perturbation by perturbation (the paper's appendix B).

In all of them `predicted_delta` and `observed_delta` are perturbed minus control expression in log1p units,
`deg_mask` marks the true DEGs and `target_mask` the perturbed genes, each (n_perturbations, n_genes).
"""

import numpy as np

from adapert.data.schema import BoolArray, FloatArray, IntArray


def pearson_delta(predicted_delta: FloatArray, observed_delta: FloatArray) -> FloatArray:
    """Correlate predicted with observed effects over all genes, perturbation by perturbation (Eq. 23).

    cell-eval 0.8.2: ``pearson_delta``, where both deltas are against the mean of all controls.

    Returns:
        Pearson r, (n_perturbations,); NaN where either delta is constant.
    """
    predicted = _centred(predicted_delta)
    observed = _centred(observed_delta)
    norms = np.linalg.norm(predicted, axis=1) * np.linalg.norm(observed, axis=1)
    # Centring a constant row leaves rounding, whose norm is not 0 and would give some r.
    is_constant = (np.ptp(predicted_delta, axis=1) == 0) | (np.ptp(observed_delta, axis=1) == 0)
    norms[is_constant] = np.nan
    # Rounding can carry r past 1.
    r: FloatArray = np.clip((predicted * observed).sum(axis=1) / norms, -1, 1)
    return r


def pds(
    predicted_delta: FloatArray, observed_delta: FloatArray, target_mask: BoolArray | None = None
) -> FloatArray:
    """Score how well each prediction finds its own perturbation (Eq. 24 to 26).

    d_pt = ||predicted_p - observed_t||_1 over all evaluated perturbations t; the rank r_p counts those
    nearer than t = p, and ties share the mean rank; PDS = 1 - (r_p - 1) / n_perturbations. A constant
    prediction scores above chance: print the mean baseline's PDS next to a model's.

    With `target_mask`, row p leaves its own perturbed genes out of all its distances (cell-eval 0.8.2:
    ``exclude_target_gene``). It is then cell-eval's ``discrimination_score_l1``, where all deltas are against
    the mean of all controls, except that cell-eval ranks ties in no stated order and leaves no gene of a
    combination out.

    Returns:
        (n_perturbations,), in (0, 1]; 1 for a single perturbation.
    """
    if target_mask is None:
        distance = _l1_distances(predicted_delta, observed_delta)
    else:
        distance = _distance_without_targets(predicted_delta, observed_delta, target_mask)
    own = np.diagonal(distance)[:, None]
    n_nearer = (distance < own).sum(axis=1)
    # Its own distance ties with itself.
    n_tied = (distance == own).sum(axis=1) - 1
    score: FloatArray = 1 - (n_nearer + n_tied / 2) / len(distance)
    return score


def retrieval(predicted_delta: FloatArray, observed_delta: FloatArray) -> FloatArray:
    """Share of the other perturbations that the prediction resembles no more than its own.

    TxPert's normalised retrieval: 1 / (N - 1) sum over q != p of
    1[Pearson(predicted_p, observed_p) >= Pearson(predicted_p, observed_q)]. Chance is a half.

    Returns:
        (n_perturbations,), in [0, 1]; NaN where a correlation with the own effect is undefined, and for a
        single perturbation. Perturbations of constant observed delta are not among the others.
    """
    predicted, observed = _standardised(predicted_delta), _standardised(observed_delta)
    r = predicted @ observed.T
    own = np.diagonal(r)[:, None]
    n_others = (~np.isnan(r)).sum(axis=1) - 1
    # Any comparison with NaN is false, so undefined correlations do not count.
    n_not_above = (own >= r).sum(axis=1) - 1
    share: FloatArray = n_not_above / np.where(np.isnan(own[:, 0]) | (n_others < 1), np.nan, n_others)
    return share


def rank_overlap_at_k(
    predicted_delta: FloatArray, observed_delta: FloatArray, deg_mask: BoolArray, k: int | None = 50
) -> FloatArray:
    """Share of the k strongest true DEGs among the k genes of strongest predicted effect.

    The size of `observed_delta` ranks the DEGs. k is cut to their number; None takes them all.

    Returns:
        (n_perturbations,), in [0, 1]; NaN where there is no DEG. Ties go to the earlier gene.
    """
    overlap = np.full(len(predicted_delta), np.nan)
    for row in np.flatnonzero(deg_mask.any(axis=1)):
        true = strongest_degs(observed_delta[row], deg_mask[row], k)
        predicted = strongest(predicted_delta[row], len(true))
        overlap[row] = len(np.intersect1d(true, predicted)) / len(true)
    return overlap


def mse(predicted_delta: FloatArray, observed_delta: FloatArray) -> FloatArray:
    """Mean over genes of the squared error of delta (cell-eval 0.8.2: ``mse_delta``).

    Returns:
        Squared log1p units, (n_perturbations,).
    """
    error: FloatArray = np.square(predicted_delta - observed_delta).mean(axis=1)
    return error


def mae(predicted_delta: FloatArray, observed_delta: FloatArray) -> FloatArray:
    """Mean over genes of the absolute error of delta (cell-eval 0.8.2: ``mae_delta``).

    Returns:
        log1p units, (n_perturbations,).
    """
    error: FloatArray = np.abs(predicted_delta - observed_delta).mean(axis=1)
    return error


def l2_top_expressed(
    predicted_delta: FloatArray, observed_delta: FloatArray, control_mean: FloatArray, n_top: int = 1_000
) -> FloatArray:
    """L2 distance over the `n_top` genes of highest control expression: the APP paper's metric.

    `control_mean` is the mean control profile, log1p units, (n_genes,). Ties go to the earlier gene.

    Returns:
        log1p units, (n_perturbations,).
    """
    top = np.argsort(-control_mean, kind="stable")[:n_top]
    distance: FloatArray = np.linalg.norm((predicted_delta - observed_delta)[:, top], axis=1)
    return distance


def rmse_top_degs(
    predicted_delta: FloatArray, observed_delta: FloatArray, deg_mask: BoolArray, k: int
) -> FloatArray:
    """Root mean squared error over the k strongest true DEGs (GEARS: 20; PerturbedVAE: 10).

    The size of `observed_delta` ranks the DEGs, ties going to the earlier gene; k is cut to their number.
    GEARS's own numbers are mean squares over the genes of highest test score, DEGs or not.

    Returns:
        log1p units, (n_perturbations,); NaN where there is no DEG.
    """
    rmse = np.full(len(predicted_delta), np.nan)
    for row in np.flatnonzero(deg_mask.any(axis=1)):
        top = strongest_degs(observed_delta[row], deg_mask[row], k)
        rmse[row] = np.sqrt(np.square(predicted_delta[row, top] - observed_delta[row, top]).mean())
    return rmse


def mean_over_perturbations(values: FloatArray) -> float:
    """Average a metric over the perturbations where it is defined; NaN where it is nowhere."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def effective_rank(contexts: FloatArray) -> float:
    """Number of directions that contexts use: exp of the entropy of their singular values' shares.

    Roy and Vetterli (2007), for `contexts` of (n_perturbations, size). 1 where all of them point one way: the
    collapse that a trainable target of Eq. 20 allows.
    """
    shares = np.linalg.svd(contexts, compute_uv=False)
    shares = shares / (shares.sum() or 1)  # All contexts may be 0.
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def strongest(effect: FloatArray, n_genes: int) -> IntArray:
    """Find the genes of largest absolute effect, ties going to the earlier gene, (at most n_genes,)."""
    size = -np.abs(effect)
    among = np.arange(len(size))
    if 0 < n_genes < len(size):
        # Faster than sorting all. NaN is the weakest, as for a sort.
        among = np.flatnonzero(~(size > np.partition(size, n_genes - 1)[n_genes - 1]))
    # The default sort breaks ties in an order that depends on the length.
    return among[np.argsort(size[among], kind="stable")[:n_genes]]


def strongest_degs(effect: FloatArray, is_deg: BoolArray, k: int | None) -> IntArray:
    """Find the k DEGs of largest absolute effect, or all where there are fewer or `k` is None."""
    degs = np.flatnonzero(is_deg)
    return degs[strongest(effect[degs], len(degs) if k is None else k)]


def _distance_without_targets(
    predicted_delta: FloatArray, observed_delta: FloatArray, target_mask: BoolArray
) -> FloatArray:
    """L1 distances of each prediction to all observed deltas, its own targets left out."""
    distance = np.empty((len(predicted_delta), len(observed_delta)))
    observed = observed_delta.astype(np.float64)
    for row, mask in enumerate(target_mask):
        # A term of exactly 0 leaves the sum as it is. Taking the term off afterwards would not: ties broke.
        observed[:, mask] = predicted_delta[row, mask]
        distance[row] = _l1_distances(predicted_delta[row : row + 1], observed)[0]
        observed[:, mask] = observed_delta[:, mask]
    return distance


def _l1_distances(ones: FloatArray, others: FloatArray) -> FloatArray:
    """Compute the distance of each row to each of the others, (n_ones, n_others)."""
    # Imported late: scipy takes longer to load than commands that only name metrics take to run.
    from scipy.spatial.distance import cdist

    distances: FloatArray = cdist(ones, others, "cityblock")
    return distances


def _centred(delta: FloatArray) -> FloatArray:
    centred: FloatArray = delta - delta.mean(axis=1, keepdims=True)
    return centred


def _standardised(delta: FloatArray) -> FloatArray:
    """Centre each row and divide it by its length; NaN where it is constant."""
    centred = _centred(delta.astype(np.float64))
    norm = np.linalg.norm(centred, axis=1, keepdims=True)
    norm[np.ptp(delta, axis=1) == 0] = np.nan
    standardised: FloatArray = centred / norm
    return standardised
