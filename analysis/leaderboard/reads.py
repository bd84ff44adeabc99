"""What a system knows of a gene that no training perturbation targets: networks, text, other embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapert.config import READ_SECTIONS

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
"""Model to the kinds of source that it reads; one that is not named reads a network if it has a graph."""

GROUPS = ("several networks", "one network", "no network", "nothing")
"""By what systems read, in the order in which tables show them."""


def find_sources(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what a trial's model read.

    Args:
        config: All fields under their dotted names.

    Returns:
        Its networks by their names, or ``"network"``, then its embeddings by theirs, or ``"text"``. A source
        that the config leaves out by ``"none"`` is not among them.
    """
    model = str(config["model.name"])
    kinds = _SOURCES.get(model, (NETWORK,) if "graph" in READ_SECTIONS.get(model, ()) else ())  # type: ignore[call-overload]
    named = {NETWORK: config.get("graph.networks"), TEXT: config.get("data.embeddings")}
    n_layers = {"adapert": "model.n_graph_layers", "app": "app.n_layers"}.get(model, "")
    has_text = model != "app" or config.get("app.node_features", TEXT) in (TEXT, "both")
    is_unread = {NETWORK: config.get(n_layers) == 0, TEXT: not has_text}
    return tuple(
        source
        for kind in kinds
        if not is_unread.get(kind) and named[kind] != "none"
        for source in (str(named[kind]).split("+") if named[kind] else [kind])
    )


def group_of(sources: Sequence[str], config: Mapping[str, Any]) -> str:
    """Say which of `GROUPS` a system belongs to.

    Args:
        sources: From `find_sources`.
        config: All fields under their dotted names.
    """
    embeddings = str(config.get("data.embeddings") or TEXT).split("+")
    n_networks = sum(source not in embeddings for source in sources)
    if n_networks:
        return GROUPS[0] if n_networks > 1 else GROUPS[1]
    return GROUPS[2] if sources else GROUPS[3]
