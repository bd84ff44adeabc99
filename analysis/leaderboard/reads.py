"""What a system knows of a gene that no training perturbation targets: networks, text, other embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapert.config import packaged_models, read_sections
from adapert.data.sources import EMBEDDINGS, NETWORKS, NONE, SEPARATOR
from adapert.plugins import load_plugin

NETWORK, TEXT = "network", "text"

_SOURCES: dict[str, tuple[str, ...]] = {
    "adapert": (NETWORK, TEXT),
    "control": (),
    "mean": (),
    "additive": (),
    "neighbour": (NETWORK, TEXT),
    "ridge_text": (TEXT,),
    "ridge_network": (NETWORK,),
    "ridge_both": (NETWORK, TEXT),
    "kernel_loo": (NETWORK, TEXT),
    "kernel_ridge": (NETWORK, TEXT),
    "txpert": (NETWORK,),
    "app": (NETWORK, TEXT),
}
"""The project's models to the kinds of source that they read."""

_N_LAYERS = {"adapert": "model.n_graph_layers", "txpert": "txpert.n_layers", "app": "app.n_layers"}
"""Model to the field of which 0 leaves its network unread."""

FURTHER, NOTHING = "further embeddings", "nothing"
SEVERAL, ONE, NO_NETWORK = "several networks", "one network", "no network"

GROUPS = (FURTHER, SEVERAL, ONE, NO_NETWORK, NOTHING)
"""By what systems read, in the order in which tables show them.

Those of further embeddings than the data set's first stand alone, whatever their networks: the embeddings may
be another screen, where a gene that is unseen here was perturbed.
"""


def find_sources(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what a trial's model read.

    Args:
        config: All fields under their dotted names.

    Returns:
        Its networks by their names, or ``"network"``, then its embeddings by theirs, or ``"text"``. A source
        that the config leaves out by ``"none"`` is not among them.
    """
    model = str(config["model.name"])
    named = {NETWORK: config.get(NETWORKS.field), TEXT: config.get(EMBEDDINGS.field)}
    has_text = model != "app" or config.get("app.node_features", TEXT) in (TEXT, "both")
    is_unread = {NETWORK: config.get(_N_LAYERS.get(model, "")) == 0, TEXT: not has_text}
    return tuple(
        source
        for kind in _kinds_of(model)
        if not is_unread.get(kind) and named[kind] != NONE
        for source in (str(named[kind]).split(SEPARATOR) if named[kind] else [kind])
    )


def _kinds_of(model: str) -> tuple[str, ...]:
    if model not in packaged_models():
        return _SOURCES.get(model, ())
    is_read = {NETWORK: "graph" in read_sections(model), TEXT: load_plugin(model).reads_embeddings}
    return tuple(kind for kind, read in is_read.items() if read)


def group_of(sources: Sequence[str], config: Mapping[str, Any], first_embeddings: str = TEXT) -> str:
    """Say which of `GROUPS` a system belongs to.

    Args:
        sources: From `find_sources`.
        config: All fields under their dotted names.
        first_embeddings: Name of the data set's first embeddings.
    """
    picked = str(config.get(EMBEDDINGS.field) or "")
    read = [source for source in sources if source in (picked or TEXT).split(SEPARATOR)]
    if picked and set(read) - {first_embeddings}:
        return FURTHER
    n_networks = len(sources) - len(read)
    if n_networks:
        return SEVERAL if n_networks > 1 else ONE
    return NO_NETWORK if sources else NOTHING
