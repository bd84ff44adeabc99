"""The prepared data set on disk: a directory of memory-mapped arrays and a manifest.

Each split has a folder of its own, so a trial that is given train and validation has no way to
open the test split's expression.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from adapert.data.array_tables import CellTable, PerturbationTable, SharedTable
from adapert.data.formats.array_folder import DamagedError
from adapert.data.manifest import MANIFEST_FILE, Manifest, read_manifest
from adapert.data.schema import SPLITS, SplitName, StringArray, genes_of
from adapert.errors import InputError, name_some
from adapert.html import build_card, build_values

CONTROL_FOLDER = "control_cells"
CELL_FOLDER = "cells"
SHARED_FOLDER = "shared"
CHECKSUM_FILE = "checksums.json"


@dataclass(frozen=True, kw_only=True)
class PreparedSplit:
    """One split: its perturbations and their cells."""

    table: PerturbationTable
    cells: CellTable


@dataclass(frozen=True, kw_only=True)
class PreparedDataset:
    """A prepared data set; holds only the splits that were asked for.

    Attributes:
        manifest: What it was made of.
        shared: What all splits share.
        control_cells: Unperturbed cells.
        splits: The splits, by name.
        path: Where it was read from; ``None`` before it is written.
    """

    manifest: Manifest
    shared: SharedTable
    control_cells: CellTable
    splits: Mapping[SplitName, PreparedSplit]
    path: Path | None = None

    def _repr_html_(self) -> str:
        """Show a notebook what it holds, and of what it was made."""
        manifest, counts = self.manifest, self.manifest.counts
        cells = f"{counts.get('cells', 0):,}, of which {counts.get('control_cells', 0):,} controls"
        return build_card(
            f"Prepared data set {self.fingerprint}",
            build_values(
                {
                    "path": self.path,
                    "cells": cells if counts.get("cells") else "none: a table of responses",
                    "perturbations": f"{counts.get('perturbations', 0):,}",
                    "splits": ", ".join(f"{name} {counts[name]:,}" for name in SPLITS if name in counts),
                    "splits read": ", ".join(self.splits),
                    "genes": f"{self.n_genes:,} measured, {self.n_nodes:,} in the graph",
                    "networks": ", ".join(manifest.networks),
                    "embeddings": ", ".join(manifest.embeddings),
                    "made of": ", ".join(each.file for each in manifest.inputs.values()),
                }
            ),
        )

    @property
    def fingerprint(self) -> str:
        """Identity of the inputs' contents and of every choice."""
        return self.manifest.fingerprint

    @property
    def n_genes(self) -> int:
        """Number of measured genes."""
        return int(self.shared.n_genes)

    @property
    def n_nodes(self) -> int:
        """Number of graph nodes."""
        return len(self.shared.node_names)

    @property
    def gene_names(self) -> StringArray:
        """Measured genes, (n_genes,): the first nodes of the graph."""
        return self.shared.node_names[: self.n_genes]

    @cached_property
    def _node_index(self) -> dict[str, int]:
        return {str(name): index for index, name in enumerate(self.shared.node_names)}

    def perturbed_nodes(self, perturbation: str) -> list[int]:
        """Nodes of the genes that a perturbation targets.

        Raises:
            InputError: A gene that is not a node of this data set.
        """
        unknown = [gene for gene in genes_of(perturbation) if gene not in self._node_index]
        if unknown:
            raise InputError(
                f"A perturbed gene must be a node of the prepared graph, but {name_some(unknown)} is not. "
                "Prepare the data with this perturbation."
            )
        return [self._node_index[gene] for gene in genes_of(perturbation)]


def write_families(path: Path, families: Mapping[str, str]) -> None:
    """Write the family of each perturbation, by name, into the folders of all splits."""
    for split in SPLITS:
        (names,) = PerturbationTable.read_fields(path / split, "perturbations")
        file = path / split / "family.npy"
        file.unlink()  # it may be mapped
        np.save(file, np.array([families[name] for name in names.tolist()]), allow_pickle=False)


def write_rest(path: Path, shared: SharedTable, manifest: Manifest) -> None:
    """Write the rest of a data set: what the splits share, the manifest, all files' checksums."""
    shared.write(path / SHARED_FOLDER)
    manifest.write(path)
    files = sorted(file.relative_to(path) for file in path.rglob("*.*") if file.is_file())
    checksums = {str(file): hash_file(path / file) for file in files}
    (path / CHECKSUM_FILE).write_text(json.dumps(checksums, indent=2), encoding="utf-8")


