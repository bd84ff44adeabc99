"""Every model by its name: what `model.name` of a config stands for."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch

from adapert.config import Config, ModelName
from adapert.models.kernel_ridge import KernelRidge
from adapert.models.networks import NETWORKS
from adapert.models.protocol import PerturbationModel
from adapert.models.reference import REFERENCE_MODELS, ReferenceBuilder
from adapert.plugins import load_plugin
from adapert.training.fit import FittedNetwork

ModelBuilder: TypeAlias = Callable[[Config, int, torch.device], PerturbationModel]
"""From a config, a seed and a device to an untrained model."""


def _without_settings(
    build: ReferenceBuilder, config: Config, seed: int, device: torch.device
) -> PerturbationModel:
    return build(config.data.embeddings)


MODELS: dict[ModelName, ModelBuilder] = {
    **dict.fromkeys(NETWORKS, FittedNetwork),
    **{name: partial(_without_settings, build) for name, build in REFERENCE_MODELS.items()},
    "kernel_ridge": lambda config, seed, device: KernelRidge(config, seed),
}
"""Name to builder of the project's models; a further one is a line here, and its name in `ModelName`.

A model with settings of its own has a section in `adapert.config.Config`, named in `READ_SECTIONS`.
"""


def build_model(config: Config, seed: int, device: torch.device) -> PerturbationModel:
    """Build the untrained model that a config names."""
    return _builder(config.model.name)(config, seed, device)


def _builder(name: str) -> ModelBuilder:
    if name in MODELS:
        return MODELS[name]
    return load_plugin(name).build or FittedNetwork
