"""What a system reports of itself, beside what every trial reports."""

import re
from collections.abc import Mapping
from itertools import chain
from typing import SupportsFloat

from adapert.errors import InputError
from adapert.evaluation.catalogue import METRICS
from adapert.records import FAILURE, HOST, IS_OVER, MESSAGE, SYSTEM

RESERVED = frozenset(
    (
        *("epoch", "learning_rate", "seconds", "total_seconds", "best_epoch"),
        *METRICS,
        *(f"best_{metric}" for metric in METRICS),
        *SYSTEM,
        *(FAILURE, HOST, IS_OVER, MESSAGE),
        # Columns of tables of trials.
        *("run", "trial", "variant", "seed", "status", "config_digest", "reason", "host"),
    )
)
"""Names that mean the same in every trial."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")


def join_own(model: str, *parts: Mapping[str, float]) -> dict[str, float]:
    """Join the terms of a loss, what a network observed and what a config amounts to, under their own names.

    Raises:
        InputError: A name that every trial has, that comes twice or that no tracker takes.
    """
    joined: dict[str, float] = {}
    for name, value in chain.from_iterable(part.items() for part in parts):
        if not _NAME.fullmatch(name):
            raise InputError(
                "Names of what a model reports must be of letters, digits and '_', and begin with a letter, "
                f"but '{model}' reports '{name}'. Rename it."
            )
        if name in RESERVED or name in joined:
            taken = "which every trial reports" if name in RESERVED else "twice"
            raise InputError(
                f"What a model reports must have names of its own, but '{model}' reports '{name}', {taken}. "
                "Rename it."
            )
        joined[name] = value
    return joined


def read_numbers(model: str, reported: Mapping[str, SupportsFloat]) -> dict[str, float]:
    """Read what a network reports, be it numbers or tensors.

    Raises:
        InputError: A value that is no number.
    """
    numbers: dict[str, float] = {}
    for name, value in reported.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, RuntimeError) as error:  # torch: a tensor of several values
            raise InputError(
                f"What a model reports must be numbers, but '{name}' of '{model}' is a "
                f"{type(value).__name__}. Report its mean, or leave it out."
            ) from error
    return numbers
