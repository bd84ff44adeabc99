"""The arrays of a prepared data set: cells, perturbations, and what all splits share."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import scipy.sparse

from adapert.data.formats.array_folder import ArrayFolder, FolderWriter, Rule, find_index_fault
from adapert.data.schema import EFFECT_SIZES, BoolArray, FloatArray, IntArray, StringArray
from adapert.data.sources import EMBEDDINGS, NAME, NETWORKS, choose_sources
from adapert.errors import InputError, name_some

NETWORK_FOLDER = "networks"
"""Folder of the networks but the first."""

EMBEDDING_FOLDER = "embeddings"
"""Folder of the sources of embeddings but the first."""


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
        # Of two types of numbers scipy would copy all of gene_index into memory.
        is_counted = len(self.values) <= np.iinfo(self.gene_index.dtype).max
        row_start = self.row_start.astype(self.gene_index.dtype) if is_counted else self.row_start
        return scipy.sparse.csr_array(
            (self.values, self.gene_index, row_start), shape=(len(self), n_genes), copy=False
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
        family: Name of the family that each is in (`adapert.data.families`), (n_perturbations,).
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
    family: Annotated[StringArray, Rule("text", ("n_perturbations",))]
    group_perturbation_index: Annotated[IntArray, Rule("int", ("n_groups",), below="n_perturbations")]
    group_batch_index: Annotated[IntArray, Rule("int", ("n_groups",), below="n_batches")]
    group_mean: Annotated[FloatArray, Rule("float", ("n_groups", "n_genes"), is_large=True)]
    group_n_cells: Annotated[IntArray, Rule("int", ("n_groups",), least=1)]

    def find_fault(self, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        """Find an empty split, perturbations without a family, and unknown effect sizes."""
        if not len(self.perturbations):
            return "perturbations", "holds none"
        if not all(self.family.tolist()):
            return "family", "holds an empty name"
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

    def find_fault(self, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        """Find scores below 0."""
        if (np.asarray(self.edge_score) < 0).any():
            return "edge_score", "holds scores below 0"
        return None


@dataclass(frozen=True, kw_only=True)
class NodeVectors(ArrayFolder):
    """A vector for each node of the graph, from one source of embeddings.

    Attributes:
        embedding: L2-normalised rows, zeros where a gene has none, (n_nodes, size).
        has_embedding: Whether a gene has one, (n_nodes,).
    """

    embedding: Annotated[FloatArray, Rule("float", ("n_nodes", "size"))]
    has_embedding: Annotated[BoolArray, Rule("bool", ("n_nodes",))]

    def find_fault(self, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        """Find vectors without numbers."""
        return None if self.embedding.shape[1] else ("embedding", "has no columns")


@dataclass(frozen=True, kw_only=True)
class SharedTable(Edges):
    """What all splits share: genes, controls, networks, embeddings.

    The edges of the table itself are those of the first network, its text the first source of embeddings. The
    others have a folder each.

    Attributes:
        network_names: Names of the networks, the first first, (n_networks,).
        networks: Edges of the other networks, by name.
        embedding_names: Names of the sources of embeddings, the first first, (n_sources,).
        embeddings: Vectors of the other sources, by name.
        is_perturbed: Whether a gene is perturbed in any split, (n_nodes,).
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
    is_perturbed: Annotated[BoolArray, Rule("bool", ("n_nodes",))]
    network_names: Annotated[StringArray, Rule("text", ("n_networks",), is_distinct=True)] = field(
        default_factory=lambda: np.array([NETWORKS.default])
    )
    networks: Mapping[str, Edges] = field(default_factory=dict)
    embedding_names: Annotated[StringArray, Rule("text", ("n_sources",), is_distinct=True)] = field(
        default_factory=lambda: np.array([EMBEDDINGS.default])
    )
    embeddings: Mapping[str, NodeVectors] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, is_mapped: bool = True, sizes: Mapping[str, int] | None = None) -> Self:
        """Read the table, and the folders of other networks and embeddings; see `ArrayFolder.read`."""
        table = super().read(path, is_mapped, sizes)
        known = {"n_nodes": len(table.node_names)}
        networks, embeddings = (names[1:].tolist() for names in (table.network_names, table.embedding_names))
        return replace(
            table,
            networks={name: Edges.read(path / NETWORK_FOLDER / name, is_mapped, known) for name in networks},
            embeddings={
                name: NodeVectors.read(path / EMBEDDING_FOLDER / name, is_mapped, known)
                for name in embeddings
            },
        )

    def write(self, path: Path) -> None:
        """Write the table, and other networks and embeddings into folders of their names."""
        super().write(path)
        for folder, tables in ((NETWORK_FOLDER, self.networks), (EMBEDDING_FOLDER, self.embeddings)):
            if tables:
                (path / folder).mkdir()
            for name, table in tables.items():
                table.write(path / folder / name)

    def edges_of(self, network: str) -> Edges:
        """Edges of a network by its name."""
        return self if network == self.network_names[0] else self.networks[network]

    def vectors_of(self, source: str) -> NodeVectors:
        """Vectors of a source of embeddings by its name."""
        if source == self.embedding_names[0]:
            return NodeVectors(embedding=self.text_embedding, has_embedding=self.has_text)
        return self.embeddings[source]

    def picked_vectors(self, picked: str) -> list[NodeVectors]:
        """Vectors of the sources that ``data.embeddings`` of a config picks.

        Raises:
            InputError: A source that is not there.
        """
        names = self.embedding_names.tolist()
        return [self.vectors_of(name) for name in choose_sources(picked, names, EMBEDDINGS)]

    def has_edge(self, network: str) -> BoolArray:
        """Whether a gene is in a network, (n_nodes,)."""
        has_edge = np.zeros(len(self.node_names), dtype=bool)
        has_edge[self.edges_of(network).edge_target] = True  # every edge is stored in both directions
        return has_edge

    def find_fault(self, sizes: Mapping[str, int]) -> tuple[str, str] | None:
        """Find more measured genes than nodes, scores below 0, text without numbers, names that are none."""
        if self.n_genes > len(self.node_names):
            return "n_genes", f"is {self.n_genes}, more than the {len(self.node_names)} nodes"
        if not self.text_embedding.shape[1]:
            return "text_embedding", "has no columns"
        # They are folders' names, and this folder may be anybody's.
        for field_name in ("network_names", "embedding_names"):
            names = getattr(self, field_name).tolist()
            if not names or not all(map(NAME.fullmatch, names)):
                return field_name, "holds what is no name of a source"
        return super().find_fault(sizes)
