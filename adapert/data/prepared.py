"""The prepared data set on disk: a directory of memory-mapped arrays and a manifest.

Each split has a folder of its own, so a trial that is given train and validation has no way to
open the test split's expression.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse

from adapert.data.array_folder import ArrayFolder, FolderWriter
from adapert.data.schema import (
    BoolArray,
    FloatArray,
    IntArray,
    SplitName,
    StringArray,
    genes_of,
)
from adapert.errors import InputError, name_some
from adapert.files import whole_directory

FORMAT_VERSION = 1

CONTROL_FOLDER = "control_cells"
CELL_FOLDER = "cells"
MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class CellTable(ArrayFolder):
    """Cells of one kind as sparse rows; no rows where the input was a response table.

    Attributes:
        values: Expression, log1p units, (n_nonzero,).
        gene_index: Gene of each value, (n_nonzero,).
        row_start: Where each cell's values start, (n_cells + 1,).
        perturbation_index: Into the split's perturbations, (n_cells,); zeros for control cells.
        batch_index: Matching group (cell line and sequencing batch), (n_cells,).
    """

    values: FloatArray
    gene_index: IntArray
    row_start: IntArray
    perturbation_index: IntArray
    batch_index: IntArray

    def __len__(self) -> int:
        return len(self.row_start) - 1

    def expression(self, n_genes: int) -> scipy.sparse.csr_array:
        """Expression of all cells, log1p units, (n_cells, n_genes), on the memory maps."""
        return scipy.sparse.csr_array(
            (self.values, self.gene_index, self.row_start), shape=(len(self), n_genes), copy=False
        )


class CellWriter:
    """Writes a `CellTable` in stretches of cells; a context manager as `FolderWriter` is."""

    def __init__(self, path: Path) -> None:
        self._folder = FolderWriter(path)
        self._folder.append("row_start", np.zeros(1, dtype=np.int64))
        self._n_values = 0

    def append(
        self, expression: scipy.sparse.csr_array, perturbation_number: int, batch_index: IntArray
    ) -> None:
        """Write the next cells of one perturbation.

        Args:
            expression: log1p units, float32, (n_cells, n_genes).
            perturbation_number: Into the split's perturbations; 0 for control cells.
            batch_index: Matching group of each, (n_cells,).
        """
        n_cells = expression.shape[0]
        self._folder.append("values", expression.data)
        self._folder.append("gene_index", expression.indices.astype(np.int32))
        self._folder.append("row_start", expression.indptr[1:].astype(np.int64) + self._n_values)
        self._folder.append("perturbation_index", np.full(n_cells, perturbation_number, dtype=np.int32))
        self._folder.append("batch_index", batch_index.astype(np.int32))
        self._n_values += expression.nnz

    def __enter__(self) -> Self:
        self._folder.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._folder.__exit__(*raised)


@dataclass(frozen=True, kw_only=True)
class PerturbationTable(ArrayFolder):
    """Sufficient statistics of one split's perturbations.

    A group is one perturbation in one matching group (cell line and sequencing batch).

    Attributes:
        perturbations: Names, genes of a combination joined by ``+``, (n_perturbations,).
        delta: Mean perturbed minus mean matched control, log1p units, or a response as it was,
            (n_perturbations, n_genes).
        deg_mask: Differentially expressed genes, as `delta`.
        n_cells: Cells of each perturbation, (n_perturbations,); 1 where the input does not say.
        effect_size: ``"small"``, ``"medium"`` or ``"large"``, (n_perturbations,).
        group_perturbation_index: Into `perturbations`, (n_groups,).
        group_batch_index: Into the data set's batches, (n_groups,).
        group_mean: Mean expression of the group's cells, log1p units, (n_groups, n_genes).
        group_n_cells: Cells of each group, (n_groups,).
    """

    perturbations: StringArray
    delta: FloatArray
    deg_mask: BoolArray
    n_cells: IntArray
    effect_size: StringArray
    group_perturbation_index: IntArray
    group_batch_index: IntArray
    group_mean: FloatArray
    group_n_cells: IntArray

    @property
    def n_degs(self) -> IntArray:
        """Number of DEGs of each perturbation, (n_perturbations,)."""
        counts: IntArray = self.deg_mask.sum(axis=1)
        return counts


@dataclass(frozen=True, kw_only=True)
class SharedTable(ArrayFolder):
    """What all splits share: genes, controls, network, text.

    Attributes:
        node_names: Genes of the graph, (n_nodes,): the measured genes in order, then perturbed
            genes that were not measured.
        n_genes: Number of measured genes, ().
        control_mean: Mean control profile, log1p units, (n_genes,).
        batches: Names of the matching groups, (n_batches,).
        batch_control_mean: Mean of the controls matched to each group, (n_batches, n_genes).
        edge_source: Node an edge comes from, (n_edges,).
        edge_target: Node an edge goes into, (n_edges,); both directions of each pair are present.
        edge_score: The network's confidence, (n_edges,).
        edge_rank: 0 for the best edge into its target, then 1, ..., (n_edges,).
        text_embedding: L2-normalised rows, zeros where a gene has none, (n_nodes, text_size).
        has_text: Whether a gene has an embedding, (n_nodes,).
    """

    node_names: StringArray
    n_genes: IntArray
    control_mean: FloatArray
    batches: StringArray
    batch_control_mean: FloatArray
    edge_source: IntArray
    edge_target: IntArray
    edge_score: FloatArray
    edge_rank: IntArray
    text_embedding: FloatArray
    has_text: BoolArray


@dataclass(frozen=True, kw_only=True)
class PreparedSplit:
    """One split: its perturbations and their cells."""

    table: PerturbationTable
    cells: CellTable


@dataclass(frozen=True, kw_only=True)
class PreparedDataset:
    """A prepared data set; holds only the splits that were asked for.

    Attributes:
        manifest: What it was made of: ``fingerprint``, ``kind``, ``split_seed``, ``choices``,
            ``inputs``, ``counts``, ``coverage``.
        shared: What all splits share.
        control_cells: Unperturbed cells.
        splits: The splits, by name.
        path: Where it was read from; ``None`` before it is written.
    """

    manifest: Mapping[str, Any]
    shared: SharedTable
    control_cells: CellTable
    splits: Mapping[SplitName, PreparedSplit]
    path: Path | None = None

    @property
    def fingerprint(self) -> str:
        """Identity of the inputs' contents and of every choice."""
        return str(self.manifest["fingerprint"])

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


