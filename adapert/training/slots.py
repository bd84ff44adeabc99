"""Trials of one shape trained in one step: each is a slot, and stays the `Training` that it is alone.

The parameters of all slots are stacked, and a slot's own are views of its part. Forward and backward are
those of one trial, which `torch.vmap` maps over the slots; optimisers, generators, best epochs and
checkpoints stay the trials' own. Nothing sums over slots: NaN in one reaches no other.
"""

import time
from collections.abc import Hashable, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from adapert.config import Config
from adapert.data.rows import MeanControlRows
from adapert.data.schema import FloatArray, IntArray
from adapert.models.network import Batch, Network, Objective, to_tensor
from adapert.models.networks import is_mapped
from adapert.models.noise import SlotGenerators
from adapert.models.sparse_product import block_diagonal
from adapert.models.targets import Targets
from adapert.training.loop import (
    DivergedError,
    TrainedEpoch,
    begin_epoch,
    draw_minibatches,
    flushed_denormals,
    newest_share,
    next_learning_rate,
    require_finite_loss,
)
from adapert.training.state import Training

OWN_FIELDS = (
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
    "model.offset",
    "model.other_scale",
    "model.self_loops",
    "model.tau",
    "model.threshold",
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
    """Whether trials of a config can share steps with others at all."""
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
    return settings, tensors, training.device, len(training.objective.rows.perturbation_index)


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
        targets = [_join(each) for each in zip(*(training.targets for training in trainings), strict=True)]
        self.targets = Targets(*(tensor for tensor, _ in targets))
        self.target_dims = Targets(*(in_dim for _, in_dim in targets))  # type: ignore[arg-type]
        averaged = [training.averaged for training in trainings if training.averaged is not None]
        self.averaged = {
            name: _stack_views([network.get_parameter(name) for network in averaged])
            for name, _ in (averaged[0].named_parameters() if averaged else ())
        }

    def _hold(self, name: str, tensor: Tensor, in_dim: int | None) -> None:
        self.stacked[name], self.in_dims[name] = tensor, in_dim

    @flushed_denormals()
    def train_epoch(self) -> list[TrainedEpoch | DivergedError]:
        """Train the next epoch of every slot; a slot whose loss became NaN or infinite has an error."""
        started = time.perf_counter()
        self.step.train()
        for training in self.trainings:
            begin_epoch(training, next_learning_rate(training))
        minibatches = zip(*map(draw_minibatches, self.trainings), strict=True)
        steps = [self._train_step(indices) for indices in minibatches]
        losses = {name: torch.stack([step.losses[name] for step in steps], dim=1) for name in steps[0].losses}
        observed = {name: [step.observed[name] for step in steps] for name in steps[0].observed}
        # One read of the device an epoch.
        names, values = list(losses), torch.stack(list(losses.values())).cpu().numpy().astype(float)
        for training in self.trainings:
            training.predictor.after_epoch(training.dataset)
        seconds = (time.perf_counter() - started) / len(self.trainings)
        trained = [
            TrainedEpoch(
                dict(zip(names, values[:, slot].mean(axis=1).tolist(), strict=True)),
                {name: torch.cat([rows[slot] for rows in parts]) for name, parts in observed.items()},
                seconds,
            )
            for slot in range(len(self.trainings))
        ]
        totals = values[names.index("loss_total")]
        return [
            _find_divergence(losses, training.epoch) or epoch
            for losses, training, epoch in zip(totals, self.trainings, trained, strict=True)
        ]

    def _train_step(self, indices: Sequence[IntArray]) -> "_StepOutput":
        minibatch = self._gather(indices)
        slot = torch.arange(len(self.trainings), device=minibatch.control.device)
        generators = [training.generator for training in self.trainings]

        def run(tensors: dict[str, Tensor], targets: Targets, rows: _Rows, slot: Tensor) -> _StepOutput:
            arguments = (targets, rows, SlotGenerators(slot, generators))
            return functional_call(self.step, tensors, arguments)  # type: ignore[no-any-return]

        mapped = torch.vmap(run, in_dims=(self.in_dims, self.target_dims, 0, 0))
        losses, observed = mapped(self.stacked, self.targets, minibatch, slot)
        self._descend(losses["loss_total"])
        return _StepOutput({name: loss.detach() for name, loss in losses.items()}, observed)

    def _gather(self, indices: Sequence[IntArray]) -> "_Rows":
        """Gather a minibatch of each slot; slots are the first dimension."""
        device = self.trainings[0].device
        each = [
            training.objective.rows.minibatch(index, training.order_generator)
            for training, index in zip(self.trainings, indices, strict=True)
        ]
        return _Rows(
            torch.from_numpy(np.stack([one.perturbation_index for one in each]).astype(np.int64)).to(device),
            to_tensor(np.stack([one.control for one in each]), device),
            torch.from_numpy(np.stack([one.control_row for one in each])).to(device),
            to_tensor(np.stack([one.target_delta for one in each]), device),
            to_tensor(np.stack([one.weight for one in each]), device),
        )

    def _descend(self, loss: Tensor) -> None:
        """Take the step of each slot's optimiser, and average its weights."""
        leaves = [self.stacked[name] for name in self.trained]
        gradients = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
        for name, gradient in zip(self.trained, gradients, strict=True):
            # The optimiser reads memory, not strides.
            parts = None if gradient is None else gradient.contiguous()
            for slot, parameter in enumerate(self.parameters[name]):
                parameter.grad = None if parts is None else parts[slot]
        for training in self.trainings:
            training.optimizer.step()
        if self.averaged:
            shares = torch.tensor([newest_share(training) for training in self.trainings], device=loss.device)
            for name, average in self.averaged.items():
                weights = self.stacked[f"network.{name}"].detach()
                average.lerp_(weights, shares.view(-1, *[1] * (average.dim() - 1)))


class _Rows(NamedTuple):
    """A minibatch whose rows are perturbations; fields as `adapert.data.rows.Minibatch` has them."""

    perturbations: Tensor
    control: Tensor
    control_row: Tensor
    target_delta: Tensor
    weight: Tensor


class _StepOutput(NamedTuple):
    """Losses by name, and what the prediction observed."""

    losses: dict[str, Tensor]
    observed: dict[str, Tensor]


class _Step(nn.Module):
    """A minibatch's losses, as a function of all tensors of a trial."""

    def __init__(self, training: Training) -> None:
        super().__init__()
        self.network: Network = training.network
        self.objective: Objective = training.objective
        self.is_half = training.config.training.precision == "bfloat16"

    def forward(self, targets: Targets, rows: _Rows, noise: SlotGenerators) -> _StepOutput:
        """Compute the losses of one slot."""
        device = rows.weight.device
        row = torch.arange(len(rows.perturbations), device=device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.is_half):
            prediction = self.network.forward_in_training(
                targets.take(rows.perturbations),
                row,
                rows.control,
                rows.control_row,
                rows.target_delta,
                cast(torch.Generator, noise),  # networks that are mapped draw by `adapert.models.noise`
            )
        batch = Batch(rows.perturbations, row, rows.target_delta, rows.weight)
        return _StepOutput(self.objective(prediction, batch), dict(prediction.observed))


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


def _is_same(one: Tensor, other: Tensor) -> bool:
    if one.layout != torch.sparse_csr:
        return torch.equal(one, other)
    parts = ((m.crow_indices(), m.col_indices(), m.values()) for m in (one, other))
    return all(torch.equal(*pair) for pair in zip(*parts, strict=True))


def _find_divergence(losses: FloatArray, epoch: int) -> DivergedError | None:
    """Find the first loss, (n_minibatches,), that is NaN or infinite."""
    try:
        for loss in losses:
            require_finite_loss(loss, epoch)
    except DivergedError as error:
        return error
    return None
