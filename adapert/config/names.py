"""Every model by name, and what each reads of a config."""

import logging
from functools import cache
from typing import Literal, TypeAlias, get_args

from adapert.plugins import find_plugins, load_plugin

_LOGGER = logging.getLogger(__name__)

ModelName: TypeAlias = Literal[
    "adapert",
    "txpert",
    "app",
    "gears",
    "perturbed_vae",
    "scvi",
    "cpa",
    "state",
    "morph",
    "control",
    "mean",
    "additive",
    "neighbour",
    "ridge_text",
    "ridge_network",
    "ridge_both",
    "kernel_loo",
    "kernel_ridge",
]
"""Every model by name; `adapert.registry` builds them."""

READ_SECTIONS: dict[ModelName, tuple[str, ...]] = {
    "adapert": ("graph", "model", "loss", "training"),
    "txpert": ("graph", "txpert", "training"),
    "app": ("graph", "app", "training"),
    "gears": ("graph", "gears", "training"),
    "perturbed_vae": ("graph", "perturbed_vae", "training"),
    "scvi": ("scvi", "training"),
    "cpa": ("cpa", "training"),
    "state": ("state", "training"),
    "morph": ("morph", "training"),
    "kernel_ridge": ("graph", "kernel_ridge"),
}
"""Sections of a config that a model reads beside ``data``; a model that is not named here reads no other."""

WITHOUT_EMBEDDINGS: frozenset[str] = frozenset(
    {"txpert", "gears", "control", "mean", "additive", "ridge_network"}
)
"""The project's models that read no embeddings of genes, whatever their settings."""

WITH_NETWORK: frozenset[str] = frozenset({"neighbour", "ridge_network", "ridge_both", "kernel_loo"})
"""Models that read the data set's network in a form of their own, without the section ``graph``."""

OF_CELLS: frozenset[str] = frozenset({"scvi", "cpa", "state"})
"""Models that are trained on single cells alone."""

SEVERAL_NETWORK_LAYERS = ("hybrid", "multilayer", "exphormer")
"""Layers of TxPert that read several networks at once; the other models and layers read one."""

OF_FURTHER_EMBEDDINGS = ("kernel_ridge.other_gamma", "kernel_ridge.other_weight", "model.other_scale")
"""Fields that are of the sources of embeddings after the first."""


@cache
def packaged_models() -> tuple[str, ...]:
    """Name the models of installed packages, but for names that the project has given to something else."""
    taken = {*get_args(ModelName), "data", *(name for names in READ_SECTIONS.values() for name in names)}
    for name in taken & find_plugins().keys():
        _LOGGER.warning(
            f"The model '{name}' of '{find_plugins()[name].value}' is left out: a model or a section of "
            "the project has this name."
        )
    return tuple(name for name in find_plugins() if name not in taken)


def model_names() -> tuple[str, ...]:
    """Name every model: the project's, then those of installed packages."""
    return (*get_args(ModelName), *packaged_models())


def default_models() -> tuple[str, ...]:
    """Name what a comparison is of unless it says otherwise: AdaPert, and every model fitted at once."""
    return ("adapert", *(name for name in model_names() if not is_network(name)))


def is_network(model: str) -> bool:
    """Whether a model is trained in epochs, from drawn weights; others are fitted at once, without chance."""
    return "training" in read_sections(model)


def read_sections(model: str) -> tuple[str, ...]:
    """Name the sections of a config that a model reads beside ``data``.

    Raises:
        InputError: The model's package cannot be imported.
    """
    if model in packaged_models():
        return (*load_plugin(model).reads, model)
    return READ_SECTIONS.get(model, ())  # type: ignore[call-overload, no-any-return]
