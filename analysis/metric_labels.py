"""What metrics of the long table are called in figures, tables and pages: one name each."""

from analysis.statistics.directions import is_larger_better

METRIC_LABELS = {
    "pearson_delta": "Pearson-delta",
    "pds": "PDS",
    "pds_without_target": "PDS without the target",
    "retrieval": "Retrieval",
    "rank_overlap_at_50": "Rank overlap@50",
    "rank_overlap_at_100": "Rank overlap@100",
    "rank_overlap_at_N": "Rank overlap@N",
    "overlap_at_50": "DES@50",
    "overlap_at_100": "DES@100",
    "overlap_at_N": "DES@N",
    "deg_recall": "DEG recall",
    "n_predicted_degs": "Predicted DEGs",
    "spearman_n_degs": "Spearman of DEG counts",
    "spearman_lfc": "Spearman of log fold changes",
    "direction_match": "Direction match",
    "mse": "MSE of delta",
    "mae": "MAE of delta",
    "rmse_top_10_degs": "RMSE of the top 10 DEGs",
    "rmse_top_20_degs": "RMSE of the top 20 DEGs",
    "l2_top_1000": "L2 of the 1,000 most expressed genes",
    "centroid_pearson": "Pearson-delta from the centroid",
    "weighted_mse": "Weighted MSE",
    "weighted_r2": "Weighted R2",
    "collapse_ratio": "Collapse ratio",
}
"""DES@k is the paper's Differential Expression Score at k, cell-eval's overlap at k: it needs cells to test.
Without a k the word names none, since the paper also calls a recall of DEGs so (Eq. 27; `deg_recall` here).
"""


def label_metric(metric: str) -> str:
    """Call a metric as everywhere; one that is not listed by its own name."""
    return METRIC_LABELS.get(metric, metric)


def label_direction(metric: str) -> str:
    """Call a metric, with an arrow towards better."""
    is_larger = is_larger_better(metric)
    return (
        label_metric(metric) if is_larger is None else f"{label_metric(metric)} {'↑' if is_larger else '↓'}"
    )
