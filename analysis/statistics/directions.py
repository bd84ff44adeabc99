"""Which way each metric of the long table is better, and which values it can have."""

import math

SMALLER_IS_BETTER = frozenset(
    {"mse", "mae", "rmse_top_10_degs", "rmse_top_20_degs", "weighted_mse", "l2_top_1000"}
)

WITHOUT_DIRECTION = frozenset({"collapse_ratio", "n_predicted_degs"})
"""Neither more nor less of these is better: a ratio of 1 and the observed number are."""

CORRELATIONS = frozenset({"pearson_delta", "centroid_pearson", "spearman_lfc", "spearman_n_degs"})

SHARES = frozenset({"retrieval", "deg_recall", "direction_match"})

SHARE_PREFIXES = ("pds", "overlap_at_", "rank_overlap_at_")


def is_larger_better(metric: str) -> bool | None:
    """Whether more of a metric is better; None for a metric without a direction.

    Any metric that is not listed in this module counts as a score: larger is better.
    """
    if metric in WITHOUT_DIRECTION:
        return None
    return metric not in SMALLER_IS_BETTER


def range_of(metric: str) -> tuple[float, float]:
    """Smallest and largest value that a metric can have; infinite where it has no bound.

    Any metric that is not listed in this module has none.
    """
    if metric in SMALLER_IS_BETTER | WITHOUT_DIRECTION:
        return 0.0, math.inf
    if metric in SHARES or metric.startswith(SHARE_PREFIXES):
        return 0.0, 1.0
    return (-1.0, 1.0) if metric in CORRELATIONS else (-math.inf, math.inf)
