"""Prepare a data set: cells or responses, networks and embeddings become one fingerprinted whole."""

import hashlib
import json
import logging
import platform
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapert import __version__
from adapert.data.array_tables import SharedTable
from adapert.data.cells import measure_cells
from adapert.data.choices import LIBRARY_SIZE, PrepareChoices
from adapert.data.effects import Measured
from adapert.data.embeddings import Embeddings, align_embeddings, read_embeddings
from adapert.data.families import (
    NETWORK,
    RESPONSES,
    check_families,
    describe_families,
    find_network_families,
    find_response_families,
    find_set_families,
    name_source,
)
from adapert.data.formats.gene_sets import read_gene_sets
from adapert.data.formats.tables import require_file
from adapert.data.labels.aliases import Aliases, read_aliases
from adapert.data.labels.rule import LabelRule
from adapert.data.labels.understood import check_covered
from adapert.data.manifest import EMBEDDED_IN, MEDIAN_COUNTS, InputFile, Manifest
from adapert.data.networks import Network, find_infos, read_networks
from adapert.data.prepared import PreparedDataset, hash_file, read_prepared, write_families, write_rest
from adapert.data.regroup import DRAWN_BETWEEN
from adapert.data.responses import measure_responses
from adapert.data.schema import EFFECT_SIZES, SPLITS, BoolArray, SplitName, genes_of, is_combination
from adapert.data.sources import EMBEDDINGS, NETWORKS, check_names
from adapert.data.splits import count_unseen_genes
from adapert.data.units import describe_degs, describe_units
from adapert.errors import InputError, format_count, name_some
from adapert.files import whole_directory
from adapert.versions import installed_version

_LOGGER = logging.getLogger(__name__)

INPUTS = {
    "cells": "The cells",
    "network": "The network",
    "network_info": "STRING's protein info",
    "embeddings": "The embeddings",
    "aliases": "The alias table",
    "split_file": "The split list",
    "families": "The families",
}
"""Files that a preparation may read, as messages name them."""

FEW_VALIDATION = 10
"""Fewer perturbations make a PDS or a mean correlation unreliable."""

LATER_CHOICES = {
    "deg_test": "mann_whitney",
    "group_guides": False,
    "missing_is_control": False,
    "split_scheme": "perturbations",
    "target_sum": LIBRARY_SIZE,
}
"""Choices added later: at these values they leave the fingerprints of earlier data sets unchanged."""

LABELS = frozenset({"units"})
"""Choices that change no number, and so no fingerprint."""

IDENTITY_VERSION = 1
"""Version of what a fingerprint covers, not of the folder: a data set that is prepared again keeps it."""

PACKAGES = ("anndata", "networkx", "numpy", "pandas", "scikit-misc", "scipy")
"""Packages that take part in the numbers; their versions are stored."""


@dataclass(frozen=True, kw_only=True)
class _Knowledge:
    """What is known of genes from other sources than the data."""

    networks: Mapping[str, Network]
    embeddings: Mapping[str, Embeddings]
    aliases: Aliases

    @property
    def genes(self) -> set[str]:
        in_networks = {gene for network in self.networks.values() for gene in network.genes}
        embedded = {gene for source in self.embeddings.values() for gene in source.symbols.tolist()}
        return in_networks | embedded | set(self.aliases)


