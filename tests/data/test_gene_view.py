"""A data set with some of its genes, in another's order: every value stays with its gene."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures.dataset import build_tiny_dataset, with_second_embeddings, with_second_network

from adapert.data.array_tables import CellTable, Edges
from adapert.data.gene_view import keep_genes
from adapert.data.prepared import PreparedDataset

KEPT = np.array(["G07", "G02", "G11", "G00", "G05"])


@pytest.fixture(scope="module")
def dataset() -> PreparedDataset:
    return with_second_embeddings(with_second_network(build_tiny_dataset()))


@pytest.fixture(scope="module")
def view(dataset: PreparedDataset) -> PreparedDataset:
    return keep_genes(dataset, KEPT)


def by_gene(values: np.ndarray, dataset: PreparedDataset) -> pd.DataFrame:
    return pd.DataFrame(values, columns=dataset.gene_names)


def test_every_value_stays_with_its_gene(dataset: PreparedDataset, view: PreparedDataset) -> None:
    assert view.gene_names.tolist() == KEPT.tolist()
    for name, part in dataset.splits.items():
        for field in ("delta", "deg_mask", "group_mean"):
            whole = by_gene(getattr(part.table, field), dataset)
            kept = by_gene(getattr(view.splits[name].table, field), view)
            pd.testing.assert_frame_equal(kept, whole[KEPT])
        np.testing.assert_array_equal(part.table.perturbations, view.splits[name].table.perturbations)
    for field in ("control_mean", "batch_control_mean"):
        whole = by_gene(np.atleast_2d(getattr(dataset.shared, field)), dataset)
        kept = by_gene(np.atleast_2d(getattr(view.shared, field)), view)
        pd.testing.assert_frame_equal(kept, whole[KEPT])


def test_cells_keep_the_values_of_their_genes(dataset: PreparedDataset, view: PreparedDataset) -> None:
    def check(whole: CellTable, kept: CellTable) -> None:
        expression = by_gene(whole.expression(dataset.n_genes).toarray(), dataset)[KEPT]
        pd.testing.assert_frame_equal(by_gene(kept.expression(view.n_genes).toarray(), view), expression)
        np.testing.assert_array_equal(whole.batch_index, kept.batch_index)

    check(dataset.control_cells, view.control_cells)
    for name, part in dataset.splits.items():
        check(part.cells, view.splits[name].cells)


def test_genes_that_are_left_out_stay_nodes_with_their_edges_and_vectors(
    dataset: PreparedDataset, view: PreparedDataset
) -> None:
    assert sorted(view.shared.node_names) == sorted(dataset.shared.node_names)
    assert [view.shared.node_names[node] for node in view.perturbed_nodes("G00+G03")] == ["G00", "G03"]

    def name_edges(edges: Edges, names: np.ndarray) -> set[tuple[str, str, float, int]]:
        columns = (names[edges.edge_source], names[edges.edge_target], edges.edge_score, edges.edge_rank)
        return set(zip(*(column.tolist() for column in columns), strict=True))

    for network in ("network", "go"):
        whole, kept = (one.shared.edges_of(network) for one in (dataset, view))
        assert name_edges(kept, view.shared.node_names) == name_edges(whole, dataset.shared.node_names)
        order = np.lexsort((kept.edge_rank, kept.edge_target))
        np.testing.assert_array_equal(order, np.arange(len(order)))
    for source in ("text", "rpe1"):
        vectors = [
            pd.DataFrame(one.shared.vectors_of(source).embedding, one.shared.node_names)
            for one in (dataset, view)
        ]
        pd.testing.assert_frame_equal(vectors[1], vectors[0].loc[view.shared.node_names.tolist()])
    marks = [pd.Series(one.shared.is_perturbed, one.shared.node_names) for one in (dataset, view)]
    pd.testing.assert_series_equal(marks[1], marks[0].loc[view.shared.node_names.tolist()])


def test_the_same_genes_in_their_order_change_nothing(dataset: PreparedDataset) -> None:
    same = keep_genes(dataset, dataset.gene_names)
    assert replace(same, path=dataset.path).fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(same.shared.edge_source, dataset.shared.edge_source)
    for field in ("values", "gene_index", "row_start"):
        expected = getattr(dataset.splits["test"].cells, field)
        np.testing.assert_array_equal(getattr(same.splits["test"].cells, field), expected)
