import numpy as np

from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.provenance import ProvenanceGraph, unite

FIRST = AttentionGraph(np.array([0, 1, 2]), np.array([1, 0, 1]), 4, self_loops=True)
SECOND = AttentionGraph(np.array([0]), np.array([1]), 4)
EXPANDER = np.array([[3, 3, 0], [0, 0, 1]])


def places_of(graph: ProvenanceGraph) -> dict[tuple[int, int], list[int]]:
    marks = graph.provenances[graph.provenance].numpy().astype(int)
    return {
        (source, target): mark.tolist()
        for source, target, mark in zip(*graph.edge_index.tolist(), marks, strict=True)
    }


def test_each_edge_knows_all_places_where_it_comes_from() -> None:
    expected = {(node, node): [0, 0, 0, 0, 1, 0] for node in range(4)} | {
        (0, 1): [1, 1, 1, 0, 0, 1],
        (1, 0): [1, 0, 1, 1, 0, 0],
        (2, 1): [1, 0, 0, 0, 0, 0],
        (1, 2): [0, 0, 1, 0, 0, 0],
        (3, 0): [0, 0, 0, 0, 0, 1],
    }
    assert places_of(ProvenanceGraph([FIRST, SECOND], EXPANDER)) == expected


def test_edges_are_in_the_order_of_targets() -> None:
    target = ProvenanceGraph([FIRST, SECOND], EXPANDER).edge_index[1]
    assert target.tolist() == sorted(target.tolist())


def test_united_networks_have_each_edge_once() -> None:
    edges = unite([FIRST, SECOND]).edge_index.T.tolist()
    assert sorted(edges) == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 1], [2, 2], [3, 3]]


def test_a_network_united_with_itself_is_the_network() -> None:
    assert unite([FIRST, FIRST]).edge_index.equal(unite([FIRST]).edge_index)


def test_weights_files_hold_no_graph() -> None:
    assert not ProvenanceGraph([FIRST], EXPANDER).state_dict()
