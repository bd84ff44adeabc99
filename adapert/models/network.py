"""What the training loop asks of a neural network that predicts responses, and of its objective."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import Rows
from adapert.data.schema import BoolArray, FloatArray
from adapert.models.targets import Targets


@dataclass(frozen=True)
class Prediction:
    """A forward pass.

    Attributes:
        delta: Predicted expression minus control, log1p units, (n_rows, n_genes); in training, of a network
            whose heads are each trained by itself, (n_heads, n_rows, n_genes).
        observed: What the report of an epoch is made of, by name, detached; a row a distinct perturbation.
    """

    delta: Tensor
    observed: Mapping[str, Tensor]


class Batch(NamedTuple):
    """What an objective needs of the rows of a minibatch, beside their prediction.

    Attributes:
        perturbations: The distinct ones, as numbers of training perturbations, (n_perturbations,).
        perturbation_row: Distinct perturbation of each row, (n_rows,).
        target_delta: Expression minus control, log1p units, (n_rows, n_genes).
        weight: Averages 1 over all training rows, (n_rows,).
    """

    perturbations: Tensor
    perturbation_row: Tensor
    target_delta: Tensor
    weight: Tensor


class Network(nn.Module):
    """A network that the training loop trains.

    Its ``forward(targets, perturbation_row, control, control_row, generator)`` returns a `Prediction`:

    - targets: `adapert.models.targets.Targets` of the distinct perturbations;
    - perturbation_row: the distinct perturbation of each row, (n_rows,);
    - control: distinct control profiles, log1p units, (n_controls, n_genes);
    - control_row: the control profile of each row, (n_rows,);
    - generator: draws dropout and other noise; None is prediction, which is deterministic.
    """

    def forward_in_training(
        self,
        targets: Targets,
        perturbation_row: Tensor,
        control: Tensor,
        control_row: Tensor,
        target_delta: Tensor,
        generator: torch.Generator,
    ) -> Prediction:
        """Predict training rows; an autoencoder also reads what it is to reconstruct, others do not.

        Args:
            targets: As `forward`.
            perturbation_row: As `forward`.
            control: As `forward`.
            control_row: As `forward`.
            target_delta: Observed expression minus control, log1p units, (n_rows, n_genes).
            generator: As `forward`.
        """
        prediction: Prediction = self(targets, perturbation_row, control, control_row, generator)
        return prediction

    def after_epoch(self, dataset: PreparedDataset) -> None:
        """Measure on training rows what predictions read beside parameters, once the weights are used.

        It belongs into buffers, which travel with the weights. Nothing by default.
        """

    def epoch_report(self, observed: Mapping[str, Tensor]) -> Mapping[str, Tensor | float]:
        """Report an epoch by what its predictions observed, each name's rows joined; nothing by default.

        Tensors of () are read later, with all else that an epoch leaves on the device.
        Names are of letters, digits and ``_``, and none that every trial reports, such as ``pds``.
        """
        return {}


class Objective(nn.Module):
    """What a network is trained on, and by which loss; it may have parameters that no prediction needs.

    Its ``forward(prediction, batch)`` returns scalars: ``"loss_total"``, whose gradient is followed, and the
    terms that are reported with it.

    Attributes:
        rows: All training rows.
        resolved: What the config's settings amount to on the data set, reported once a trial.
    """

    rows: Rows
    resolved: dict[str, float]


class NetworkParts(NamedTuple):
    """How a network is made, untrained: each from a data set, a config and the trial's seed.

    Attributes:
        build: The network. A data set without splits is given with trained weights, which then bring all that
            training reads of them.
        objective: Its objective.
        is_mapped: Whether `torch.vmap` can map a step over trials, see `adapert.training.slots`: it changes
            no buffer, branches on no value, and draws by `adapert.models.noise`.
    """

    build: Callable[[PreparedDataset, Config, int], Network]
    objective: Callable[[PreparedDataset, Config, int], Objective]
    is_mapped: bool = False


def restore_network(
    parts: NetworkParts, dataset: PreparedDataset, config: Config, seed: int, weights: Mapping[str, Tensor]
) -> Network:
    """Build the trained network of a trial from its weights after the best epoch.

    Of the data set no split is read. The seed draws what it drew in training.

    Raises:
        RuntimeError: Weights of another config or data set.
    """
    network = parts.build(replace(dataset, splits={}), config, seed)
    network.load_state_dict(dict(weights))
    return network.eval()


def to_tensor(array: FloatArray | BoolArray, device: torch.device | str = "cpu") -> Tensor:
    """Copy an array to a device as float32."""
    return send(torch.from_numpy(np.array(array, dtype=np.float32)), torch.device(device))


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Bring the host's tensor to a device; a GPU gets it while the host goes on."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
