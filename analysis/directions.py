"""Which way each metric of the long table is better."""

SMALLER_IS_BETTER = frozenset(
    {"mse", "mae", "rmse_top_10_degs", "rmse_top_20_degs", "weighted_mse", "l2_top_1000"}
)

WITHOUT_DIRECTION = frozenset({"collapse_ratio", "n_predicted_degs"})
"""Neither more nor less of these is better: a ratio of 1 and the observed number are."""


def is_larger_better(metric: str) -> bool | None:
    """Whether more of a metric is better; None for a metric without a direction.

    Any metric that is not listed in this module counts as a score: larger is better.
    """
    if metric in WITHOUT_DIRECTION:
        return None
    return metric not in SMALLER_IS_BETTER
