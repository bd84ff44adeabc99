"""The two readings of the loss: whether Eq. 15 is a mean over genes, or a sum as Eq. 16 is.

The AdaPert paper's text calls Eq. 15 a mean squared error, and the equation writes a squared norm. Eq. 16 is
a sum either way, so that a weight of it counts as many times more in the first reading as there are genes.
"""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

REDUCTION = "non_deg_reduction"
"""Column of a long table: ``loss.non_deg_reduction`` of the trial."""

MEAN_AND_SUM, LETTER = "mean and sum", "to the letter"

READINGS = {"sum": MEAN_AND_SUM, "mean": LETTER}
"""``loss.non_deg_reduction`` to the name of the reading: of how Eq. 15 and 16 add up genes."""


def split_readings(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Divide a long table by the reading of the loss that its trials were trained with.

    Without the non-DEG loss both readings are the same: such trials stand for both, in a reading that has
    none of its own.

    Args:
        frame: The long table, with lambda_non and `REDUCTION`.

    Returns:
        Name of each reading that the table has weights of (else, that it has trials of) to its rows, the
        default's first.
    """
    without = frame[frame["lambda_non"] == 0]
    named = frame[REDUCTION].map(READINGS)
    weighed = set(named[frame["lambda_non"] != 0].dropna()) or set(named.dropna())
    parts = {}
    for reading in (name for name in READINGS.values() if name in weighed):
        own = frame[named == reading]
        parts[reading] = own if (own["lambda_non"] == 0).any() else pd.concat([own, without])
    return parts


NEGLIGIBLE = 3e-5
"""The smallest weight of Figure 5: it leaves genes that are no DEGs 95 % of their amplitude or more, of up to
3,300 of them (docs/models.md), and to the letter 99.998 %."""


WITHOUT_LOSS = "no_non_deg"
"""Ends the names of variants without the non-DEG loss."""


class Empty(NamedTuple):
    """Variants that take away a non-DEG loss which the full model hardly has.

    Attributes:
        variants: Their names; none where the full model's weight is not negligible.
        sentence: What that means; empty without any.
    """

    variants: tuple[str, ...] = ()
    sentence: str = ""


def find_empty(weight: float, variants: Iterable[str]) -> Empty:
    """Find the variants without the non-DEG loss, where the full model hardly has it either.

    Args:
        weight: The full model's lambda_non; NaN if unknown.
        variants: Names of all variants.
    """
    without = tuple(name for name in variants if name.endswith(WITHOUT_LOSS))
    if not without or not weight <= NEGLIGIBLE:
        return Empty()
    sentence = (
        f"The full model's lambda_non of {weight:g} is near 0, so that leaving the non-DEG loss out changes "
        "next to nothing, and says nothing about a larger weight."
    )
    return Empty(without, sentence)


def find_empty_in(frame: pd.DataFrame, reference: str) -> Empty:
    """Find them in the long table of one study; none where it lacks the full model or lambda_non."""
    full = frame[frame["variant"] == reference]
    if full.empty or "lambda_non" not in full:
        return Empty()
    return find_empty(float(full["lambda_non"].iloc[0]), dict.fromkeys(frame["variant"]))