def write_prepared(dataset: PreparedDataset, path: Path) -> None:
    """Write a data set as a directory, whole or not at all.

    Raises:
        InputError: `path` exists.
    """
    with whole_directory(path) as beside:
        dataset.control_cells.write(beside / CONTROL_FOLDER)
        for name, split in dataset.splits.items():
            split.table.write(beside / name)
            split.cells.write(beside / name / CELL_FOLDER)
        write_rest(beside, dataset.shared, dataset.manifest)


def write_rest(path: Path, shared: SharedTable, manifest: Mapping[str, Any]) -> None:
    """Write what is known last of a data set into its directory: what the splits share, the manifest."""
    shared.write(path / "shared")
    (path / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2))


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a prepared data set.

    Raises:
        InputError: `path` is no prepared data set, a damaged one, or one of another format version.
    """
    file = path / MANIFEST_FILE
    if not file.is_file():
        raise InputError(
            f"--data must be a directory made by 'adapert prepare', but '{path}' has no manifest.json."
        )
    try:
        manifest: Any = json.loads(file.read_text())
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not {"fingerprint", "format_version"} <= manifest.keys():
        raise InputError(
            f"A prepared data set must be whole, but '{file}' is damaged. Run 'adapert prepare' again, or "
            "copy the data set again."
        )
    if manifest["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"A prepared data set must have format version {FORMAT_VERSION}, but '{path}' has "
            f"{manifest['format_version']}. Run 'adapert prepare' again."
        )
    return manifest


def read_prepared(
    path: Path, splits: Collection[SplitName] = ("train", "validation"), is_mapped: bool = True
) -> PreparedDataset:
    """Read a prepared data set; by default mapped into memory, and without the test split.

    Raises:
        InputError: `path` is no prepared data set, or a damaged one.
    """
    path = path.resolve()
    manifest = read_manifest(path)
    control_cells, parts = read_cells(path, splits, is_mapped)
    return PreparedDataset(
        manifest=manifest,
        shared=SharedTable.read(path / "shared", is_mapped),
        control_cells=control_cells,
        splits=parts,
        path=path if is_mapped else None,
    )


def read_cells(
    path: Path, splits: Collection[SplitName], is_mapped: bool = True
) -> tuple[CellTable, dict[SplitName, PreparedSplit]]:
    """Read the parts of a data set that hold cells and their effects: controls, and some splits.

    Raises:
        InputError: A file that is missing or damaged.
    """
    control_cells = CellTable.read(path / CONTROL_FOLDER, is_mapped)
    return control_cells, {
        name: PreparedSplit(
            table=PerturbationTable.read(path / name, is_mapped),
            cells=CellTable.read(path / name / CELL_FOLDER, is_mapped),
        )
        for name in splits
    }
