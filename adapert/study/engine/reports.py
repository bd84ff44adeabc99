"""What a trial's reports hold."""

from collections.abc import Iterable, Mapping
from typing import Any

from adapert.evaluation.catalogue import metrics_at_end, metrics_of_epochs
from adapert.records import HOST, IS_OVER, SYSTEM

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
"""Names of its values other than the epoch and the losses, of the project's own systems."""

_NO_VALUES = (HOST, IS_OVER)


def order_reported(names: Iterable[str]) -> list[str]:
    """Order the names of a report's values alike for all trials; those that only one system has come last."""
    given = dict.fromkeys(names)
    losses = [name for name in given if name.startswith(LOSS)]
    known = [name for name in ("epoch", *losses, *REPORTED) if name in given]
    return [*known, *sorted(given.keys() - known)]


def values_of(report: Mapping[str, Any]) -> dict[str, float]:
    """Read a report's values."""
    names = order_reported(name for name in report if name not in _NO_VALUES)
    return {name: float(report[name]) for name in names}
