from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixtures.dataset import N_NODES, build_tiny_dataset

from adapert.config import Config
from adapert.models.adapert.adjacency import build_adjacency
from adapert.models.adapert.features import build_network_features
from adapert.models.encoders import build_text_tables
from adapert.models.spectrum import NodeTable

DATASET = build_tiny_dataset()


def features_of(changes: dict[str, Any], splits: bool = True) -> list[NodeTable]:
    config = Config().with_changes(changes)
    dataset = DATASET if splits else replace(DATASET, splits={})
    adjacency = build_adjacency(dataset.shared, config.graph, False, 0)
    return build_network_features(dataset, config, adjacency, build_text_tables(dataset, config, 0), 0)


def dense_edges(top_k: int) -> np.ndarray:
    shared = DATASET.shared
    dense = np.zeros((N_NODES, N_NODES))
    for source, target, rank in zip(shared.edge_source, shared.edge_target, shared.edge_rank, strict=True):
        dense[target, source] = rank < top_k
    return dense


@pytest.mark.parametrize("top_k", [2, 20])
def test_spectrum_is_that_of_the_trials_graph(top_k: int) -> None:
    (table,) = features_of(
        {"model.node_features": "spectral", "model.spectral_size": 4, "graph.top_k": top_k}
    )
    edges = np.maximum(dense_edges(top_k), dense_edges(top_k).T)
    degree = np.maximum(edges.sum(axis=1), 1)
    values, vectors = np.linalg.eigh(edges / np.sqrt(degree[:, None] * degree))
    expected = vectors[:, -4:] * np.sqrt(np.maximum(values[-4:], 0))
    expected[edges.sum(axis=1) == 0] = 0
    norms = np.linalg.norm(expected, axis=1, keepdims=True)
    expected = np.divide(expected, norms, out=np.zeros_like(expected), where=norms > 1e-9)
    # Signs of eigenvectors mean nothing, products of rows do.
    np.testing.assert_allclose(table.rows @ table.rows.T, expected @ expected.T, atol=1e-5)


def test_text_is_diffused_once_and_twice_over_neighbours_and_the_gene_itself() -> None:
    tables = features_of({"model.node_features": "text+diffused", "graph.top_k": 3})
    assert len(tables) == 2
    text, edges = DATASET.shared.text_embedding.astype(float), dense_edges(3)
    rows = text
    for table in tables:
        following = []
        for gene in range(N_NODES):
            neighbours = [rows[other] for other in range(N_NODES) if edges[gene, other]]
            average = sum(neighbours) / len(neighbours) if neighbours else rows[gene]
            following.append((average + rows[gene]) / 2)
        rows = np.array(following)
        centred = rows - rows.mean(axis=0)
        expected = centred / np.linalg.norm(centred, axis=1, keepdims=True)
        np.testing.assert_allclose(table.rows, expected, atol=1e-5)


def test_shuffled_text_is_diffused_shuffled_and_rewired_edges_count() -> None:
    base = {"model.node_features": "spectral+diffused", "model.spectral_size": 3}
    plain = features_of(base)
    shuffled = features_of(base | {"data.text_embedding": "shuffled"})
    rewired = features_of(base | {"graph.edges": "rewired"})
    assert np.array_equal(plain[0].rows, shuffled[0].rows)
    assert not np.allclose(plain[1].rows, shuffled[1].rows)
    assert all(not np.allclose(one.rows, other.rows) for one, other in zip(plain, rewired, strict=True))


@pytest.mark.parametrize("network", ["", "none"])
def test_a_spectrum_has_its_size_whatever_the_network_has(network: str) -> None:
    changes = {"model.node_features": "spectral", "model.spectral_size": 40, "graph.networks": network}
    for splits in (True, False):
        (table,) = features_of(changes, splits)
        assert table.rows.shape == (N_NODES, 40)
        assert table.rows.any() == (splits and network == "")


def test_without_network_features_there_are_none() -> None:
    assert features_of({"model.node_features": "one_hot+text"}) == []