def prepare(
    cells: Path,
    network: Path | Mapping[str, Path],
    embeddings: Path | Mapping[str, Path],
    choices: PrepareChoices,
    *,
    network_info: Path | None = None,
    aliases: Path | None = None,
    split_file: Path | None = None,
    families: str | Path = NETWORK,
    out: Path | None = None,
) -> PreparedDataset:
    """Read, check, normalise, select genes, call DEGs, split, join network and text, and write.

    Cells pass through memory in chunks and are stored in a scratch folder meanwhile: memory grows with
    genes and perturbations, not with cells.

    Args:
        cells: .h5ad file of cells, or of responses.
        network: Gene network, or several by name, of which the first is what models read by default; see
            `adapert.data.networks.read_networks`.
        embeddings: Embeddings of genes, or several sources by name, as `network`; see
            `adapert.data.embeddings.read_embeddings`.
        choices: Everything else.
        network_info: STRING's protein info, where it is not in the folder of the links.
        aliases: Pairs of symbols that name the same gene.
        split_file: Saved split; ``None`` to draw one from ``choices.split_seed``.
        families: What families of perturbations are found by (`adapert.data.families`): ``"network"``, the
            first one; ``"responses"``, those of training and validation perturbations among each other, and
            those of test perturbations; or the path of gene sets (.gmt).
        out: New directory, written whole or not at all; ``None`` to keep a small data set in memory.

    Returns:
        The data set with all three splits, mapped from `out`. The same inputs and choices give the
        same fingerprint.

    Raises:
        FileNotFoundError: An input that does not exist.
        InputError: An input that is not as it must be, or `out` exists; the message names the cure.
    """
    networks = network if isinstance(network, Mapping) else {NETWORKS.default: network}
    sources = embeddings if isinstance(embeddings, Mapping) else {EMBEDDINGS.default: embeddings}
    check_names(networks, sources)
    for path in networks.values():
        require_file(path, INPUTS["network"])
    infos = find_infos(networks, network_info)
    given = {
        "cells": cells,
        **_roles("network", networks, networks),
        **_roles("network_info", networks, infos),
        **_roles("embeddings", sources, sources),
        "aliases": aliases,
        "split_file": split_file,
        "families": None if families in (NETWORK, RESPONSES) else check_families(families),
    }
    inputs = {role: path for role, path in given.items() if path is not None}
    for role, path in inputs.items():  # all of them, before the first is read
        require_file(path, INPUTS[role.partition(":")[0]])
    _check_sources(cells, {**networks, **sources})
    knowledge = _Knowledge(
        networks=read_networks(networks, infos),
        embeddings={name: read_embeddings(path) for name, path in sources.items()},
        aliases=read_aliases(aliases),
    )
    for name, source in knowledge.embeddings.items():
        n_symbols, size = source.vectors.shape
        _LOGGER.debug(f"{name}: {n_symbols:,} embeddings of {size} numbers")
    measure = measure_cells if choices.kind == "cells" else measure_responses
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "prepared" if out is None else out
        with whole_directory(path) as folder:
            rule = LabelRule(
                known_genes=knowledge.genes,
                aliases=knowledge.aliases,
                controls=choices.controls,
                is_missing_control=choices.missing_is_control,
            )
            measured = measure(cells, choices, rule, split_file, folder)
            for choice, name in measured.guessed.items():
                _LOGGER.info(f"--{choice.replace('_', '-')} {name} (guessed)")
            shared = _join(measured, knowledge)
            covered = shared.node_names[_is_known(shared)].tolist()
            check_covered(measured.understood.names, covered)
            found = _find_families(families, measured, shared, knowledge.aliases)
            write_families(folder, found)
            _note_gaps(measured, shared, choices, split_file)
            write_rest(
                folder, shared, _build_manifest(measured, shared, knowledge, choices, inputs, families)
            )
        return read_prepared(path, SPLITS, is_mapped=out is not None)


