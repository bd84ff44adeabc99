"""From which epoch on a search compares its trials: an epoch that is given, or one that the search learns."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from adapert.errors import InputError

AUTO = "auto"
"""In place of a number of epochs: the search learns it."""

MinEpochs = int | Literal["auto"]
"""How users name a `FirstRung`."""


@dataclass(frozen=True)
class FixedRung:
    """Trials are compared from an epoch on that is known beforehand.

    Attributes:
        epoch: The first rung.
    """

    epoch: int


@dataclass(frozen=True)
class LearnedRung:
    """The first trials run to their ends, and show from which epoch on the order of trials can be trusted.

    Attributes:
        n_trials: Trials that must have run to their ends before any is stopped.
        agreement: Spearman correlation with the final order, of which the search must be confident, at each
            epoch from the first rung on.
        epochs_left: Least share of those trials' epochs that lie beyond the first rung: a later one risks
            good trials and saves little.
    """

    n_trials: int = 8
    agreement: float = 0.7
    epochs_left: float = 0.5


FirstRung = FixedRung | LearnedRung

_FORMS: dict[str, type[FixedRung] | type[LearnedRung]] = {"fixed": FixedRung, "learned": LearnedRung}

MOST_DIGITS = 20
"""Of a number of epochs that is read as one."""

LEAST_TRIALS = 4
"""Of fewer, the confidence in a rank correlation is not defined."""


def parse_first_rung(min_epochs: MinEpochs | str) -> FirstRung:
    """Read what a user gives as the epochs before a search may stop a trial: a number, or "auto".

    Raises:
        InputError: Anything else.
    """
    text = str(min_epochs)
    if text == AUTO:
        return LearnedRung()
    # No int(): it would take "1_0" as well.
    if not (text.isascii() and text.isdigit() and len(text) < MOST_DIGITS and int(text)):
        raise InputError(
            f"--min-epochs must be auto or a whole number of at least 1, but it is '{text[:20]}'. "
            "Leave it out, and the search learns it."
        )
    return FixedRung(int(text))


def name_first_rung(described: Mapping[str, Any]) -> str:
    """Write what `first_rung_to_json` described as a user gives it."""
    first_rung = first_rung_from_json(described)
    return str(first_rung.epoch) if isinstance(first_rung, FixedRung) else AUTO


def first_rung_to_json(first_rung: FirstRung) -> dict[str, Any]:
    """Put its form and its fields into JSON's types."""
    (form,) = (name for name, kind in _FORMS.items() if isinstance(first_rung, kind))
    return {"form": form, **asdict(first_rung)}


def first_rung_from_json(described: Mapping[str, Any]) -> FirstRung:
    """Build what `first_rung_to_json` described."""
    fields = dict(described)
    return _FORMS[fields.pop("form")](**fields)
