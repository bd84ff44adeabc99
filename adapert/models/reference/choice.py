"""What reference models choose on validation: nothing, or a setting by its Pearson-delta."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.evaluation.metrics import mean_over_perturbations, pearson_delta

Setting = TypeVar("Setting")


class ModelWithoutSettings(ABC):
    """A model that validation chooses nothing of, so that `refit` is a fit to more perturbations."""

    is_seeded = False

    @abstractmethod
    def fit(self, dataset: PreparedDataset) -> None:
        """Learn from the training split."""

    def refit(self, dataset: PreparedDataset) -> None:
        """Fit again from scratch."""
        self.fit(dataset)

    def chosen(self) -> dict[str, float | str]:
        """Return nothing."""
        return {}


def best_on_validation(
    settings: Iterable[Setting], predict: Callable[[Setting], FloatArray], observed_delta: FloatArray
) -> Setting:
    """Take the setting of best mean Pearson-delta; of equals, and where none has a value, the first.

    Args:
        settings: Settings to choose from, at least one.
        predict: Predicts the validation perturbations with a setting, (n_perturbations, n_genes).
        observed_delta: Observed deltas of the same, log1p units, (n_perturbations, n_genes).
    """

    def score(setting: Setting) -> float:
        value = mean_over_perturbations(pearson_delta(predict(setting), observed_delta))
        return -np.inf if np.isnan(value) else value

    return max(settings, key=score)
