"""Fits in steps: networks by the training loop, any other model at once."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.evaluation.catalogue import cheap_metrics
from adapert.evaluation.metrics import mean_over_perturbations
from adapert.models.protocol import Fit, PerturbationModel, TrainedInEpochs
from adapert.training.checkpoints import restore_checkpoint, write_checkpoint, write_weights
from adapert.training.loop import TrainedEpoch, advance, require_finite, run_alone, train_at
from adapert.training.own_values import join_own
from adapert.training.state import Training


class FittedNetwork:
    """The network of one config and seed, trained to its best validation epoch."""

    is_seeded = True

    def __init__(self, config: Config, seed: int, device: torch.device) -> None:
        self.config, self.seed, self.device = config, seed, device

    def begin(self, dataset: PreparedDataset) -> "NetworkFit":
        """Build the untrained state."""
        self.training = Training(self.config, dataset, self.seed, self.device)
        return NetworkFit(self.training)

    def fit(self, dataset: PreparedDataset) -> None:
        """Train and keep the weights of the best epoch.

        Raises:
            DivergedError: The loss became NaN or infinite.
        """
        fit = self.begin(dataset)
        while not fit.is_over:
            fit.step()
        fit.finish()

    def refit(self, dataset: PreparedDataset) -> None:
        """Train from scratch for as many epochs as `fit` found best, and keep the last one's weights.

        Each epoch has the learning rate that it had in `fit`. Where no epoch had a Pearson-delta, all are
        trained.

        Raises:
            DivergedError: The loss became NaN or infinite.
        """
        rates = self.training.rates[: self._n_epochs]
        self.training = Training(self.config, dataset, self.seed, self.device)
        train_at(self.training, rates)

    def chosen(self) -> dict[str, float | str]:
        """The epochs trained for: those to the best one, or all where none had a Pearson-delta."""
        return {"n_epochs": self._n_epochs}

    @property
    def _n_epochs(self) -> int:
        return self.training.best.epoch or self.training.epoch

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas, log1p units, (n_perturbations, n_genes)."""
        return self.training.predict(perturbations)


class NetworkFit:
    """A network's training, an epoch a step.

    Attributes:
        run_epoch: Trains the next epoch, and that one alone; another one trains it beside other trials.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self.run_epoch: Callable[[Training], TrainedEpoch] = run_alone

    @property
    def is_over(self) -> bool:
        """Whether the epochs or the patience are used up."""
        return self.training.is_over

    def step(self) -> dict[str, float]:
        """Train an epoch; its report, and after the first what the config amounts to on these data.

        Raises:
            DivergedError: The loss or a validation prediction became NaN or infinite.
            InputError: The network or its objective reports what `join_own` refuses.
        """
        run_epoch, self.run_epoch = self.run_epoch, run_alone
        report = advance(self.training, run_epoch)
        resolved = self.training.resolved if report.epoch == 1 else {}
        own = join_own(self.training.config.model.name, report.losses, report.network, resolved)
        return report.flat() | own

    def finish(self) -> None:
        """Load the weights that were kept; the last epoch's stay where no epoch had a Pearson-delta."""
        if self.training.best.weights:
            self.training.predictor.load_state_dict(self.training.best.weights)

    def write_checkpoint(self, directory: Path) -> None:
        """Write all that the next epoch depends on."""
        write_checkpoint(self.training, directory)

    def restore_checkpoint(self, directory: Path) -> None:
        """Continue from a checkpoint."""
        restore_checkpoint(self.training, directory)

    def write_weights(self, path: Path) -> None:
        """Write the best epoch's weights, where there are any."""
        if self.training.best.weights:
            write_weights(self.training.best.weights, path)


class SingleFit:
    """The fit of a model that knows no epochs: one step, reported as one epoch."""

    def __init__(self, model: PerturbationModel, dataset: PreparedDataset) -> None:
        self.model, self.dataset = model, dataset
        self.is_over = False

    def step(self) -> dict[str, float]:
        """Fit, and score on validation."""
        started = time.perf_counter()
        self.model.fit(self.dataset)
        validation = self.dataset.splits["validation"].table
        predicted = self.model.predict(list(validation.perturbations))
        require_finite(predicted, "on validation", cure="")  # it has no learning rate to lower
        metrics = cheap_metrics(predicted, validation.delta, validation.deg_mask)
        scores = {name: mean_over_perturbations(values) for name, values in metrics.items()}
        self.is_over = True
        seconds = time.perf_counter() - started
        best = {f"best_{name}": value for name, value in scores.items()}
        return scores | best | {"epoch": 1, "best_epoch": 1, "seconds": seconds}

    def finish(self) -> None:
        """There is one epoch, and it is the best."""

    def write_checkpoint(self, directory: Path) -> None:
        """Do nothing: an interrupted fit starts from scratch."""

    def restore_checkpoint(self, directory: Path) -> None:
        """Do nothing: an interrupted fit starts from scratch."""

    def write_weights(self, path: Path) -> None:
        """Fitting again is as quick as reading."""


def begin_fit(model: PerturbationModel, dataset: PreparedDataset) -> Fit:
    """Start the fit of an untrained model, by epochs where it has any."""
    return model.begin(dataset) if isinstance(model, TrainedInEpochs) else SingleFit(model, dataset)
