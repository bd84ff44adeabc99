"""What a system knows of a gene that no training perturbation targets: networks, text, other embeddings."""

from collections.abc import Mapping, Sequence
from typing import Any

from adapert.config import build_config
from adapert.data.sources import EMBEDDINGS, NETWORKS, NONE, SEPARATOR

NETWORK, TEXT = "network", "text"

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
    built = build_config(config)
    is_read = {NETWORK: built.reads_edges, TEXT: built.reads_embeddings}
    # What has a form of the network of its own reads the data set's first, whatever is picked.
    picked = built.graph.networks if NETWORKS.field in built.settings() else ""
    named = {NETWORK: picked, TEXT: built.data.embeddings}
    return tuple(
        source
        for kind, name in named.items()
        if is_read[kind] and name != NONE
        for source in (name.split(SEPARATOR) if name else [kind])
    )


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
