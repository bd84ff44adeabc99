"""Metrics of differential expression: predicted cells against observed cells, each tested against controls.

Definitions are those of cell-eval 0.8.2, which the paper's tables were made with, down to its treatment of
perturbations without DEGs. In all of them `predicted` is of the emitted cells, `observed` of the real ones.
"""

import math
from dataclasses import dataclass

import numpy as np

from adapert.data.schema import BoolArray, FloatArray, IntArray
from adapert.evaluation.metrics import strongest_degs

_LARGEST = 700.0
"""Beyond it exp(x) is no number of double precision; no log value comes near."""


@dataclass(frozen=True, kw_only=True)
class DifferentialExpression:
    """What a test of perturbed cells against controls says.

    Attributes:
        log2_fold_change: Fold change of perturbed over control cells, from `log2_fold_change`,
            (n_perturbations, n_genes).
        deg_mask: Differentially expressed genes, as `log2_fold_change`.
    """

    log2_fold_change: FloatArray
    deg_mask: BoolArray

    @property
    def n_degs(self) -> IntArray:
        """Number of DEGs of each perturbation, (n_perturbations,)."""
        counts: IntArray = self.deg_mask.sum(axis=1)
        return counts


def log2_fold_change(mean_expression: FloatArray, control_mean: FloatArray) -> FloatArray:
    """Compare mean profiles: log2(expm1(mean perturbed) / expm1(mean control)), as pdex 0.3.0 does.

    The means are of log values: of geometric, not arithmetic, mean counts.

    Args:
        mean_expression: Mean of perturbed cells, log1p units, float64, (..., n_genes).
        control_mean: Mean of control cells, as `mean_expression`.

    Returns:
        float32, in which cell-eval compares and ranks, (..., n_genes); infinite where one side has no
        expression, 0 where neither has.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log2(_expm1(mean_expression) / _expm1(control_mean))
    # 0 / 0: neither side expresses the gene, which pdex counts as no change.
    return np.where(np.isnan(ratio), 0.0, ratio).astype(np.float32)


def _expm1(values: FloatArray) -> FloatArray:
    """Compute exp(x) - 1 as the C library rounds it, and so pdex.

    numpy's differs in the last bit, and with it the sign of a fold change that is 0 but for rounding.
    """
    flat = map(math.expm1, np.minimum(values, _LARGEST).ravel().tolist())
    return np.fromiter(flat, np.float64, values.size).reshape(values.shape)


def overlap_at_k(
    predicted: DifferentialExpression, observed: DifferentialExpression, k: int | None
) -> FloatArray:
    """Share of the k strongest true DEGs among the k strongest predicted DEGs.

    Strength is the absolute log2 fold change. cell-eval 0.8.2: ``overlap_at_50``, ``overlap_at_100``,
    ``overlap_at_N``; DES@50 and DES@100 of Table 2, and closest to the DES of Table 3. k is cut to the number
    of true DEGs; None takes them all.

    Returns:
        (n_perturbations,), in [0, 1]; 0, not NaN, where there is no true DEG, as in cell-eval. Ties go to
        the earlier gene.
    """
    overlap = np.zeros(len(observed.deg_mask))
    for row in np.flatnonzero(observed.deg_mask.any(axis=1)):
        true = strongest_degs(observed.log2_fold_change[row], observed.deg_mask[row], k)
        found = strongest_degs(predicted.log2_fold_change[row], predicted.deg_mask[row], len(true))
        overlap[row] = len(np.intersect1d(true, found)) / len(true)
    return overlap


def deg_recall(predicted: DifferentialExpression, observed: DifferentialExpression) -> FloatArray:
    """Share of the true DEGs among the predicted DEGs (Eq. 27; cell-eval 0.8.2: ``de_sig_genes_recall``).

    Returns:
        (n_perturbations,), in [0, 1]; NaN where there is no true DEG.
    """
    return _mean_over_degs(predicted.deg_mask, observed.deg_mask)


def direction_match(predicted: DifferentialExpression, observed: DifferentialExpression) -> FloatArray:
    """Share of the true DEGs whose fold change has the predicted sign (Eq. 30).

    cell-eval 0.8.2: ``de_direction_match``. A predicted fold change of exactly 0 matches no sign. Where the
    predicted mean is the controls' but for rounding, rounding decides, as it does in cell-eval.

    Returns:
        (n_perturbations,), in [0, 1]; NaN where there is no true DEG.
    """
    is_match = np.sign(predicted.log2_fold_change) == np.sign(observed.log2_fold_change)
    return _mean_over_degs(is_match, observed.deg_mask)


def spearman_lfc(predicted: DifferentialExpression, observed: DifferentialExpression) -> FloatArray:
    """Rank correlation of predicted with true log2 fold changes over the true DEGs.

    cell-eval 0.8.2: ``de_spearman_lfc_sig``; "Spearman-lfc-sig" of Table 2. Eq. 29 writes weights, which
    cell-eval, and so this, has not.

    Returns:
        Spearman's rho, ties sharing their mean rank, (n_perturbations,); NaN where there are fewer than
        two true DEGs or either side's fold changes are equal.
    """
    rho = np.full(len(observed.deg_mask), np.nan)
    for row in np.flatnonzero(observed.n_degs > 1):
        degs = observed.deg_mask[row]
        rho[row] = _spearman(predicted.log2_fold_change[row, degs], observed.log2_fold_change[row, degs])
    return rho


def spearman_n_degs(predicted: DifferentialExpression, observed: DifferentialExpression) -> float:
    """Rank correlation over perturbations of the predicted with the true number of DEGs.

    cell-eval 0.8.2: ``de_spearman_sig``; "Spearman-sig" of Table 2.

    Returns:
        Spearman's rho over the perturbations with a true DEG; 1, as in cell-eval, where there is none; NaN
        where there is only one, or where the numbers of either side are equal.
    """
    has_degs = observed.n_degs > 0
    if not has_degs.any():
        return 1.0
    return _spearman(predicted.n_degs[has_degs], observed.n_degs[has_degs])


def n_predicted_degs(predicted: DifferentialExpression) -> FloatArray:
    """Number of predicted DEGs, (n_perturbations,): not a score, but what `spearman_n_degs` ranks.

    cell-eval 0.8.2: ``de_nsig_counts_pred``.
    """
    return predicted.n_degs.astype(np.float64)


def _mean_over_degs(values: BoolArray, deg_mask: BoolArray) -> FloatArray:
    n_degs = deg_mask.sum(axis=1)
    mean: FloatArray = (values & deg_mask).sum(axis=1) / np.where(n_degs == 0, np.nan, n_degs)
    return mean


def _spearman(one: FloatArray | IntArray, other: FloatArray | IntArray) -> float:
    """Pearson's r of ranks; infinite values rank first or last. NaN where either side is constant."""
    if len(one) < 2 or np.all(one == one[0]) or np.all(other == other[0]):
        return float("nan")
    # Imported late: scipy takes longer to load than commands that only name metrics take to run.
    from scipy.stats import rankdata

    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
