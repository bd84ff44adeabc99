"""Seeds of a config: whether another one is worth training."""

from collections.abc import Sequence

import numpy as np

CLEARLY_WORSE_SE = 2.0
"""Standard errors that a config's mean must lie below the best one's."""


def is_clearly_behind(values: Sequence[float], best: Sequence[float], spread: float | None) -> bool:
    """Whether a config's seeds so far are clearly below those of the best config.

    Args:
        values: Objectives of the config's seeds so far, larger is better.
        best: Those of the best config that had all its seeds; empty where there is none.
        spread: Standard deviation over seeds of one config; None where it is not known yet.
    """
    if not best or spread is None or not np.isfinite(np.mean(best)):
        return False
    standard_error = spread * np.sqrt(1 / len(values) + 1 / len(best))
    return bool(np.mean(values) < np.mean(best) - CLEARLY_WORSE_SE * standard_error)


def pool_spread(configs: Sequence[Sequence[float]]) -> float | None:
    """Pool the standard deviation over seeds of configs that have several, from each config's objectives.

    Returns:
        None where no config has two finite ones.
    """
    finite = [[value for value in values if np.isfinite(value)] for values in configs]
    several = [values for values in finite if len(values) > 1]
    if not several:
        return None
    squares = sum(float(np.var(values)) * len(values) for values in several)
    return float(np.sqrt(squares / sum(len(values) - 1 for values in several)))
