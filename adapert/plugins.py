"""Models that other packages bring, by entry points of the group ``adapert.models``."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from adapert.errors import InputError, first_line

GROUP = "adapert.models"


class Plugin(Protocol):
    """An `adapert.models.plugin.ModelPlugin`, whose types need torch."""

    section: type[Any]
    reads: tuple[str, ...]
    reads_several_networks: bool
    reads_embeddings: bool
    network: Any
    build: Any
    space: Mapping[str, Any]


@cache
def find_plugins() -> Mapping[str, EntryPoint]:
    """Find the models of installed packages, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def load_plugin(name: str) -> Plugin:
    """Import an installed model.

    Raises:
        InputError: It cannot be imported, or is something else.
    """
    point = find_plugins()[name]
    try:
        plugin: Plugin = point.load()
    except Exception as error:  # whatever somebody's module raises
        raise InputError(
            f"The model '{name}' is one of an installed package, but '{point.value}' cannot be imported: "
            f"{type(error).__name__}: {first_line(error)} Mend the package, or uninstall it."
        ) from error
    is_one = all(hasattr(plugin, name) for name in Plugin.__annotations__)
    if not is_one or (plugin.network is None) == (plugin.build is None):
        raise InputError(
            "The entry point of a model must be a ModelPlugin with either a network or a function that "
            f"builds the model, but that of '{name}' is not. Mend the package, or uninstall it."
        )
    return plugin
