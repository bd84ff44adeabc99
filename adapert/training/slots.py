"""Trials of one shape trained in one step: each is a slot, and stays the `Training` that it is alone.

The parameters of all slots are stacked, and a slot's own are views of its part. Forward and backward are
those of one trial, which `torch.vmap` maps over the slots; optimisers, generators, best epochs and
checkpoints stay the trials' own. Nothing sums over slots: NaN in one reaches no other.
"""

import time
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from adapert.config import Config
from adapert.data.rows import MeanControlRows
from adapert.data.schema import FloatArray
from adapert.models.network import Network, Objective, Prediction, send
from adapert.models.networks import is_mapped
from adapert.models.noise import SlotGenerators
from adapert.models.optimizers import descend
from adapert.models.precision import half_precision
from adapert.models.sparse_product import block_diagonal
from adapert.models.targets import Targets
from adapert.training.loop import (
    DivergedError,
    Steps,
    TrainedEpoch,
    begin_epoch,
    draw_minibatches,
    flushed_denormals,
    newest_share,
    next_learning_rate,
    read_epoch,
    require_finite_losses,
)
from adapert.training.numerics import deterministic, tf32
from adapert.training.prediction import predict_targets
from adapert.training.rows import MeanTable, RowTensors, copy_order
from adapert.training.state import Training
from adapert.training.validation import ValidationTable, score_on_device

Parts = TypeVar("Parts", Targets, MeanTable, ValidationTable)

OWN_FIELDS = (
    "app.dropout",
    "app.huber_delta",
    "app.huber_delta_unit",
    "app.lambda_non",
    "data.embeddings",
    "data.path",
    "data.split_seed",
    "data.text_embedding",
    "graph.added_fraction",
    "graph.edge_weight",
    "graph.edges",
    "graph.kept_fraction",
    "graph.networks",
    "graph.rewired_fraction",
    "graph.top_k",
    "loss.huber_delta",
    "loss.huber_delta_unit",
    "loss.lambda_align",
    "loss.lambda_non",
    "loss.weighting",
    "model.dropout",
    "model.offset",
    "model.other_scale",
    "model.self_loops",
    "model.tau",
    "model.threshold",
    "perturbed_vae.beta",
    "perturbed_vae.contrastive_temperature",
    "perturbed_vae.lambda_align",
    "perturbed_vae.lambda_sparsity",
    "perturbed_vae.mask_prior",
    "training.kept_epoch",
    "training.learning_rate",
    "training.max_epochs",
    "training.patience",
    "training.plateau_factor",
    "training.plateau_patience",
    "training.schedule",
    "training.weight_decay",
)
"""Fields that slots may differ in: they are numbers in tensors, or nothing that a step computes."""


def can_share(config: Config) -> bool:
    """Whether trials of a config can share steps with others, where their rows are mean responses."""
    is_apart = config.data.control != "mean" or config.loss.alignment == "paper"
    # Genes outside a graph of some nodes are refused by their values, which a mapped step cannot look at.
    is_apart |= config.graph.nodes != "all"
    return not is_apart and is_mapped(config.model.name)


def shape_of(training: Training) -> Hashable:
    """Tell trials that can share a step: theirs are equal. None for a trial that can only train alone."""
    config = training.config
    if not can_share(config) or not isinstance(training.objective.rows, MeanControlRows):
        return None
    settings = tuple((name, value) for name, value in config.settings().items() if name not in OWN_FIELDS)
    tensors = tuple((name, tuple(tensor.shape)) for name, tensor in _tensors(training).items())
    # Validation is part of a shared epoch where its predictions stay on a GPU.
    validated = None if training.device.type == "cpu" else training.validation_shape
    return settings, tensors, training.device, len(training.objective.rows.perturbation_index), validated


