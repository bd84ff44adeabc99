from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixtures.dataset import build_tiny_dataset, with_second_network

from adapert.config import GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.errors import InputError
from adapert.models.adapert.adjacency import build_adjacency, neighbourhoods

SHARED = build_tiny_dataset().shared
N_NODES = len(SHARED.node_names)
ISOLATED = N_NODES - 1


def adjacency(
    shared: SharedTable = SHARED, self_loops: bool = False, seed: int = 0, **graph: Any
) -> np.ndarray:
    return np.asarray(build_adjacency(shared, GraphConfig(**graph), self_loops, seed).toarray())


def edges_into(node: int, top_k: int) -> list[tuple[np.int64, float]]:
    kept = (SHARED.edge_target == node) & (SHARED.edge_rank < top_k)
    return list(zip(SHARED.edge_source[kept], SHARED.edge_score[kept], strict=True))


@pytest.mark.parametrize("top_k", [1, 2, 20])
def test_uniform_weights_are_one_over_the_number_of_neighbours(top_k: int) -> None:
    expected = np.zeros((N_NODES, N_NODES))
    for node in range(N_NODES):
        neighbours = edges_into(node, top_k)
        for source, _ in neighbours:
            expected[node, source] = 1 / len(neighbours)
        if not neighbours:
            expected[node, node] = 1
    np.testing.assert_allclose(adjacency(top_k=top_k), expected)


def test_confidence_weights_are_shares_of_the_scores() -> None:
    expected = np.zeros((N_NODES, N_NODES))
    for node in range(N_NODES - 1):
        neighbours = edges_into(node, 3)
        for source, score in neighbours:
            expected[node, source] = score / sum(float(other) for _, other in neighbours)
    expected[ISOLATED, ISOLATED] = 1
    np.testing.assert_allclose(adjacency(top_k=3, edge_weight="confidence"), expected, rtol=1e-6)


def with_scores_of_zero() -> SharedTable:
    """Gene 0 with edges of score 0 alone, gene 1 with one such edge among others."""
    score = SHARED.edge_score.copy()
    score[SHARED.edge_target == 0] = 0
    score[np.flatnonzero(SHARED.edge_target == 1)[0]] = 0
    return replace(SHARED, edge_score=score)


@pytest.mark.parametrize("self_loops", [False, True])
def test_edges_of_score_zero_carry_no_message_by_confidence(self_loops: bool) -> None:
    shared = with_scores_of_zero()
    edges = list(zip(shared.edge_source, shared.edge_target, shared.edge_score, strict=True))
    largest = max(score for *_, score in edges)
    expected = np.zeros((N_NODES, N_NODES))
    for node in range(N_NODES):
        for source, target, score in edges:
            if target == node:
                expected[node, source] = score
        if self_loops or expected[node].sum() == 0:
            expected[node, node] = largest
        expected[node] /= expected[node].sum()
    rows = adjacency(shared, self_loops, top_k=20, edge_weight="confidence")
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    assert np.flatnonzero(rows[0]).tolist() == [0]


def test_edges_of_score_zero_count_where_weights_are_uniform() -> None:
    assert np.array_equal(adjacency(with_scores_of_zero(), top_k=20), adjacency(top_k=20))


def test_top_k_keeps_the_best_edges_into_each_gene() -> None:
    best = adjacency(top_k=1)
    for node in range(N_NODES - 1):
        (source, _), *_ = sorted(edges_into(node, 20), key=lambda edge: -edge[1])
        assert np.flatnonzero(best[node]).tolist() == [source]


@pytest.mark.parametrize("edge_weight", ["uniform", "confidence"])
@pytest.mark.parametrize("edges", ["original", "rewired"])
@pytest.mark.parametrize("self_loops", [False, True])
def test_rows_sum_to_one(edge_weight: str, edges: str, self_loops: bool) -> None:
    rows = adjacency(edge_weight=edge_weight, edges=edges, self_loops=self_loops).sum(axis=1)
    np.testing.assert_allclose(rows, 1)


