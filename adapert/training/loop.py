"""The training loop: a generator of epoch reports that knows nothing of who iterates it."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import BoolArray, FloatArray
from adapert.evaluation.metrics import cheap_metrics, effective_rank, mean_over_perturbations
from adapert.models.adapert.losses import (
    alignment_loss,
    non_deg_loss,
    non_deg_shrinkage,
    reconstruction_loss,
)
from adapert.models.adapert.model import AdaPert, Prediction, Targets, build_model, build_targets
from adapert.seeding import numpy_generator, seeded_initialisation, torch_generator
from adapert.training.rows import ROWS, Minibatch, Rows

PREDICTION_CHUNK = 64
"""Perturbations predicted at once: bounds the memory of scores at chunk x nodes x score_size."""


class DivergedError(RuntimeError):
    """The loss or a prediction became NaN or infinite."""


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes:
        epoch: From 1.
        losses: Mean over minibatches of ``loss_total``, ``loss_recon``, ``loss_non``, ``loss_align``,
            the last two before their weights.
        validation: Means over validation perturbations of the cheap metrics.
        n_selected: Mean number of nodes in a training context.
        context_effective_rank: Directions that the epoch's training contexts use.
        learning_rate: Of this epoch.
        seconds: Training and validation.
        best_epoch: Epoch of the best validation Pearson-delta so far.
        best_pearson_delta: That value.
        best_pds: PDS at that epoch.
    """

    epoch: int
    losses: dict[str, float]
    validation: dict[str, float]
    n_selected: float
    context_effective_rank: float
    learning_rate: float
    seconds: float
    best_epoch: int
    best_pearson_delta: float
    best_pds: float

    def flat(self) -> dict[str, float]:
        """List all values under the names that trackers and searchers use."""
        rest = {name: value for name, value in vars(self).items() if name not in ("losses", "validation")}
        return rest | self.losses | self.validation


@dataclass
class BestEpoch:
    """The epoch of best validation Pearson-delta; `weights` are the model's then."""

    epoch: int = 0
    pearson_delta: float = -math.inf
    pds: float = math.nan
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
        """Build the untrained state.

        Args:
            config: The trial's.
            dataset: With its training and validation splits.
            seed: The trial's.
            device: Where the model lives.
        """
        self.config, self.dataset, self.seed, self.device = config, dataset, seed, device
        train = dataset.splits["train"].table
        self.rows: Rows = ROWS[config.data.control](dataset, config.loss.weighting)
        self.model = build_model(dataset, config, seed).to(device)
        self.target_head = build_target_head(dataset.n_genes, config, seed).to(device)
        self.optimizer = torch.optim.AdamW(
            [p for p in self.parameters() if p.requires_grad],
            lr=config.training.learning_rate,
            weight_decay=config.training.weight_decay,
            fused=True,
        )
        self.align = alignment_loss(config.loss)
        self.generator = torch_generator(seed, "noise", device)
        self.order_generator = numpy_generator(seed, "minibatches")
        self.targets = build_targets(dataset, list(train.perturbations), device)
        self.resolved = resolve(config, dataset, sum(p.numel() for p in self.parameters() if p.requires_grad))
        self.align_scale = _align_scale(self.rows, train.n_degs > 0)
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


def train(training: Training) -> Iterator[EpochReport]:
    """Train until the epochs or the patience are used up, one report an epoch.

    Whoever iterates may stop, checkpoint or report between epochs; `training.best` holds the best
    epoch's weights.

    Raises:
        DivergedError: The loss or a validation prediction became NaN or infinite.
    """
    validation = training.dataset.splits["validation"].table
    while not training.is_over:
        started = time.perf_counter()
        training.epoch += 1
        learning_rate = set_learning_rate(training)
        losses, contexts, n_selected = train_epoch(training)
        predicted = training.predict(list(validation.perturbations))
        if not np.isfinite(predicted).all():  # The last step of an epoch has no later loss to show it.
            raise DivergedError(
                f"Predictions must stay finite, but those after epoch {training.epoch} are not. "
                "Lower training.learning_rate."
            )
        scores = {
            name: mean_over_perturbations(values)
            for name, values in cheap_metrics(predicted, validation.delta, validation.deg_mask).items()
        }
        keep_best(training, scores)
        yield EpochReport(
            epoch=training.epoch,
            losses=losses,
            validation=scores,
            n_selected=n_selected,
            context_effective_rank=effective_rank(contexts),
            learning_rate=learning_rate,
            seconds=time.perf_counter() - started,
            best_epoch=training.best.epoch,
            best_pearson_delta=training.best.pearson_delta,
            best_pds=training.best.pds,
        )


def train_epoch(training: Training) -> tuple[dict[str, float], FloatArray, float]:
    """Take every training row once, in a drawn order.

    Returns:
        Mean losses, the contexts z (n_contexts, structural_size), the mean number of nodes selected.
    """
    totals: dict[str, float] = defaultdict(float)
    contexts, n_selected = [], []
    order = training.order_generator.permutation(len(training.rows.perturbation_index))
    minibatches = np.array_split(order, math.ceil(len(order) / training.config.training.minibatch_size))
    for index in minibatches:
        losses, prediction = minibatch_losses(
            training, training.rows.minibatch(np.sort(index), training.order_generator)
        )
        if not torch.isfinite(losses["loss_total"]):
            raise DivergedError(
                f"The loss must stay finite, but it is {losses['loss_total'].item()} in epoch "
                f"{training.epoch}. Lower training.learning_rate."
            )
        training.optimizer.zero_grad(set_to_none=True)
        losses["loss_total"].backward()  # type: ignore[no-untyped-call]
        training.optimizer.step()
        for name, value in losses.items():
            totals[name] += value.item() / len(minibatches)
        contexts.append(prediction.context.z.detach())
        n_selected.append(prediction.context.n_selected.float())
    return dict(totals), torch.cat(contexts).cpu().numpy(), torch.cat(n_selected).mean().item()


