from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.prepared import PreparedDataset
from adapert.models import gene_kernels
from adapert.models.gene_kernels import (
    Members,
    half_squared_distances,
    leading_eigenvectors,
    network_coordinates,
    unit_rows,
)

EDGES = GraphConfig()
TIME = 0.7


def normalised_adjacency(shared: SharedTable) -> NDArray[np.float64]:
    """Fill the adjacency edge by edge, both ways, and divide by the square roots of both degrees."""
    n_nodes = len(shared.node_names)
    adjacency = np.zeros((n_nodes, n_nodes))
    for source, target in zip(shared.edge_source, shared.edge_target, strict=True):
        adjacency[source, target] = adjacency[target, source] = 1
    degree = np.maximum(adjacency.sum(axis=1), 1)
    return adjacency / np.sqrt(np.outer(degree, degree))


def test_isolated_genes_are_at_zero_and_others_on_the_unit_sphere(dataset: PreparedDataset) -> None:
    lengths = np.linalg.norm(network_coordinates(dataset.shared, EDGES, "spectral", 64), axis=1)
    assert lengths[14] == 0
    np.testing.assert_allclose(lengths[:14], 1)


def test_sparse_and_dense_eigenvectors_span_the_same_similarities(dataset: PreparedDataset) -> None:
    few = network_coordinates(dataset.shared, EDGES, "spectral", 5)  # by ARPACK
    values, vectors = np.linalg.eigh(normalised_adjacency(dataset.shared))
    dense = vectors[:, -5:] * np.sqrt(np.maximum(values[-5:], 0))
    dense[:14] /= np.linalg.norm(dense[:14], axis=1, keepdims=True)
    dense[14] = 0
    assert few.shape == (15, 5)
    np.testing.assert_allclose(few @ few.T, dense @ dense.T, atol=1e-8)


def test_eigenvectors_are_found_once_a_matrix_and_size_and_cannot_be_changed() -> None:
    table = np.random.default_rng(0).normal(size=(9, 9))
    matrix, other = (scipy.sparse.csr_array(each + each.T) for each in (table, table**2))
    first, again = leading_eigenvectors(matrix, 3), leading_eigenvectors(matrix.copy(), 3)
    assert first[1] is again[1]
    for each, size in ((other, 3), (matrix, 4)):
        expected = scipy.linalg.eigh(each.toarray(), eigvals_only=True)[-size:]
        np.testing.assert_allclose(leading_eigenvectors(each, size)[0], expected)
    with pytest.raises(ValueError, match="read-only"):
        first[1][0] = 0


def test_heat_is_the_exponential_of_the_laplacian(dataset: PreparedDataset) -> None:
    laplacian = np.eye(15) - normalised_adjacency(dataset.shared)
    expected = cosine_similarity(scipy.linalg.sqrtm(scipy.linalg.expm(-TIME * laplacian)).real)
    found = network_coordinates(dataset.shared, EDGES, "heat", 15, TIME)
    np.testing.assert_allclose((found @ found.T)[:14, :14], expected[:14, :14], atol=1e-8)


def test_the_regularised_laplacian_is_its_inverse(dataset: PreparedDataset) -> None:
    laplacian = np.eye(15) - normalised_adjacency(dataset.shared)
    expected = cosine_similarity(scipy.linalg.sqrtm(np.linalg.inv(np.eye(15) + TIME * laplacian)).real)
    found = network_coordinates(dataset.shared, EDGES, "laplacian", 15, TIME)
    np.testing.assert_allclose((found @ found.T)[:14, :14], expected[:14, :14], atol=1e-8)


def test_a_network_without_edges_places_every_gene_at_zero(dataset: PreparedDataset) -> None:
    nothing = {name: getattr(dataset.shared, name)[:0] for name in ("edge_source", "edge_target")}
    nothing |= {name: getattr(dataset.shared, name)[:0] for name in ("edge_rank", "edge_score")}
    shared = replace(dataset.shared, **nothing)
    assert not network_coordinates(shared, EDGES, "heat", 4).any()


@pytest.mark.parametrize("edges", [GraphConfig(top_k=1), GraphConfig(edge_weight="confidence")])
def test_places_follow_the_edges_that_a_config_takes(dataset: PreparedDataset, edges: GraphConfig) -> None:
    one, other = (network_coordinates(dataset.shared, each, "spectral", 15) for each in (EDGES, edges))
    assert not np.allclose(one @ one.T, other @ other.T)


def test_distances_are_half_of_scipys() -> None:
    generator = np.random.default_rng(0)
    rows, others = generator.normal(size=(4, 3)), generator.normal(size=(5, 3))
    expected = cdist(rows, others, "sqeuclidean") / 2
    np.testing.assert_allclose(half_squared_distances(rows, others), expected)
    unit = unit_rows(rows)
    np.testing.assert_allclose(1 - half_squared_distances(unit, unit), cosine_similarity(rows), atol=1e-12)


def test_unit_rows_leave_zeros_alone() -> None:
    np.testing.assert_array_equal(unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]])


def test_members_name_each_perturbed_gene_once(dataset: PreparedDataset) -> None:
    members = Members(dataset, ["G05", "G00+G05", "G02"])
    assert dataset.shared.node_names[members.nodes].tolist() == ["G00", "G02", "G05"]
    np.testing.assert_array_equal(members.has, [[0, 0, 1], [1, 0, 1], [0, 1, 0]])


def test_eigenvectors_of_a_network_of_small_parts_are_the_same_again() -> None:
    pair, triangle = (np.ones((size, size)) - np.eye(size) for size in (2, 3))
    matrix = scipy.sparse.csr_array(scipy.sparse.block_diag([pair, triangle / 2] * 50))
    found = []
    for _ in range(3):
        gene_kernels._find_eigenvectors.cache_clear()
        found.append(leading_eigenvectors(matrix, 32)[1])
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
