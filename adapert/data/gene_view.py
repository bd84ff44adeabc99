"""A prepared data set with some of its measured genes, in the order of another's."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from adapert.data.array_tables import CellTable, Edges, NodeVectors, PerturbationTable, SharedTable
from adapert.data.prepared import PreparedDataset, PreparedSplit
from adapert.data.schema import IntArray, StringArray

Network = TypeVar("Network", bound=Edges)


def keep_genes(dataset: PreparedDataset, gene_names: StringArray) -> PreparedDataset:
    """Keep some measured genes, in a given order; what has genes is copied into memory.

    Genes that are left out stay nodes of the graph, as genes that were not measured, so that they can still
    be perturbed. The manifest stays that of the whole data set.

    Args:
        dataset: With any of its splits.
        gene_names: Measured genes of `dataset`, each once, (n_kept,).
    """
    number = {name: index for index, name in enumerate(dataset.gene_names.tolist())}
    kept = np.array([number[name] for name in gene_names.tolist()], dtype=np.int64)
    place = np.full(dataset.n_genes, -1, dtype=np.int32)
    place[kept] = np.arange(len(kept))
    return replace(
        dataset,
        shared=_keep_shared(dataset.shared, kept),
        control_cells=_keep_cells(dataset.control_cells, place),
        splits={
            name: PreparedSplit(table=_keep_table(part.table, kept), cells=_keep_cells(part.cells, place))
            for name, part in dataset.splits.items()
        },
        path=None,
    )


def _keep_shared(shared: SharedTable, kept: IntArray) -> SharedTable:
    order = np.concatenate([kept, np.setdiff1d(np.arange(len(shared.node_names)), kept)])
    place = np.argsort(order).astype(np.int32)
    return replace(
        _renumber(shared, place),
        node_names=shared.node_names[order],
        n_genes=np.array(len(kept)),
        control_mean=shared.control_mean[kept],
        batch_control_mean=shared.batch_control_mean[:, kept],
        text_embedding=shared.text_embedding[order],
        has_text=shared.has_text[order],
        is_perturbed=shared.is_perturbed[order],
        networks={name: _renumber(edges, place) for name, edges in shared.networks.items()},
        embeddings={
            name: NodeVectors(embedding=vectors.embedding[order], has_embedding=vectors.has_embedding[order])
            for name, vectors in shared.embeddings.items()
        },
    )


def _renumber(edges: Network, place: IntArray) -> Network:
    """Give the nodes of edges their new numbers, and sort by target, then rank, again."""
    order = np.lexsort((edges.edge_rank, place[edges.edge_target]))
    return replace(
        edges,
        edge_source=place[edges.edge_source][order],
        edge_target=place[edges.edge_target][order],
        edge_score=edges.edge_score[order],
        edge_rank=edges.edge_rank[order],
    )


def _keep_table(table: PerturbationTable, kept: IntArray) -> PerturbationTable:
    of_genes = {name: getattr(table, name) for name, rule in table.rules().items() if "n_genes" in rule.shape}
    return replace(table, **{name: values[:, kept] for name, values in of_genes.items()})


def _keep_cells(cells: CellTable, place: IntArray) -> CellTable:
    """Keep the values of genes that have a place, (n_genes,), which is -1 for others."""
    gene_index = place[cells.gene_index]
    kept = np.flatnonzero(gene_index >= 0)
    return replace(
        cells,
        values=cells.values[kept],
        gene_index=gene_index[kept],
        row_start=np.searchsorted(kept, cells.row_start),
    )