def minibatch_losses(training: Training, minibatch: Minibatch) -> tuple[dict[str, Tensor], Prediction]:
    """Compute L_total (Eq. 21) and its terms on a minibatch."""
    device, loss = training.device, training.config.loss
    table = training.dataset.splits["train"].table
    distinct, row = np.unique(minibatch.perturbation_index, return_inverse=True)
    perturbation_row = torch.from_numpy(row).to(device)
    prediction: Prediction = training.model(
        training.targets.take(torch.from_numpy(distinct).to(device)),
        perturbation_row,
        _tensor(minibatch.control, device),
        torch.from_numpy(minibatch.control_row).to(device),
        training.generator,
    )
    weight = _tensor(minibatch.weight, device)
    is_deg = _tensor(table.deg_mask[distinct], device)
    recon = reconstruction_loss(prediction.delta, _tensor(minibatch.target_delta, device), weight)
    non = non_deg_loss(
        prediction.delta,
        1 - is_deg[perturbation_row],
        training.resolved.huber_delta,
        loss.non_deg_reduction,
        weight,
    )
    align = training.align(
        prediction.context.z,
        training.target_head(_tensor(table.delta[distinct], device) * is_deg),
        align_weight(weight, perturbation_row, is_deg) * training.align_scale,
    )
    total = recon + loss.lambda_non * non + loss.lambda_align * align
    losses = {"loss_total": total, "loss_recon": recon, "loss_non": non, "loss_align": align}
    return losses, prediction


def align_weight(weight: Tensor, perturbation_row: Tensor, is_deg: Tensor) -> Tensor:
    """Add up the rows' weights of each distinct perturbation that has a DEG (Eq. 20 skips the others).

    Args:
        weight: Of each row, (n_rows,).
        perturbation_row: Distinct perturbation of each row, (n_rows,).
        is_deg: 1 at DEGs, (n_perturbations, n_genes).

    Returns:
        (n_perturbations,), scaled so that its mean is a mean over rows.
    """
    summed = torch.zeros(len(is_deg), device=weight.device).index_add(0, perturbation_row, weight)
    return summed * is_deg.amax(dim=1) * (len(is_deg) / len(weight))


def build_target_head(n_genes: int, config: Config, seed: int) -> nn.Linear:
    """Build g of Eq. 19: trainable for ``alignment: "paper"``, else a fixed random projection."""
    with seeded_initialisation(seed, "target head"):
        head = nn.Linear(n_genes, config.model.structural_size, bias=False)
    return head.requires_grad_(config.loss.alignment == "paper")


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


def set_learning_rate(training: Training) -> float:
    """Set and return the epoch's learning rate."""
    settings = training.config.training
    rate = settings.learning_rate
    if settings.schedule == "cosine":
        rate *= (1 + math.cos(math.pi * (training.epoch - 1) / settings.max_epochs)) / 2
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    return rate


def keep_best(training: Training, scores: dict[str, float]) -> None:
    """Keep the weights of the best validation Pearson-delta; NaN is never the best."""
    if scores["pearson_delta"] > training.best.pearson_delta:
        weights = {name: value.detach().clone() for name, value in training.model.state_dict().items()}
        training.best = BestEpoch(training.epoch, scores["pearson_delta"], scores["pds"], weights)


@torch.no_grad()
def predict(
    model: AdaPert, dataset: PreparedDataset, perturbations: Sequence[str], device: torch.device
) -> FloatArray:
    """Predict deltas on the mean control profile: deterministic, whatever the order or company.

    Args:
        model: With its weights.
        dataset: The data set it was built on.
        perturbations: Any whose genes are nodes of the graph.
        device: Where the model lives.

    Returns:
        log1p units, (n_perturbations, n_genes).

    Raises:
        InputError: A gene that is not a node of the data set.
    """
    targets = build_targets(dataset, perturbations, device)
    control = _tensor(np.asarray(dataset.shared.control_mean)[None], device)
    chunks = []
    for chunk in torch.split(torch.arange(len(perturbations), device=device), PREDICTION_CHUNK):
        rows = torch.arange(len(chunk), device=device)
        chunks.append(model(Targets(*targets).take(chunk), rows, control, torch.zeros_like(rows)).delta)
    deltas: FloatArray = torch.cat(chunks).cpu().numpy()
    return deltas


def pick_device(name: str) -> torch.device:
    """Resolve ``"auto"`` to CUDA where there is one, else CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _tensor(array: FloatArray | BoolArray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32)).to(device)


def _align_scale(rows: Rows, has_deg: BoolArray) -> float:
    aligned = (rows.weight * has_deg[rows.perturbation_index]).mean()
    return float(1 / aligned) if aligned > 0 else 0.0
