"""The state of one trial in training: network, objective, optimiser, generators, position, best epoch."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import MeanControlRows
from adapert.data.schema import FloatArray
from adapert.data.sources import check_cells
from adapert.evaluation.catalogue import metrics_of_epochs
from adapert.models.network import Network
from adapert.models.networks import network_parts
from adapert.models.optimizers import without_compiler
from adapert.models.targets import NodePlace, Targets, build_targets
from adapert.seeding import numpy_generator, torch_generator
from adapert.training.numerics import deterministic, prepare_device
from adapert.training.prediction import predict
from adapert.training.rows import MeanTable, copy_table
from adapert.training.validation import ValidationTable, copy_validation

AdamW = without_compiler(torch.optim.AdamW)

CHOSEN_BY = "pearson_delta"
"""Validation metric whose largest value makes an epoch the best."""

CPU = torch.device("cpu")

NO_SCORES = dict.fromkeys(metrics_of_epochs(), math.nan) | {CHOSEN_BY: -math.inf}
"""Scores before any epoch: any value of `CHOSEN_BY` is better."""


@dataclass
class BestEpoch:
    """The epoch whose weights are kept: of the best validation score by `CHOSEN_BY`, or the last.

    Attributes:
        epoch: From 1; 0 before there is one.
        scores: Its validation means of the metrics of every epoch.
        weights: The network's weights after it.
    """

    epoch: int = 0
    scores: dict[str, float] = field(default_factory=NO_SCORES.copy)
    weights: dict[str, Tensor] = field(default_factory=dict)


class Training:
    """One trial's network, objective, optimiser, generators and position.

    Attributes:
        averaged: The network of averaged weights, where the config asks for one.
        rates: Learning rate of each epoch so far.
        resolved: What the config amounts to on the data set, under the names that trackers use.
    """

    def __init__(self, config: Config, dataset: PreparedDataset, seed: int, device: torch.device) -> None:
        """Build the untrained state from the data set's training split.

        Raises:
            InputError: The config asks for cells that the data set does not have.
        """
        check_cells(config, dataset.manifest.kind)
        prepare_device(device)
        self.config, self.dataset, self.seed, self.device = config, dataset, seed, device
        parts = network_parts(config.model.name)
        network = parts.build(dataset, config, seed)
        targets = build_targets(dataset, list(dataset.splits["train"].table.perturbations), CPU)
        for module in network.modules():
            if isinstance(module, NodePlace):
                module.check(targets)
        self.network = network.to(device)
        self.targets = Targets(*(tensor.to(device) for tensor in targets))
        self.objective = parts.objective(dataset, config, seed).to(device)
        trainable = [p for p in self.parameters() if p.requires_grad]
        self.optimizer = AdamW(
            trainable,
            lr=config.training.learning_rate,
            weight_decay=config.training.weight_decay,
            fused=device.type != "meta",  # on a CPU a third of the default's time
        )
        is_averaged = config.training.weight_averaging > 0
        self.averaged = deepcopy(self.network) if is_averaged else None
        # One generator for each use: none depends on how often the others were drawn from.
        self.generator = torch_generator(seed, "noise", device)
        self.order_generator = numpy_generator(seed, "minibatches")
        self.resolved = self.objective.resolved | {"n_parameters": float(sum(p.numel() for p in trainable))}
        self.best = BestEpoch()
        self.rates: list[float] = []

    @property
    def epoch(self) -> int:
        """Epochs so far."""
        return len(self.rates)

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the network and of its objective."""
        return [*self.network.parameters(), *self.objective.parameters()]

    @property
    def is_over(self) -> bool:
        """Whether the epochs or the patience are used up."""
        limits = self.config.training
        is_out_of_patience = self.epoch - self.best.epoch >= limits.patience
        return self.epoch >= limits.max_epochs or (self.epoch > 0 and is_out_of_patience)

    @property
    def predictor(self) -> Network:
        """The network that predicts."""
        return self.network if self.averaged is None else self.averaged

    @cached_property
    def table(self) -> MeanTable:
        """All training rows on the device, where they are mean responses."""
        assert isinstance(self.objective.rows, MeanControlRows)
        return copy_table(self.objective.rows, self.device)

    @cached_property
    def validation(self) -> ValidationTable:
        """The validation split on the device."""
        return copy_validation(self.dataset, self.device)

    @cached_property
    def validation_shape(self) -> torch.Size:
        """Shape of the genes that validation perturbations target, found without the device."""
        perturbations = self.dataset.splits["validation"].table.perturbations
        return build_targets(self.dataset, list(perturbations), CPU).nodes.shape

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas with the current weights, (n_perturbations, n_genes)."""
        with deterministic(self.config.training.deterministic):
            return predict(self.predictor, self.dataset, perturbations, self.device)
