"""The training loop: a generator of epoch reports that knows nothing of who iterates it."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapert.data.schema import FloatArray, IntArray
from adapert.evaluation.catalogue import cheap_metrics
from adapert.evaluation.metrics import mean_over_perturbations
from adapert.models.network import Network
from adapert.training.objective import minibatch_losses
from adapert.training.state import CHOSEN_BY, BestEpoch, Training


class DivergedError(RuntimeError):
    """The loss or a prediction became NaN or infinite."""


def require_finite(
    predicted_delta: FloatArray, source: str, cure: str = "Lower training.learning_rate."
) -> None:
    """Refuse predictions, (n_perturbations, n_genes), that diverged.

    Raises:
        DivergedError: Some are NaN or infinite; `source` says which predictions, as in ``"after epoch 3"``.
    """
    n_bad = int((~np.isfinite(predicted_delta)).any(axis=1).sum())
    if n_bad:
        raise DivergedError(
            f"Predictions must stay finite, but those {source} for {n_bad:,} of {len(predicted_delta):,} "
            f"perturbations are not. {cure}".rstrip()
        )


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes:
        epoch: From 1.
        losses: Mean over minibatches of ``loss_total`` and the terms that the objective reports.
        validation: Means over validation perturbations of the cheap metrics.
        network: What the network reports of its training predictions.
        learning_rate: The epoch's.
        seconds: Training and validation.
        best_epoch: Epoch of the best validation Pearson-delta so far.
        best: `validation` of that epoch.
    """

    epoch: int
    losses: dict[str, float]
    validation: dict[str, float]
    network: dict[str, float]
    learning_rate: float
    seconds: float
    best_epoch: int
    best: dict[str, float]

    def flat(self) -> dict[str, float]:
        """List all values under the names that trackers and searchers use."""
        rest = {name: value for name, value in vars(self).items() if not isinstance(value, dict)}
        best = {f"best_{name}": value for name, value in self.best.items()}
        return rest | self.losses | self.validation | self.network | best


class TrainedEpoch(NamedTuple):
    """What training took of an epoch.

    Attributes:
        losses: Mean over minibatches of each loss.
        observed: What the predictions observed, the rows of all minibatches joined.
        seconds: Its time; an equal share of what trials took together.
    """

    losses: dict[str, float]
    observed: dict[str, Tensor]
    seconds: float


def train(training: Training) -> Iterator[EpochReport]:
    """Train until the epochs or the patience are used up, one report an epoch.

    Whoever iterates may stop, checkpoint or report between epochs; `training.best` holds the best
    epoch's weights.

    Raises:
        DivergedError: The loss or a validation prediction became NaN or infinite.
    """
    while not training.is_over:
        yield advance(training, run_alone)


def advance(training: Training, run_epoch: Callable[[Training], TrainedEpoch]) -> EpochReport:
    """Train the next epoch by `run_epoch`, score the validation split and keep the best weights.

    Raises:
        DivergedError: The loss or a validation prediction became NaN or infinite.
    """
    validation = training.dataset.splits["validation"].table
    losses, observed, seconds = run_epoch(training)
    started = time.perf_counter()
    predicted = training.predict(list(validation.perturbations))
    # The last step of an epoch has no later loss to show that it diverged.
    require_finite(predicted, f"after epoch {training.epoch}")
    scores = {
        name: mean_over_perturbations(values)
        for name, values in cheap_metrics(predicted, validation.delta, validation.deg_mask).items()
    }
    keep_best(training, scores)
    return EpochReport(
        epoch=training.epoch,
        losses=losses,
        validation=scores,
        network=training.network.epoch_report(observed),
        learning_rate=training.rates[-1],
        seconds=seconds + time.perf_counter() - started,
        best_epoch=training.best.epoch,
        best=training.best.scores,
    )


def run_alone(training: Training) -> TrainedEpoch:
    """Train the next epoch of one trial.

    Raises:
        DivergedError: The loss became NaN or infinite.
    """
    begin_epoch(training, next_learning_rate(training))
    trained = train_epoch(training)
    training.predictor.after_epoch(training.dataset)
    return trained