def read_prepared(
    path: Path, splits: Collection[SplitName] = ("train", "validation"), is_mapped: bool = True
) -> PreparedDataset:
    """Read a prepared data set; by default mapped into memory, and without the test split.

    Checks everything except the values of the large arrays, which `check_values` does.

    Raises:
        InputError: `path` is no prepared data set, or a damaged one.
    """
    path = path.resolve()
    manifest = read_manifest(path)
    shared = SharedTable.read(path / SHARED_FOLDER, is_mapped)
    control_cells, parts = read_cells(path, splits, is_mapped, shared.sizes)
    dataset = PreparedDataset(
        manifest=manifest,
        shared=shared,
        control_cells=control_cells,
        splits=parts,
        path=path if is_mapped else None,
    )
    _check_counts(dataset, path)
    _check_perturbations(dataset, path)
    return dataset


def read_cells(
    path: Path, splits: Collection[SplitName], is_mapped: bool = True, sizes: Mapping[str, int] | None = None
) -> tuple[CellTable, dict[SplitName, PreparedSplit]]:
    """Read the controls and some splits of a data set, held to the sizes that are known of what they share.

    Raises:
        InputError: A file that is missing or damaged.
    """
    known = dict(sizes or {})
    # Controls are of no perturbation: each has index 0.
    control_cells = CellTable.read(path / CONTROL_FOLDER, is_mapped, known | {"n_perturbations": 1})
    parts: dict[SplitName, PreparedSplit] = {}
    for name in splits:
        table = PerturbationTable.read(path / name, is_mapped, known)
        own = known | {"n_perturbations": len(table.perturbations)}
        parts[name] = PreparedSplit(
            table=table, cells=CellTable.read(path / name / CELL_FOLDER, is_mapped, own)
        )
    return control_cells, parts


def check_values(dataset: PreparedDataset) -> None:
    """Check the values of the large arrays of a mapped data set too, once before much depends on them.

    Raises:
        InputError: Values that are no finite numbers, or a gene index that is of no gene.
    """
    path, sizes = dataset.path, dataset.shared.sizes
    assert path is not None, "only a data set on disk is checked"
    dataset.control_cells.check_values(path / CONTROL_FOLDER, sizes)
    for name, split in dataset.splits.items():
        split.table.check_values(path / name, sizes)
        split.cells.check_values(path / name / CELL_FOLDER, sizes)


def check_content(path: Path) -> bool:
    """Compare every file of a prepared data set with its checksum.

    Returns:
        Whether there are checksums; data sets of earlier versions have none.

    Raises:
        InputError: A file that is not as it was written.
    """
    file = path / CHECKSUM_FILE
    if not file.is_file():
        return False
    try:
        checksums = TypeAdapter(dict[str, str]).validate_json(file.read_bytes())
    except ValidationError as error:
        raise DamagedError(file, "is damaged") from error
    for name, checksum in checksums.items():
        written = path / name
        if ".." in Path(name).parts or not written.is_file() or hash_file(written) != checksum:
            raise DamagedError(written, "is not as it was written")
    return True


def hash_file(file: Path) -> str:
    """Compute the checksum of a file's content."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _check_counts(dataset: PreparedDataset, path: Path) -> None:
    """Compare the manifest's counts and names with the arrays."""
    sizes = dataset.shared.sizes
    found = {name: sizes[f"n_{name}"] for name in ("genes", "nodes", "edges", "batches")}
    found |= {name: len(split.table.perturbations) for name, split in dataset.splits.items()}
    found |= {f"edges:{name}": len(edges.edge_source) for name, edges in dataset.shared.networks.items()}
    for name, count in dataset.manifest.counts.items():
        if found.get(name, count) != count:
            raise DamagedError(path / MANIFEST_FILE, f"counts {count} as {name}, but there are {found[name]}")
    manifest, shared = dataset.manifest, dataset.shared
    for what, named, held in (
        ("networks", manifest.networks, shared.network_names),
        ("embeddings", manifest.embeddings, shared.embedding_names),
    ):
        if named != tuple(names := held.tolist()):
            raise DamagedError(path / MANIFEST_FILE, f"names other {what} than {name_some(names)}")


def _check_perturbations(dataset: PreparedDataset, path: Path) -> None:
    """Refuse perturbations without nodes or in two splits, and wrong numbers of cells."""
    nodes, seen = set(dataset.shared.node_names.tolist()), set[str]()
    for split, part in dataset.splits.items():
        names, file = part.table.perturbations.tolist(), path / split / "perturbations.npy"
        unknown = [name for name in names if not nodes.issuperset(genes_of(name))]
        if unknown:
            raise DamagedError(file, f"names genes that are no nodes: {name_some(unknown)}")
        if twice := seen.intersection(names):
            raise DamagedError(file, f"repeats perturbations of another split: {name_some(sorted(twice))}")
        seen.update(names)
        counted = np.bincount(part.cells.perturbation_index, minlength=len(names))
        if dataset.manifest.kind == "cells" and not np.array_equal(counted, part.table.n_cells):
            raise DamagedError(path / split / "n_cells.npy", "does not count the split's cells")
    if dataset.manifest.kind == "cells" and not len(dataset.control_cells):
        raise DamagedError(path / CONTROL_FOLDER / "row_start.npy", "holds no cell")
