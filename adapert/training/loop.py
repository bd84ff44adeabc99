"""The training loop: a generator of epoch reports that knows nothing of who iterates it."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adapert.data.rows import MeanControlRows
from adapert.data.schema import FloatArray, IntArray
from adapert.evaluation.catalogue import cheap_metrics
from adapert.evaluation.metrics import mean_over_perturbations
from adapert.models.network import Network
from adapert.training.numerics import deterministic, tf32
from adapert.training.objective import row_losses
from adapert.training.own_values import read_numbers
from adapert.training.prediction import predict_targets
from adapert.training.rows import RowTensors, copy_minibatch, copy_order
from adapert.training.state import CHOSEN_BY, BestEpoch, Training
from adapert.training.validation import Validated, read_together, score_on_device


class DivergedError(RuntimeError):
    """The loss or a prediction became NaN or infinite."""


LOWER_RATE = "Lower training.learning_rate."


def require_finite(predicted_delta: FloatArray, source: str, cure: str = LOWER_RATE) -> None:
    """Refuse predictions, (n_perturbations, n_genes), that diverged.

    Raises:
        DivergedError: Some are NaN or infinite; `source` says which predictions, as in ``"after epoch 3"``.
    """
    n_bad = int((~np.isfinite(predicted_delta)).any(axis=1).sum())
    refuse_diverged(n_bad, len(predicted_delta), source, cure)


def refuse_diverged(n_bad: int, n_perturbations: int, source: str, cure: str) -> None:
    """Refuse predictions if any diverged, as `require_finite`.

    Raises:
        DivergedError: `n_bad` is not 0.
    """
    if n_bad:
        raise DivergedError(
            f"Predictions must stay finite, but those {source} for {n_bad:,} of {n_perturbations:,} "
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
        validated: What validation came to, where that was read together with the losses; else None.
    """

    losses: dict[str, float]
    observed: dict[str, Tensor]
    seconds: float
    validated: Validated | None = None


class EpochNumbers(NamedTuple):
    """What was read of an epoch.

    Attributes:
        losses: Of each minibatch, (..., n_minibatches) by name.
        scores: Of validation, and ``"n_bad"``, (...) by name.
        report: The network's, (...) by name.
    """

    losses: dict[str, FloatArray]
    scores: dict[str, FloatArray]
    report: dict[str, FloatArray]

    def of_slot(self, slot: int) -> "EpochNumbers":
        """Those of one of several trials."""
        return EpochNumbers(*({name: value[slot] for name, value in part.items()} for part in self))

    def validated(self) -> Validated:
        """What validation came to."""
        scores, report = ({name: float(value) for name, value in part.items()} for part in self[1:])
        return Validated(scores, report, n_bad=int(scores.pop("n_bad")))


def read_epoch(
    losses: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    report: Mapping[str, Tensor | float],
    device: torch.device,
) -> EpochNumbers:
    """Read what an epoch left on a device: the one time that the host waits for it."""
    tensors = {name: torch.as_tensor(value, device=device) for name, value in report.items()}
    return EpochNumbers(*read_together(losses, scores, tensors))


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
    losses, observed, seconds, validated = run_epoch(training)
    started = time.perf_counter()
    if validated is None:
        validated = validate(training, observed)
    n_perturbations = len(training.dataset.splits["validation"].table.perturbations)
    # The last step of an epoch has no later loss to show that it diverged.
    refuse_diverged(validated.n_bad, n_perturbations, f"after epoch {training.epoch}", LOWER_RATE)
    scores = dict(validated.scores)
    keep_best(training, scores)
    return EpochReport(
        epoch=training.epoch,
        losses=losses,
        validation=scores,
        network=dict(validated.report),
        learning_rate=training.rates[-1],
        seconds=seconds + time.perf_counter() - started,
        best_epoch=training.best.epoch,
        best=training.best.scores,
    )


def validate(training: Training, observed: Mapping[str, Tensor]) -> Validated:
    """Score the validation split on the host, by the metrics' own definitions."""
    table = training.dataset.splits["validation"].table
    predicted = training.predict(list(table.perturbations))
    n_bad = int((~np.isfinite(predicted)).any(axis=1).sum())
    if n_bad:
        return Validated({}, {}, n_bad)
    metrics = cheap_metrics(predicted, table.delta, table.deg_mask)
    scores = {name: mean_over_perturbations(values) for name, values in metrics.items()}
    report = read_numbers(training.config.model.name, training.network.epoch_report(observed))
    return Validated(scores, report, n_bad)


