"""AdaPert as a model like any other: fit on a data set, predict perturbations."""

from collections.abc import Sequence

import torch

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.training.loop import train
from adapert.training.state import Training


class FittedAdaPert:
    """One config and seed of AdaPert, trained to its best validation epoch."""

    def __init__(self, config: Config, seed: int, device: torch.device) -> None:
        self.config, self.seed, self.device = config, seed, device

    def fit(self, dataset: PreparedDataset) -> None:
        """Train and keep the weights of the best epoch.

        Raises:
            DivergedError: The loss became NaN or infinite.
        """
        self.training = Training(self.config, dataset, self.seed, self.device)
        for _ in train(self.training):
            pass
        if self.training.best.weights:
            self.training.model.load_state_dict(self.training.best.weights)

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
        return self.training.predict(perturbations)