def summarize_prepared(dataset: PreparedDataset, top_k: int = 20) -> list[tuple[str, str]]:
    """List what a data set and its splits hold as names and values, with `top_k` edges into each gene."""
    manifest, shared = dataset.manifest, dataset.shared
    counts, coverage, labels = manifest.counts, manifest.coverage, manifest.labels
    cells = f"{counts['cells']:,}, of which {counts['control_cells']:,} controls"
    rows = [
        ("fingerprint", dataset.fingerprint),
        ("cells", cells if counts["cells"] else "none: a table of responses"),
        ("units of deltas", describe_units(manifest)),
        ("normalisation", _describe_normalisation(manifest)),
        ("matching groups", _describe_groups(dataset)),
        ("perturbations", f"{counts['perturbations']:,}, of which {counts['combinations']:,} combinations"),
        ("left out", ", ".join(f"{number:,} {reason}" for reason, number in labels["left_out"].items())),
        ("guides grouped", f"{labels['grouped_guides']:,}" if labels["grouped_guides"] else ""),
        ("splits", _describe_splits(manifest)),
        ("test combinations", _describe_test_combinations(dataset)),
        (
            "genes",
            f"{dataset.n_genes:,} measured, {dataset.n_nodes - dataset.n_genes:,} perturbed but not measured",
        ),
        ("DEGs", describe_degs(manifest)),
        (f"families by {manifest.families}", _describe_families(dataset)),
        *_describe_effect_sizes(dataset),
    ]
    for name in manifest.networks:
        n_edges = int((shared.edges_of(name).edge_rank < top_k).sum())
        of_which = f" of {name}" if len(manifest.networks) > 1 else ""
        rows.append((f"graph edges{of_which} at top-{top_k}", f"{n_edges:,} over {dataset.n_nodes:,} genes"))
    for source in (*manifest.networks, *manifest.embeddings):
        genes, perturbations = coverage[f"genes_in_{source}"], coverage[f"perturbations_in_{source}"]
        rows.append(
            (
                f"covered by {source}",
                f"{_share(genes, dataset.n_nodes)} of genes, "
                f"{_share(perturbations, counts['perturbations'])} of perturbations",
            )
        )
    return [(name, value) for name, value in rows if value]


def _describe_normalisation(manifest: Manifest) -> str:
    if manifest.kind == "responses":
        return ""
    if MEDIAN_COUNTS not in manifest.counts:
        return "none: log values, taken as they are"
    median = f"median {manifest.counts[MEDIAN_COUNTS]:,} per cell"
    match manifest.choices.target_sum:
        case "none":
            return f"log1p of counts as they are ({median})"
        case "median":
            return f"log1p of counts scaled to their {median}"
        case target:
            return f"log1p of counts scaled to {target:,g} ({median})"


def _describe_groups(dataset: PreparedDataset) -> str:
    names = dataset.shared.batches.tolist()
    is_cells = dataset.manifest.kind == "cells"
    without = "; no batch column" if is_cells and dataset.manifest.choices.batch_column is None else ""
    return f"{len(names):,} ({name_some(names, 3)}{without})"


def _describe_splits(manifest: Manifest) -> str:
    sizes = ", ".join(f"{name} {manifest.counts[name]:,}" for name in SPLITS)
    is_whole = manifest.choices.split_scheme == "perturbations"
    return sizes if is_whole else f"{sizes}; single genes train"


def _describe_test_combinations(dataset: PreparedDataset) -> str:
    """Count the test split's combinations by their genes that were never perturbed alone in training."""
    train, test = (dataset.splits[name].table.perturbations.tolist() for name in ("train", "test"))
    combinations = [name for name in test if is_combination(name)]
    n_unseen = count_unseen_genes(combinations, [name for name in train if not is_combination(name)])
    counts = np.bincount(n_unseen, minlength=3).tolist()
    found = ", ".join(f"{number} in {count:,}" for number, count in enumerate(counts))
    return f"{len(combinations):,}; genes unseen alone in training: {found}" if combinations else ""


def _describe_families(dataset: PreparedDataset) -> str:
    described = [
        f"{name} {describe_families(split.table.family.tolist())}" for name, split in dataset.splits.items()
    ]
    return ", ".join(described)


def _describe_effect_sizes(dataset: PreparedDataset) -> list[tuple[str, str]]:
    rows = []
    for effect_size in EFFECT_SIZES:
        parts = []
        for name, split in dataset.splits.items():
            n_degs = split.table.n_degs[split.table.effect_size == effect_size]
            median = f" (median {np.median(n_degs):g} DEGs)" if len(n_degs) else ""
            parts.append(f"{name} {len(n_degs)}{median}")
        rows.append((f"{effect_size} effects", ", ".join(parts)))
    return rows


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({part / whole:.1%})"