def train_at(training: Training, rates: Sequence[float]) -> None:
    """Train an epoch at each of the learning rates, without validation: nothing is scored, kept or chosen.

    The data set needs a training split alone; neither patience nor the config's epochs count.

    Raises:
        DivergedError: The loss became NaN or infinite.
    """
    for rate in rates:
        begin_epoch(training, rate)
        train_epoch(training)
    training.predictor.after_epoch(training.dataset)


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Take numbers below 1e-38 for 0 on this thread, and leave it as it was.

    A sharp selection saturates, so that gradients of unselected nodes are that small; a CPU multiplies
    such numbers many times slower than others (``python -m benchmarks denormals``), and they change next to
    nothing. Where torch has several threads, its others keep them.
    """
    was_on = float(torch.full((), 1e-39) * 1) == 0
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_on)


@flushed_denormals()
def train_epoch(training: Training) -> TrainedEpoch:
    """Take every training row once, in a drawn order."""
    started = time.perf_counter()
    training.network.train()
    totals: dict[str, float] = defaultdict(float)
    observed: dict[str, list[Tensor]] = defaultdict(list)
    minibatches = draw_minibatches(training)
    for index in minibatches:
        losses, prediction = minibatch_losses(
            training, training.objective.rows.minibatch(index, training.order_generator)
        )
        # Before the step, which would turn every weight into NaN.
        require_finite_loss(losses["loss_total"].item(), training.epoch)
        training.optimizer.zero_grad(set_to_none=True)
        losses["loss_total"].backward()  # type: ignore[no-untyped-call]
        training.optimizer.step()
        if training.averaged is not None:
            average_weights(training, training.averaged)
        for name, value in losses.items():
            totals[name] += value.item() / len(minibatches)
        for name, rows in prediction.observed.items():
            observed[name].append(rows)
    joined = {name: torch.cat(parts) for name, parts in observed.items()}
    return TrainedEpoch(dict(totals), joined, time.perf_counter() - started)


def draw_minibatches(training: Training) -> list[IntArray]:
    """Draw the order of an epoch's training rows: rows of each minibatch, sorted."""
    order = training.order_generator.permutation(len(training.objective.rows.perturbation_index))
    # Of nearly one size: a small last one would move the weights as far as the others.
    minibatches = np.array_split(order, math.ceil(len(order) / training.config.training.minibatch_size))
    # Sorted, since rows come from memory-mapped files.
    return [np.sort(index) for index in minibatches]


def require_finite_loss(loss: float, epoch: int) -> None:
    """Refuse a minibatch's loss that is NaN or infinite.

    Raises:
        DivergedError: It is.
    """
    if not math.isfinite(loss):
        raise DivergedError(
            f"The loss must stay finite, but it is {loss} in epoch {epoch}. Lower training.learning_rate."
        )


@torch.no_grad()
def average_weights(training: Training, averaged: Network) -> None:
    """Move averaged weights towards those after a step: a moving average, of all steps at first.

    torch's `AveragedModel` would copy every constant table at each step.
    """
    share = newest_share(training)
    weights = training.network.state_dict()
    for name, average in averaged.state_dict().items():
        if average.is_floating_point():
            average.lerp_(weights[name], share)
        else:  # a count
            average.copy_(weights[name])


def newest_share(training: Training) -> float:
    """Share of the newest step's weights in the moving average."""
    n_steps: float = next(iter(training.optimizer.state.values()))["step"].item()
    return 1 - min(training.config.training.weight_averaging, 1 - 1 / n_steps)


def begin_epoch(training: Training, rate: float) -> None:
    """Count the next epoch, and set its learning rate."""
    training.rates.append(rate)
    for group in training.optimizer.param_groups:
        group["lr"] = rate


def next_learning_rate(training: Training) -> float:
    """The next epoch's, by the schedule and the epochs so far."""
    settings, rates = training.config.training, training.rates
    if settings.schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * len(rates) / settings.max_epochs)) / 2
    if settings.schedule == "constant" or not rates:
        return settings.learning_rate
    lowered_before = rates.index(rates[-1])  # the epochs before the rate of today
    n_stalled = training.epoch - max(training.best.epoch, lowered_before)
    return rates[-1] * (settings.plateau_factor if n_stalled > settings.plateau_patience else 1)


def keep_best(training: Training, scores: dict[str, float]) -> None:
    """Keep the weights of the best epoch so far, or of every one; NaN is never the best."""
    is_last = training.config.training.kept_epoch == "last"
    if is_last or scores[CHOSEN_BY] > training.best.scores[CHOSEN_BY]:
        # Copies, as the next step changes the tensors in place.
        weights = {name: value.detach().clone() for name, value in training.predictor.state_dict().items()}
        training.best = BestEpoch(training.epoch, scores, weights)
