"""The two readings of the loss: whether Eq. 15 is a mean over genes, or a sum as Eq. 16 is.

The AdaPert paper's text calls Eq. 15 a mean squared error, and the equation writes a squared norm. Eq. 16 is
a sum either way, so that a weight of it counts as many times more in the first reading as there are genes.
"""

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