def _join(measured: Measured, knowledge: _Knowledge) -> SharedTable:
    """Make the graph's nodes of measured and perturbed genes, with their edges and text."""
    measured_genes = measured.gene_names.tolist()
    perturbed = {gene for name in _perturbations(measured) for gene in genes_of(name)}
    node_names = np.array(measured_genes + sorted(perturbed - set(measured_genes)))
    (text, vectors), *further = (
        (name, align_embeddings(source, node_names, knowledge.aliases))
        for name, source in knowledge.embeddings.items()
    )
    (first, edges), *others = (
        (name, network.connect(node_names, knowledge.aliases)) for name, network in knowledge.networks.items()
    )
    return SharedTable(
        node_names=node_names,
        n_genes=np.array(len(measured_genes)),
        control_mean=measured.control_mean,
        batches=measured.batches,
        batch_control_mean=measured.batch_control_mean,
        **vars(edges),
        text_embedding=vectors.embedding,
        has_text=vectors.has_embedding,
        is_perturbed=np.isin(node_names, sorted(perturbed)),
        network_names=np.array([first, *(name for name, _ in others)]),
        networks=dict(others),
        embedding_names=np.array([text, *(name for name, _ in further)]),
        embeddings=dict(further),
    )


def _find_families(
    families: str | Path, measured: Measured, shared: SharedTable, aliases: Aliases
) -> dict[str, str]:
    """Find the family of each perturbation, as `prepare` is told to."""
    if families == NETWORK:
        return find_network_families(_perturbations(measured), shared, shared.node_names)
    if families != RESPONSES:
        path = Path(families)
        return find_set_families(_perturbations(measured), read_gene_sets(path), path, aliases)
    found: dict[str, str] = {}
    # The folders that trials read must not tell which perturbations respond as those of the test split do.
    together: tuple[tuple[SplitName, ...], ...] = (DRAWN_BETWEEN, ("test",))
    for splits in together:
        tables = [measured.splits[name].table for name in splits]
        names = [name for table in tables for name in table.perturbations.tolist()]
        found |= find_response_families(names, np.concatenate([table.delta for table in tables]))
    return found


def _perturbations(measured: Measured) -> list[str]:
    return [name for split in measured.splits.values() for name in split.table.perturbations.tolist()]


def _count_covered(shared: SharedTable, perturbations: Collection[str]) -> dict[str, int]:
    """Count genes and perturbations in each source; a combination counts with all its genes only."""
    coverage = {}
    for source, is_covered in _known_by(shared).items():
        covered = set(shared.node_names[is_covered].tolist())
        coverage[f"genes_in_{source}"] = len(covered)
        coverage[f"perturbations_in_{source}"] = sum(covered.issuperset(genes_of(p)) for p in perturbations)
    return coverage


def _known_by(shared: SharedTable) -> dict[str, BoolArray]:
    """Which genes each network and source of embeddings knows, (n_nodes,) each."""
    in_networks = {name: shared.has_edge(name) for name in shared.network_names.tolist()}
    names = shared.embedding_names.tolist()
    return in_networks | {name: np.asarray(shared.vectors_of(name).has_embedding) for name in names}


def _is_known(shared: SharedTable) -> BoolArray:
    """Whether any network or source of embeddings knows a gene, (n_nodes,)."""
    is_known: BoolArray = np.any(list(_known_by(shared).values()), axis=0)
    return is_known


def _check_sources(cells: Path, sources: Mapping[str, Path]) -> None:
    """Refuse the data themselves as a source of knowledge: their test split would be part of it.

    Raises:
        InputError: A source of the same content.
    """
    for name, path in sources.items():
        is_alike = path.stat().st_size == cells.stat().st_size
        if is_alike and (path.samefile(cells) or hash_file(path) == hash_file(cells)):
            raise InputError(
                f"Networks and embeddings must not be made of the responses to predict, but '{name}' is the "
                f"data file '{path}', with the test split. Name a table of another screen."
            )


def _roles(role: str, names: Collection[str], paths: Mapping[str, Path]) -> dict[str, Path]:
    """Name the files of sources: the first's role is plain, another's ends with its name."""
    return {
        role if place == 0 else f"{role}:{name}": paths[name]
        for place, name in enumerate(names)
        if name in paths
    }