class Slots:
    """Trials that are trained side by side."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        """Stack the tensors of trials of one `shape_of`; their parameters become views."""
        self.trainings = tuple(trainings)
        steps = [_Step(training) for training in trainings]
        self.step = steps[0]
        self.stacked: dict[str, Tensor] = {}
        self.in_dims: dict[str, int | None] = {}
        self.parameters = {
            name: [step.get_parameter(name) for step in steps] for name, _ in steps[0].named_parameters()
        }
        for name, each in self.parameters.items():
            self._hold(name, _stack_views(each), 0)
        for name, _ in steps[0].named_buffers():
            self._hold(name, *_join([step.get_buffer(name) for step in steps]))
        self.trained = [name for name, each in self.parameters.items() if each[0].requires_grad]
        for name in self.trained:
            self.stacked[name].requires_grad_()
        self.device = trainings[0].device
        self.slot = torch.arange(len(trainings), device=self.device)
        self.targets, self.target_dims = _join_all([training.targets for training in trainings])
        self.table, self.table_dims = _join_all([training.table for training in trainings])
        self.is_validated = self.device.type != "cpu"
        for training in trainings:
            del training.table  # the joined one serves all
        averaged = [training.averaged for training in trainings if training.averaged is not None]
        self.averaged = {
            name: _stack_views([network.get_parameter(name) for network in averaged])
            for name, _ in (averaged[0].named_parameters() if averaged else ())
        }

    @cached_property
    def validation(self) -> tuple[ValidationTable, ValidationTable]:
        """Validation splits of all slots, and their dimensions of slots."""
        joined = _join_all([training.validation for training in self.trainings])
        for training in self.trainings:
            del training.validation
        return joined

    def _hold(self, name: str, tensor: Tensor, in_dim: int | None) -> None:
        self.stacked[name], self.in_dims[name] = tensor, in_dim

    def train_epoch(self) -> list[TrainedEpoch | DivergedError]:
        """Train the next epoch of every slot; a slot whose loss became NaN or infinite has an error.

        On another device than the CPU validation is part of it: the device is read once, for all slots.
        """
        started = time.perf_counter()
        settings = self.trainings[0].config.training
        with flushed_denormals(), deterministic(settings.deterministic):
            with tf32(settings.precision == "tf32", self.device):
                losses, observed = self._train_steps()
            for training in self.trainings:
                training.predictor.after_epoch(training.dataset)
            scores = self._validate() if self.is_validated else {}
        has_report = self.is_validated and bool(observed)  # there is no map of nothing
        report = torch.vmap(self.step.network.epoch_report)(observed) if has_report else {}
        read = read_epoch(losses, scores, report, self.device)
        seconds = (time.perf_counter() - started) / len(self.trainings)
        epochs: list[TrainedEpoch | DivergedError] = []
        for slot, training in enumerate(self.trainings):
            own = read.of_slot(slot)
            means = {name: float(values.mean()) for name, values in own.losses.items()}
            joined = {name: rows[slot] for name, rows in observed.items()}
            validated = own.validated() if self.is_validated else None
            epoch = TrainedEpoch(means, joined, seconds, validated)
            epochs.append(_find_divergence(own.losses["loss_total"], training.epoch) or epoch)
        return epochs

    def _train_steps(self) -> Steps:
        """Take the steps of an epoch; slots are the first dimension of what they left."""
        self.step.train()
        for training in self.trainings:
            begin_epoch(training, next_learning_rate(training))
        order, steps = self.draw_order(), []
        for index in order:
            steps.append(self.compute_losses(index))
            self._descend(self.gradients(steps[-1]))
            self._average(n_minibatches=len(order), number=len(steps))
        losses = {name: [step.losses[name].detach() for step in steps] for name in steps[0].losses}
        observed = {name: [step.observed[name] for step in steps] for name in steps[0].observed}
        return Steps(
            {name: torch.stack(values, dim=1) for name, values in losses.items()},
            {name: torch.cat(parts, dim=1) for name, parts in observed.items()},
        )

    def draw_order(self) -> Sequence[Tensor]:
        """Draw the rows of each minibatch of an epoch, (n_slots, n_rows)."""
        order = [np.stack(each) for each in zip(*map(draw_minibatches, self.trainings), strict=True)]
        return copy_order(order, self.device)

    def compute_losses(self, index: Tensor) -> Steps:
        """Compute the losses of a minibatch of each slot, (n_slots, n_rows), and what they observed."""
        generators = [training.generator for training in self.trainings]

        def run(
            tensors: dict[str, Tensor], targets: Targets, table: MeanTable, index: Tensor, slot: Tensor
        ) -> Steps:
            arguments = (targets, table.take(index), SlotGenerators(slot, generators))
            return functional_call(self.step, tensors, arguments)  # type: ignore[no-any-return]

        mapped = torch.vmap(run, in_dims=(self.in_dims, self.target_dims, self.table_dims, 0, 0))
        return mapped(self.stacked, self.targets, self.table, index, self.slot)

    @torch.no_grad()
    def _validate(self) -> dict[str, Tensor]:
        """Score the validation split of each slot, (n_slots,) by name."""
        tensors, in_dims = self._predictors()
        table, table_dims = self.validation

        def run(tensors: dict[str, Tensor], table: ValidationTable) -> Tensor:
            def predict(*arguments: Any) -> Prediction:
                return functional_call(self.step.network, tensors, arguments)  # type: ignore[no-any-return]

            return predict_targets(predict, table.targets, table.control)

        self.step.network.eval()
        predicted_delta = torch.vmap(run, in_dims=(in_dims, table_dims))(tensors, table)
        return score_on_device(predicted_delta, table)

    def _predictors(self) -> tuple[dict[str, Tensor], dict[str, int | None]]:
        """Tensors of the networks that predict, and their dimensions of slots."""
        prefix = "network."
        names = [name for name in self.stacked if name.startswith(prefix)]
        tensors = {name.removeprefix(prefix): self.stacked[name] for name in names}
        in_dims = {name.removeprefix(prefix): self.in_dims[name] for name in names}
        return tensors | self.averaged, in_dims | dict.fromkeys(self.averaged, 0)

    def gradients(self, computed: Steps) -> dict[str, Tensor]:
        """Compute the gradients of the parameters that the losses depend on, (n_slots, ...) by name."""
        leaves = [self.stacked[name] for name in self.trained]
        found = torch.autograd.grad(computed.losses["loss_total"].sum(), leaves, allow_unused=True)
        return {name: g for name, g in zip(self.trained, found, strict=True) if g is not None}

    def _descend(self, gradients: Mapping[str, Tensor]) -> None:
        """Take the step of each slot's optimiser."""
        # It reads memory, not strides.
        parts = {name: gradient.contiguous().unbind() for name, gradient in gradients.items()}
        for slot, training in enumerate(self.trainings):
            parameters = [self.parameters[name][slot] for name in parts]
            descend(training.optimizer, parameters, [of_slots[slot] for of_slots in parts.values()])

    def _average(self, n_minibatches: int, number: int) -> None:
        """Average the weights of each slot after a step; those of an epoch count from 1."""
        if self.averaged:
            n_steps = [(training.epoch - 1) * n_minibatches + number for training in self.trainings]
            shares = send(torch.tensor(list(map(newest_share, self.trainings, n_steps))), self.device)
            for name, average in self.averaged.items():
                weights = self.stacked[f"network.{name}"].detach()
                average.lerp_(weights, shares.view(-1, *[1] * (average.dim() - 1)))


