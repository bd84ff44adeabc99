"""How reference models choose a setting: by validation Pearson-delta, as AdaPert chooses its epoch."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from adapert.data.schema import FloatArray
from adapert.evaluation.metrics import mean_over_perturbations, pearson_delta

Setting = TypeVar("Setting")


def best_on_validation(
    settings: Iterable[Setting], predict: Callable[[Setting], FloatArray], observed_delta: FloatArray
) -> Setting:
    """Take the setting of best mean Pearson-delta; of equals, and where none has a value, the first.

    Args:
        settings: One at least.
        predict: Predicts the validation perturbations with a setting, (n_perturbations, n_genes).
        observed_delta: Of the validation perturbations, log1p units, (n_perturbations, n_genes).
    """

    def score(setting: Setting) -> float:
        value = mean_over_perturbations(pearson_delta(predict(setting), observed_delta))
        return -np.inf if np.isnan(value) else value

    return max(settings, key=score)