def _note_gaps(
    measured: Measured,
    shared: SharedTable,
    choices: PrepareChoices,
    split_file: Path | None,
) -> None:
    """Warn of perturbed genes nothing is known of, empty effect-size groups, a small validation split."""
    nowhere = ~_is_known(shared)
    nowhere[: int(shared.n_genes)] = False
    if nowhere.any():
        _LOGGER.warning(
            f"perturbed genes neither measured nor in network or text: {int(nowhere.sum())} "
            f"({name_some(shared.node_names[nowhere].tolist())}); nothing tells them apart"
        )
    present = np.concatenate([split.table.effect_size for split in measured.splits.values()])
    empty = [name for name in EFFECT_SIZES if name not in present]
    if empty:
        cure = "--effect-size-groups tertiles makes three groups"
        _LOGGER.warning(
            f"no perturbation has a {' or '.join(empty)} effect by this data's DEGs"
            f"{f'; {cure}' if choices.effect_size_groups != 'tertiles' else ''}"
        )
    n_validation = len(measured.splits["validation"].table.perturbations)
    if n_validation < FEW_VALIDATION:
        is_helped = split_file is None and choices.drawn_fractions[1] < 0.2
        _LOGGER.warning(
            f"only {format_count(n_validation, 'validation perturbation')}: the choice among configs is "
            "mostly chance"
            f"{'; --split-fractions 0.5 0.2 0.3 gives more' if is_helped else ''}"
        )


def _build_manifest(
    measured: Measured,
    shared: SharedTable,
    knowledge: _Knowledge,
    choices: PrepareChoices,
    inputs: Mapping[str, Path],
    families: str | Path,
) -> Manifest:
    guessed: dict[str, Any] = dict(measured.guessed)
    used = replace(choices, **guessed, where=tuple(sorted(choices.where)))
    files = {role: InputFile(path.name, hash_file(path)) for role, path in inputs.items()}
    identity: dict[str, Any] = {
        "format_version": IDENTITY_VERSION,
        "choices": {
            name: value
            for name, value in asdict(used).items()
            if name not in LABELS and (name, value) not in LATER_CHOICES.items()
        },
        "inputs": {role: file.hash for role, file in files.items()},
    }
    # Left out where labels stand for themselves and a source has the usual name, so that older data sets keep
    # their fingerprints.
    if measured.understood.reinterpreted:
        identity["labels"] = measured.understood.reinterpreted
    networks, embeddings = (tuple(names.tolist()) for names in (shared.network_names, shared.embedding_names))
    if networks != (NETWORKS.default,):
        identity["networks"] = networks
    if embeddings != (EMBEDDINGS.default,):
        identity["embeddings"] = embeddings
    if families == RESPONSES:  # those of gene sets are known by their file
        identity["families"] = families
    return Manifest(
        kind=choices.kind,
        fingerprint=hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=8).hexdigest(),
        split_seed=choices.split_seed,
        choices=used,
        guessed=guessed,
        networks=networks,
        embeddings=embeddings,
        inputs=files,
        counts=_count(measured, shared)
        | {f"{EMBEDDED_IN}{name}": len(source.symbols) for name, source in knowledge.embeddings.items()},
        labels=measured.understood.record(),
        families=name_source(families),
        coverage=_count_covered(shared, _perturbations(measured)),
        versions={
            "adapert": __version__,
            "python": platform.python_version(),
            **{package: installed_version(package) for package in PACKAGES},
        },
    )


def _count(measured: Measured, shared: SharedTable) -> dict[str, int]:
    perturbations = _perturbations(measured)
    n_controls = len(measured.control_cells)
    return {
        "cells": n_controls + sum(len(split.cells) for split in measured.splits.values()),
        "control_cells": n_controls,
        "perturbations": len(perturbations),
        "combinations": sum(map(is_combination, perturbations)),
        **{name: len(split.table.perturbations) for name, split in measured.splits.items()},
        "genes": int(shared.n_genes),
        "nodes": len(shared.node_names),
        "edges": len(shared.edge_source),
        **{f"edges:{name}": len(edges.edge_source) for name, edges in shared.networks.items()},
        "batches": len(shared.batches),
        **({} if measured.median_counts is None else {MEDIAN_COUNTS: round(measured.median_counts)}),
    }