class _Step(nn.Module):
    """A minibatch's losses, as a function of all tensors of a trial."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.network: Network = training.network
        self.objective: Objective = training.objective
        self.is_half = training.config.training.precision == "bfloat16"

    def forward(self, targets: Targets, rows: RowTensors, noise: SlotGenerators) -> Steps:
        """Compute the losses of one slot, and what its prediction observed."""
        with half_precision(rows.weight.device, self.is_half):
            prediction = self.network.forward_in_training(
                targets.take(rows.perturbations),
                rows.perturbation_row,
                rows.control,
                rows.control_row,
                rows.target_delta,
                cast(torch.Generator, noise),  # networks that are mapped draw by `adapert.models.noise`
            )
        return Steps(self.objective(prediction, rows.batch), dict(prediction.observed))


def _tensors(training: Training) -> dict[str, Tensor]:
    step = _Step(training)
    targets = {"targets": training.targets.nodes}
    return dict(step.named_parameters()) | dict(step.named_buffers()) | targets


def _stack_views(each: Sequence[nn.Parameter]) -> Tensor:
    """Stack parameters, and make each a view of its part."""
    stacked = torch.stack([parameter.detach() for parameter in each])
    for parameter, part in zip(each, stacked, strict=True):
        parameter.data = part
    return stacked


def _join(each: Sequence[Tensor]) -> tuple[Tensor, int | None]:
    """Join a constant of all slots: one where it is the same for all, else stacked; and its slots' dimension.

    Sparse matrices are joined into one, which multiplies the stacked tables of all slots.
    """
    if all(_is_same(each[0], other) for other in each[1:]):
        return each[0], None
    if each[0].layout == torch.sparse_csr:
        return block_diagonal(each), None
    return torch.stack(list(each)), 0


def _join_all(each: Sequence[Parts]) -> tuple[Parts, Parts]:
    """Join named constants of all slots, one by one as `_join` does, and name the dimensions of slots."""
    joined = [_join(tensors) for tensors in zip(*each, strict=True)]
    kind = type(each[0])
    dims: Any = [in_dim for _, in_dim in joined]  # of the same kind, as `torch.vmap` wants them
    return kind(*(tensor for tensor, _ in joined)), kind(*dims)


def _is_same(one: Tensor, other: Tensor) -> bool:
    if one.is_meta:  # it has no values
        return one is other
    if one.layout != torch.sparse_csr:
        return torch.equal(one, other)
    parts = ((m.crow_indices(), m.col_indices(), m.values()) for m in (one, other))
    return all(torch.equal(*pair) for pair in zip(*parts, strict=True))


def _find_divergence(losses: FloatArray, epoch: int) -> DivergedError | None:
    """Find the first loss, (n_minibatches,), that is NaN or infinite."""
    try:
        require_finite_losses(losses, epoch)
    except DivergedError as error:
        return error
    return None
