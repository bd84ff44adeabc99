"""What of a trial's reports is kept."""

from adapert.evaluation.catalogue import metrics_at_end, metrics_of_epochs
from adapert.records import SYSTEM

REPORTED = (
    "epoch",
    "loss_total",
    "loss_recon",
    "loss_non",
    "loss_align",
    *metrics_of_epochs(),
    "n_selected",
    "context_effective_rank",
    "learning_rate",
    "seconds",
    "best_epoch",
    *(f"best_{metric}" for metric in metrics_of_epochs()),
    "resolved_huber_delta",
    "non_deg_shrinkage",
    "n_parameters",
    *SYSTEM,
    *(f"best_{metric}" for metric in metrics_at_end()),
)
"""Names of values in a report; the rest of Ray's result is its own bookkeeping."""
