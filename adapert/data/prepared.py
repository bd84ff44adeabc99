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
from typing import Annotated, Any, Literal, Self

import numpy as np
import scipy.sparse
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt, TypeAdapter, ValidationError

from adapert.data.differential import DegAdjust, DegTest
from adapert.data.effect_size import EffectSizeGroups
from adapert.data.formats.array_folder import ArrayFolder, DamagedError, FolderWriter, Rule, find_index_fault
from adapert.data.schema import (
    EFFECT_SIZES,
    BoolArray,
    FloatArray,
    IntArray,
    SplitName,
    StringArray,
    genes_of,
)
from adapert.errors import InputError, name_some
from adapert.files import parse_json

FORMAT_VERSION = 2
"""Version of the folder. In version 1 a gene could be in two splits, under two spellings."""

CONTROL_FOLDER = "control_cells"
CELL_FOLDER = "cells"
SHARED_FOLDER = "shared"
MANIFEST_FILE = "manifest.json"
CHECKSUM_FILE = "checksums.json"


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

    values: Annotated[FloatArray, Rule("float", ("n_values",), is_large=True)]
    gene_index: Annotated[IntArray, Rule("int", ("n_values",), below="n_genes", is_large=True)]
    row_start: Annotated[IntArray, Rule("int", ("n_cells + 1",))]
    perturbation_index: Annotated[IntArray, Rule("int", ("n_cells",), below="n_perturbations")]
    batch_index: Annotated[IntArray, Rule("int", ("n_cells",), below="n_batches")]

    @classmethod
    def empty(cls) -> Self:
        """Make a table of no cells."""
        return cls(
            values=np.empty(0, dtype=np.float32),
            gene_index=np.empty(0, dtype=np.int32),
            row_start=np.zeros(1, dtype=np.int64),
            perturbation_index=np.empty(0, dtype=np.int32),
            batch_index=np.empty(0, dtype=np.int32),
        )

    def __len__(self) -> int:
        return len(self.row_start) - 1

    def find_fault(self, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        """Find rows that are not consecutive among the values."""
        starts = np.asarray(self.row_start)
        if starts[0] or starts[-1] != len(self.values) or (starts[1:] < starts[:-1]).any():
            return "row_start", f"does not ascend from 0 to the {len(self.values):,} values of the cells"
        return None

    def expression(self, n_genes: int) -> scipy.sparse.csr_array:
        """Expression of all cells, log1p units, (n_cells, n_genes), on the memory maps.

        Raises:
            InputError: A gene index outside the genes, with which scipy would access other memory.
        """
        if fault := find_index_fault(self.gene_index, n_genes):
            raise InputError(
                f"Cells must be of the data set's {n_genes:,} genes, but their gene_index {fault}. Run "
                "'adapert prepare' again, or copy the data set again."
            )
        return scipy.sparse.csr_array(
            (self.values, self.gene_index, self.row_start), shape=(len(self), n_genes), copy=False
        )


class CellWriter(FolderWriter):
    """Writes a `CellTable` in chunks of cells."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.append("row_start", np.zeros(1, dtype=np.int64))
        self._n_values = 0

    def append_cells(
        self, expression: scipy.sparse.csr_array, perturbation_number: int, batch_index: IntArray
    ) -> None:
        """Write the next cells of one perturbation.

        Args:
            expression: log1p units, float32, (n_cells, n_genes).
            perturbation_number: Into the split's perturbations; 0 for control cells.
            batch_index: Matching group of each, (n_cells,).
        """
        n_cells = expression.shape[0]
        self.append("values", expression.data)
        self.append("gene_index", expression.indices.astype(np.int32))
        self.append("row_start", expression.indptr[1:].astype(np.int64) + self._n_values)
        self.append("perturbation_index", np.full(n_cells, perturbation_number, dtype=np.int32))
        self.append("batch_index", batch_index.astype(np.int32))
        self._n_values += expression.nnz


@dataclass(frozen=True, kw_only=True)
class PerturbationTable(ArrayFolder):
    """Sufficient statistics of one split's perturbations.

    A group is one perturbation in one matching group (cell line and sequencing batch).

    Attributes:
        perturbations: Names, genes of a combination joined by ``+``, (n_perturbations,).
        delta: Mean perturbed minus mean matched control, log1p units, or a response as it was,
            (n_perturbations, n_genes).
        deg_mask: Differentially expressed genes, as `delta`.
        n_cells: Cells of each perturbation, (n_perturbations,); 1 where the input does not tell.
        effect_size: ``"small"``, ``"medium"`` or ``"large"``, (n_perturbations,).
        group_perturbation_index: Into `perturbations`, (n_groups,).
        group_batch_index: Into the data set's batches, (n_groups,).
        group_mean: Mean expression of the group's cells, log1p units, (n_groups, n_genes).
        group_n_cells: Cells of each group, (n_groups,).
    """

    perturbations: Annotated[StringArray, Rule("text", ("n_perturbations",), is_distinct=True)]
    delta: Annotated[FloatArray, Rule("float", ("n_perturbations", "n_genes"), is_large=True)]
    deg_mask: Annotated[BoolArray, Rule("bool", ("n_perturbations", "n_genes"))]
    n_cells: Annotated[IntArray, Rule("int", ("n_perturbations",), least=1)]
    effect_size: Annotated[StringArray, Rule("text", ("n_perturbations",))]
    group_perturbation_index: Annotated[IntArray, Rule("int", ("n_groups",), below="n_perturbations")]
    group_batch_index: Annotated[IntArray, Rule("int", ("n_groups",), below="n_batches")]
    group_mean: Annotated[FloatArray, Rule("float", ("n_groups", "n_genes"), is_large=True)]
    group_n_cells: Annotated[IntArray, Rule("int", ("n_groups",), least=1)]

    def find_fault(self, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        """Find an empty split, and unknown effect sizes."""
        if not len(self.perturbations):
            return "perturbations", "holds none"
        unknown = set(self.effect_size.tolist()) - set(EFFECT_SIZES)
        if unknown:
            return "effect_size", f"holds {name_some(sorted(unknown))}, not {', '.join(EFFECT_SIZES)}"
        return None

    @property
    def n_degs(self) -> IntArray:
        """Number of DEGs of each perturbation, (n_perturbations,)."""
        counts: IntArray = self.deg_mask.sum(axis=1)
        return counts


@dataclass(frozen=True, kw_only=True)
class Edges(ArrayFolder):
    """Edges of the graph by node number, sorted by target, then rank.

    Attributes:
        edge_source: Node an edge comes from, (n_edges,).
        edge_target: Node an edge goes into, (n_edges,); both directions of each pair are present.
        edge_score: The network's confidence, (n_edges,).
        edge_rank: 0 for the best edge into its target, then 1, ..., (n_edges,).
    """

    edge_source: Annotated[IntArray, Rule("int", ("n_edges",), below="n_nodes")]
    edge_target: Annotated[IntArray, Rule("int", ("n_edges",), below="n_nodes")]
    edge_score: Annotated[FloatArray, Rule("float", ("n_edges",))]
    edge_rank: Annotated[IntArray, Rule("int", ("n_edges",))]


@dataclass(frozen=True, kw_only=True)
class SharedTable(Edges):
    """What all splits share: genes, controls, network, text.

    Attributes:
        node_names: Genes of the graph, (n_nodes,): the measured genes in order, then perturbed
            genes that were not measured.
        n_genes: Number of measured genes, ().
        control_mean: Mean control profile, log1p units, (n_genes,).
        batches: Names of the matching groups, (n_batches,).
        batch_control_mean: Mean of the controls matched to each group, (n_batches, n_genes).
        text_embedding: L2-normalised rows, zeros where a gene has none, (n_nodes, text_size).
        has_text: Whether a gene has an embedding, (n_nodes,).
    """

    node_names: Annotated[StringArray, Rule("text", ("n_nodes",), is_distinct=True)]
    n_genes: Annotated[IntArray, Rule("int", (), least=1, is_size=True)]
    control_mean: Annotated[FloatArray, Rule("float", ("n_genes",))]
    batches: Annotated[StringArray, Rule("text", ("n_batches",), is_distinct=True)]
    batch_control_mean: Annotated[FloatArray, Rule("float", ("n_batches", "n_genes"))]
    text_embedding: Annotated[FloatArray, Rule("float", ("n_nodes", "text_size"))]
    has_text: Annotated[BoolArray, Rule("bool", ("n_nodes",))]

    @property
    def has_edge(self) -> BoolArray:
        """Whether a gene is in the network, (n_nodes,)."""
        has_edge = np.zeros(len(self.node_names), dtype=bool)
        has_edge[self.edge_target] = True  # every edge is stored in both directions
        return has_edge

    def find_fault(self, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        """Find more measured genes than nodes, scores below 0, and text without numbers."""
        if self.n_genes > len(self.node_names):
            return "n_genes", f"is {self.n_genes}, more than the {len(self.node_names)} nodes"
        if (np.asarray(self.edge_score) < 0).any():
            return "edge_score", "holds scores below 0"
        if not self.text_embedding.shape[1]:
            return "text_embedding", "has no columns"
        return None


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


def write_rest(path: Path, shared: SharedTable, manifest: Mapping[str, Any]) -> None:
    """Write the rest of a data set: what the splits share, the manifest, all files' checksums."""
    shared.write(path / SHARED_FOLDER)
    (path / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    files = sorted(file.relative_to(path) for file in path.rglob("*.*") if file.is_file())
    checksums = {str(file): hash_file(path / file) for file in files}
    (path / CHECKSUM_FILE).write_text(json.dumps(checksums, indent=2), encoding="utf-8")


class _Choices(BaseModel):
    """The choices that are read after the preparation."""

    cell_line_column: str | None = None
    batch_column: str | None = None
    n_cells_column: str | None = None
    min_batch_controls: PositiveInt = 1
    deg_test: DegTest = "mann_whitney"
    deg_adjust: DegAdjust = "fdr"
    effect_size_groups: EffectSizeGroups = "fractions"


class _Input(BaseModel):
    file: str


class _Manifest(BaseModel):
    """The fields of a manifest that are read; those for people may be anything."""

    # A pattern, since it becomes a folder's name.
    fingerprint: str = Field(pattern=r"^\w{1,64}$")
    format_version: int
    kind: Literal["cells", "responses"]
    split_seed: int
    choices: _Choices = _Choices()
    inputs: dict[str, _Input] = {}
    counts: dict[str, NonNegativeInt] = {}
    coverage: dict[str, NonNegativeInt] = {}


def read_manifest(path: Path) -> dict[str, Any]:
    """Read the manifest of a prepared data set.

    Raises:
        InputError: `path` is no prepared data set, a damaged one, or one of another format version.
    """
    file = path / MANIFEST_FILE
    if not file.is_file():
        raise InputError(
            f"A prepared data set must be a directory made by 'adapert prepare', but '{path}' has no "
            "manifest.json. Name another, or put it back."
        )
    try:
        text = file.read_bytes()
        manifest: Any = parse_json(text)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or not {"fingerprint", "format_version"} <= manifest.keys():
        raise DamagedError(file, "is damaged")
    if manifest["format_version"] != FORMAT_VERSION:
        raise InputError(
            f"A prepared data set must have format version {FORMAT_VERSION}, but '{path}' has "
            f"{str(manifest['format_version'])[:20]}. Run 'adapert prepare' again."
        )
    try:
        _Manifest.model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise DamagedError(file, f"is damaged: {where}: {first['msg']}") from error
    return manifest


def check_fingerprint(path: Path, found: str, expected: str, owner: str, cure: str) -> None:
    """Refuse a data set that is not the one its `owner` was made on, such as ``"The trial"``.

    Raises:
        InputError: The two differ.
    """
    if found != expected:
        raise InputError(
            f"{owner} needs the data set of fingerprint {expected}, but '{path}' has {found}. {cure}"
        )


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
    """Compare the manifest's counts with the arrays."""
    sizes = dataset.shared.sizes
    found = {name: sizes[f"n_{name}"] for name in ("genes", "nodes", "edges", "batches")}
    found |= {name: len(split.table.perturbations) for name, split in dataset.splits.items()}
    for name, count in dataset.manifest.get("counts", {}).items():
        if found.get(name, count) != count:
            raise DamagedError(path / MANIFEST_FILE, f"counts {count} as {name}, but there are {found[name]}")


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
        if dataset.manifest["kind"] == "cells" and not np.array_equal(counted, part.table.n_cells):
            raise DamagedError(path / split / "n_cells.npy", "does not count the split's cells")
    if dataset.manifest["kind"] == "cells" and not len(dataset.control_cells):
        raise DamagedError(path / CONTROL_FOLDER / "row_start.npy", "holds no cell")