def test_isolated_gene_is_its_own_only_neighbour() -> None:
    assert np.flatnonzero(adjacency()[ISOLATED]).tolist() == [ISOLATED]


def test_self_loops_add_each_gene_to_its_neighbours() -> None:
    without, with_loops = adjacency() > 0, adjacency(self_loops=True) > 0
    assert np.array_equal(with_loops, without | np.eye(N_NODES, dtype=bool))


def test_order_of_edges_makes_no_difference() -> None:
    order = np.random.default_rng(1).permutation(len(SHARED.edge_source))
    fields = ("edge_source", "edge_target", "edge_score", "edge_rank")
    shuffled = replace(SHARED, **{field: getattr(SHARED, field)[order] for field in fields})
    for edge_weight in ("uniform", "confidence"):
        one = adjacency(edge_weight=edge_weight, top_k=2)
        other = adjacency(shuffled, edge_weight=edge_weight, top_k=2)
        np.testing.assert_allclose(one, other)


def test_rewired_adjacency_keeps_the_degrees_of_the_data_set() -> None:
    original, rewired = adjacency(top_k=2), adjacency(top_k=2, edges="rewired")
    assert not np.array_equal(original, rewired)
    assert np.array_equal((original > 0).sum(axis=1), (rewired > 0).sum(axis=1))
    assert np.array_equal((original > 0).sum(axis=0), (rewired > 0).sum(axis=0))


def test_rewiring_is_drawn_from_the_seed() -> None:
    one, same, other = (adjacency(edges="rewired", seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("edges", ["original", "rewired"])
def test_network_without_edges_is_all_isolated_genes(edges: str) -> None:
    none = np.array([], dtype=np.int64)
    empty = replace(SHARED, edge_source=none, edge_target=none, edge_score=none * 1.0, edge_rank=none)
    assert np.array_equal(adjacency(empty, edges=edges), np.eye(N_NODES))


def test_a_graph_of_perturbed_genes_alone_is_that_part_of_the_network() -> None:
    is_perturbed = np.arange(N_NODES) % 2 == 0
    shared = replace(SHARED, is_perturbed=is_perturbed)
    part = adjacency(top_k=20)[np.ix_(is_perturbed, is_perturbed)] > 0
    part |= np.diag(~part.any(axis=1))
    np.testing.assert_array_equal(adjacency(shared, nodes="perturbed") > 0, part)


def test_without_a_network_each_gene_is_its_own_only_neighbour() -> None:
    assert np.array_equal(adjacency(networks="none"), np.eye(N_NODES))


def test_another_network_is_picked_by_name() -> None:
    shared = with_second_network(build_tiny_dataset()).shared
    assert np.array_equal(adjacency(shared, networks="network"), adjacency())
    source, target = shared.networks["go"].edge_source, shared.networks["go"].edge_target
    expected = np.zeros((N_NODES, N_NODES), dtype=bool)
    expected[target, source] = True
    expected |= np.diag(~expected.any(axis=1))
    assert np.array_equal(adjacency(shared, networks="go") > 0, expected)


def test_two_networks_are_refused() -> None:
    shared = with_second_network(build_tiny_dataset()).shared
    with pytest.raises(InputError, match=r"reads one network, but 'graph\.networks' is 'network\+go'"):
        adjacency(shared, networks="network+go")


def test_neighbourhood_is_the_gene_and_its_neighbours() -> None:
    marks = neighbourhoods(build_adjacency(SHARED, GraphConfig(top_k=2), False, 0))
    for node in range(N_NODES):
        expected = {node} | {int(source) for source, _ in edges_into(node, 2)}
        assert set(np.flatnonzero(marks[node]).tolist()) == expected
    assert set(np.unique(marks)) == {0.0, 1.0}
