"""The state of one trial in training: model, optimiser, generators, position, best epoch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.evaluation.catalogue import metrics_of_epochs
from adapert.models.adapert.losses import alignment_loss, non_deg_shrinkage
from adapert.models.adapert.model import build_model, build_targets
from adapert.seeding import numpy_generator, seeded_initialisation, torch_generator
from adapert.training.prediction import predict
from adapert.training.rows import ROWS, Rows

CHOSEN_BY = "pearson_delta"
"""Validation metric whose largest value makes an epoch the best."""

NO_SCORES = dict.fromkeys(metrics_of_epochs(), math.nan) | {CHOSEN_BY: -math.inf}
"""Scores before any epoch: any value of `CHOSEN_BY` is better."""


@dataclass
class BestEpoch:
    """The epoch of best validation score by `CHOSEN_BY`.

    Attributes:
        epoch: From 1; 0 before there is one.
        scores: Its validation means of the metrics of every epoch.
        weights: The model's weights after it.
    """

    epoch: int = 0
    scores: dict[str, float] = field(default_factory=NO_SCORES.copy)
    weights: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Resolved:
    """What a config's settings amount to on a data set.

    Attributes:
        huber_delta: delta of Eq. 17, log1p units.
        non_deg_shrinkage: Expected shrinkage of non-DEG amplitudes by lambda_non.
        n_parameters: Trainable parameters.
    """

    huber_delta: float
    non_deg_shrinkage: float
    n_parameters: int

    def flat(self) -> dict[str, float]:
        """List the values under the names that trackers use."""
        return {
            "resolved_huber_delta": self.huber_delta,
            "non_deg_shrinkage": self.non_deg_shrinkage,
            "n_parameters": float(self.n_parameters),
        }


class Training:
    """One trial's model, optimiser, generators and position."""

    def __init__(self, config: Config, dataset: PreparedDataset, seed: int, device: torch.device) -> None:
        """Build the untrained state from the data set's training split."""
        self.config, self.dataset, self.seed, self.device = config, dataset, seed, device
        train = dataset.splits["train"].table
        self.rows: Rows = ROWS[config.data.control](dataset, config.loss.weighting)
        self.model = build_model(dataset, config, seed).to(device)
        # g of Eq. 19: trained where the alignment is the paper's, else a fixed random projection.
        with seeded_initialisation(seed, "target head"):
            self.target_head = nn.Linear(dataset.n_genes, config.model.structural_size, bias=False)
        self.target_head.requires_grad_(config.loss.alignment == "paper").to(device)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.parameters() if p.requires_grad],
            lr=config.training.learning_rate,
            weight_decay=config.training.weight_decay,
            fused=True,  # on a CPU a third of the default's time
        )
        self.align = alignment_loss(config.loss)
        # One generator for each use: none depends on how often the others were drawn from.
        self.generator = torch_generator(seed, "noise", device)
        self.order_generator = numpy_generator(seed, "minibatches")
        self.targets = build_targets(dataset, list(train.perturbations), device)
        self.resolved = resolve(config, dataset, sum(p.numel() for p in self.parameters() if p.requires_grad))
        # Rows without a DEG are not aligned (Eq. 20): the mean over the others is that of all, scaled up.
        aligned = (self.rows.weight * (train.n_degs > 0)[self.rows.perturbation_index]).mean()
        self.align_scale = float(1 / aligned) if aligned > 0 else 0.0
        self.best = BestEpoch()
        self.epoch = 0

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the model and of the alignment's target head."""
        return [*self.model.parameters(), *self.target_head.parameters()]

    @property
    def is_over(self) -> bool:
        """Whether the epochs or the patience are used up."""
        limits = self.config.training
        is_out_of_patience = self.epoch - self.best.epoch >= limits.patience
        return self.epoch >= limits.max_epochs or (self.epoch > 0 and is_out_of_patience)

    def predict(self, perturbations: Sequence[str]) -> FloatArray:
        """Predict deltas with the current weights, (n_perturbations, n_genes)."""
        return predict(self.model, self.dataset, perturbations, self.device)


def resolve(config: Config, dataset: PreparedDataset, n_parameters: int) -> Resolved:
    """Resolve what depends on the training data, once a trial."""
    table, loss = dataset.splits["train"].table, config.loss
    huber_delta = loss.huber_delta
    if loss.huber_delta_unit == "standard_deviation":
        non_deg_deltas = np.asarray(table.delta)[~np.asarray(table.deg_mask)]
        # All genes may be DEGs, or no gene may vary: any positive delta then serves.
        spread = float(non_deg_deltas.std()) if len(non_deg_deltas) else 0.0
        huber_delta *= spread or 1.0
    shrinkage = non_deg_shrinkage(loss.lambda_non, loss.non_deg_reduction, dataset.n_genes)
    return Resolved(huber_delta, shrinkage, n_parameters)
