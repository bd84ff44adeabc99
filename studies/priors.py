"""Every combination of the data set's networks and embeddings: what is each source worth?"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

from adapert.config import Config
from adapert.data.manifest import read_manifest
from adapert.data.sources import EMBEDDINGS, NETWORKS, NONE, SEPARATOR
from adapert.study.plan.designs import FULL
from adapert.study.plan.study import Design, Study


def study(base: Config) -> Study:
    """All sources first, none last, three seeds each; for any model."""
    return Study(
        name="priors",
        question="What is each source of prior knowledge worth, alone and beside the others?",
        base=base,
        plan=Design(kind="priors", variants=list_variants(base)),
    )


def list_variants(base: Config) -> dict[str, dict[str, Any]]:
    """List what a config's model can read of its data set, the most sources first.

    A variant is called by its sources, ``text_and_string``. A model of one network reads each in turn, and
    all sources are then the first network and all embeddings; one that reads none reads embeddings alone.

    Returns:
        Variant to changes: ``full``, ..., ``none``.
    """
    networks, embeddings = _find_sources(base)
    if NETWORKS.field not in base.settings():
        picks: list[tuple[str, ...]] = [()]
    elif base.reads_several_networks:
        picks = list(_subsets(networks))
    else:
        picks = [*((name,) for name in networks), ()]
    if not base.reads_embeddings:
        embeddings = ()
    pairs = sorted(product(_subsets(embeddings), picks), key=lambda pair: -len(pair[0]) - len(pair[1]))
    variants = {_name(pair): _changes(base, *pair) for pair in pairs}
    everything = next(iter(variants))
    return {FULL: variants.pop(everything)} | variants


def _find_sources(base: Config) -> tuple[Sequence[str], Sequence[str]]:
    """Names of networks and embeddings; the usual ones where no data set is named."""
    if not base.data.path:
        return (NETWORKS.default,), (EMBEDDINGS.default,)
    manifest = read_manifest(Path(base.data.path))
    return manifest.networks, manifest.embeddings


def _subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every set of names, the largest first."""
    for n_names in range(len(names), -1, -1):
        yield from combinations(names, n_names)


def _name(pair: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    return "_and_".join(name for names in pair for name in names) or NONE


def _changes(base: Config, embeddings: Sequence[str], networks: Sequence[str]) -> dict[str, Any]:
    changes = {EMBEDDINGS.field: SEPARATOR.join(embeddings) or NONE}
    if NETWORKS.field in base.settings():
        changes[NETWORKS.field] = SEPARATOR.join(networks) or NONE
    # Where text alone tells nodes apart, a network of nodes that are all the same would say nothing.
    is_of_text = set(base.model.feature_parts) <= {"text", "diffused"}
    if not embeddings and base.model.name == "adapert" and is_of_text:
        changes["model.node_features"] = "one_hot"
    return changes