def run_alone(training: Training) -> TrainedEpoch:
    """Train the next epoch of one trial; on another device than the CPU, validate it too.

    Raises:
        DivergedError: The loss became NaN or infinite.
    """
    begin_epoch(training, next_learning_rate(training))
    if training.device.type == "cpu":
        trained = train_epoch(training)
        training.predictor.after_epoch(training.dataset)
        return trained
    started = time.perf_counter()
    losses, observed = train_steps(training)
    training.predictor.after_epoch(training.dataset)
    table, predictor = training.validation, training.predictor.eval()
    with deterministic(training.config.training.deterministic):
        scores = score_on_device(predict_targets(predictor, table.targets, table.control), table)
    read = read_epoch(losses, scores, training.network.epoch_report(observed), training.device)
    require_finite_losses(read.losses["loss_total"], training.epoch)
    seconds = time.perf_counter() - started
    return TrainedEpoch(mean_losses(read.losses), observed, seconds, read.validated())


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


def train_epoch(training: Training) -> TrainedEpoch:
    """Take every training row once, in a drawn order.

    Raises:
        DivergedError: The loss became NaN or infinite.
    """
    started = time.perf_counter()
    losses, observed = train_steps(training)
    (values,) = read_together(losses)
    require_finite_losses(values["loss_total"], training.epoch)
    return TrainedEpoch(mean_losses(values), observed, time.perf_counter() - started)


class Steps(NamedTuple):
    """What the steps of an epoch left on the device.

    Attributes:
        losses: Each loss by name, (..., n_minibatches).
        observed: What the predictions observed, the rows of all minibatches joined.
    """

    losses: dict[str, Tensor]
    observed: dict[str, Tensor]


def train_steps(training: Training) -> Steps:
    """Take the steps of `train_epoch`; but on a CPU, nothing is read from the device.

    Raises:
        DivergedError: The loss became NaN or infinite, on a CPU.
    """
    settings = training.config.training
    with (
        flushed_denormals(),
        deterministic(settings.deterministic),
        tf32(settings.precision == "tf32", training.device),
    ):
        return _take_steps(training)


def _take_steps(training: Training) -> Steps:
    training.network.train()
    index = draw_minibatches(training)
    losses: dict[str, list[Tensor]] = defaultdict(list)
    observed: dict[str, list[Tensor]] = defaultdict(list)
    for number, rows in enumerate(_gather(training, index)):
        of_step, prediction = row_losses(training, rows)
        if training.device.type == "cpu":  # where a look takes no time, and may spare the rest of the epoch
            # Before the step, which would turn every weight into NaN.
            require_finite_loss(of_step["loss_total"].item(), training.epoch)
        training.optimizer.zero_grad(set_to_none=True)
        of_step["loss_total"].backward()  # type: ignore[no-untyped-call]
        training.optimizer.step()
        if training.averaged is not None:
            share = newest_share(training, (training.epoch - 1) * len(index) + number + 1)
            average_weights(training.network, training.averaged, share)
        for name, value in of_step.items():
            losses[name].append(value.detach())
        for name, found in prediction.observed.items():
            observed[name].append(found)
    joined = {name: torch.cat(parts) for name, parts in observed.items()}
    return Steps({name: torch.stack(values) for name, values in losses.items()}, joined)


def _gather(training: Training, index: Sequence[IntArray]) -> Iterator[RowTensors]:
    """Gather the minibatches of an epoch: on a GPU where rows are mean responses, else on the host."""
    rows, generator, device = training.objective.rows, training.order_generator, training.device
    if device.type != "cpu" and isinstance(rows, MeanControlRows):
        return map(training.table.take, copy_order(index, device))
    return (copy_minibatch(rows.minibatch(each, generator), device) for each in index)


def mean_losses(losses: Mapping[str, FloatArray]) -> dict[str, float]:
    """Average each loss over minibatches, (n_minibatches,)."""
    return {name: sum(value / len(values) for value in values.tolist()) for name, values in losses.items()}


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


def require_finite_losses(losses: FloatArray, epoch: int) -> None:
    """Refuse losses of an epoch's minibatches, (n_minibatches,), as `require_finite_loss`."""
    for loss in losses.tolist():
        require_finite_loss(loss, epoch)


@torch.no_grad()
def average_weights(network: Network, averaged: Network, share: float) -> None:
    """Move averaged weights towards those after a step: a moving average, of all steps at first.

    torch's `AveragedModel` would copy every constant table at each step.
    """
    weights = network.state_dict()
    for name, average in averaged.state_dict().items():
        if average.is_floating_point():
            average.lerp_(weights[name], share)
        else:  # a count
            average.copy_(weights[name])


def newest_share(training: Training, n_steps: int) -> float:
    """Share of the newest step's weights in the moving average of so many steps."""
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
