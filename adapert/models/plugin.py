"""A model of another package, as its entry point of the group ``adapert.models`` names it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from adapert.config import Config, Section
from adapert.models.network import NetworkParts
from adapert.models.protocol import PerturbationModel


@dataclass(frozen=True, kw_only=True)
class ModelPlugin:
    """A network that the training loop trains, or any other model; one of the two.

    Attributes:
        section: Class of the config's section that has the model's name.
        reads: Other sections that it reads: ``"training"`` for a network, ``"graph"`` for one with a graph.
        reads_several_networks: Whether ``graph.networks`` may name more than one.
        reads_embeddings: Whether it reads what ``data.embeddings`` names.
        network: How the network is made.
        build: The untrained model of a config, seed and device.
        space: Its search space in studies of several models: dotted field to a distribution of Optuna.
    """

    section: type[Section]
    reads: tuple[str, ...] = ()
    reads_several_networks: bool = False
    reads_embeddings: bool = True
    network: NetworkParts | None = None
    build: Callable[[Config, int, torch.device], PerturbationModel] | None = None
    space: Mapping[str, Any] = field(default_factory=dict)
