"""What of a trial's reports is kept."""

from collections.abc import Iterable, Mapping
from typing import Any

from adapert.evaluation.catalogue import metrics_at_end, metrics_of_epochs
from adapert.records import SYSTEM

LOSS = "loss_"
"""Prefix of the loss and its terms, which each system has of its own."""

REPORTED = (
    *metrics_of_epochs(),
    "n_selected",
    "context_effective_rank",
    "learning_rate",
    "seconds",
    "best_epoch",
    *(f"best_{metric}" for metric in metrics_of_epochs()),
    "resolved_huber_delta",
    "non_deg_shrinkage",
    "mask_mean",
    "n_parameters",
    *SYSTEM,
    *(f"best_{metric}" for metric in metrics_at_end()),
)
"""Names of its values other than the epoch and the losses."""


def select_reported(names: Iterable[str]) -> list[str]:
    """Select a report's values from the bookkeeping that Ray has beside them, in one order for all trials."""
    given = dict.fromkeys(names)
    losses = [name for name in given if name.startswith(LOSS)]
    return [name for name in ("epoch", *losses, *REPORTED) if name in given]


def values_of(report: Mapping[str, Any]) -> dict[str, float]:
    """Read a report's values."""
    return {name: float(report[name]) for name in select_reported(report)}
