import numpy as np
import pytest
import torch
from fixtures.edges import N_NODES, draw_edges

from adapert.errors import InputError
from adapert.models.graph_attention.graph import AttentionGraph


def pairs_of(source: np.ndarray, target: np.ndarray) -> list[tuple[int, int]]:
    return sorted(zip(source.tolist(), target.tolist(), strict=True))


def test_both_orders_hold_every_edge_once() -> None:
    source, target = draw_edges()
    graph = AttentionGraph(source, target, N_NODES)
    nodes = np.arange(N_NODES)
    into, out_of = graph.into_targets, graph.out_of_sources
    assert pairs_of(into.other, np.repeat(nodes, np.diff(into.starts))) == pairs_of(source, target)
    assert pairs_of(np.repeat(nodes, np.diff(out_of.starts)), out_of.other) == pairs_of(source, target)


def test_an_edge_has_one_number_in_both_orders() -> None:
    graph = AttentionGraph(*draw_edges(), N_NODES)
    out_of = graph.out_of_sources
    sources = np.repeat(np.arange(N_NODES), np.diff(out_of.starts))
    expected = np.stack([sources, out_of.other])
    assert np.array_equal(graph.edge_index.numpy()[:, out_of.edge], expected)


def test_self_loops_are_put_in_once() -> None:
    graph = AttentionGraph(np.array([0, 1, 1]), np.array([1, 1, 0]), 3, self_loops=True)
    assert pairs_of(*graph.edge_index.numpy()) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 2)]


def test_edges_are_kept_without_self_loops() -> None:
    graph = AttentionGraph(np.array([0, 1, 1]), np.array([1, 1, 0]), 3)
    assert pairs_of(*graph.edge_index.numpy()) == [(0, 1), (1, 0), (1, 1)]


@pytest.mark.parametrize("bad", [-1, 3])
def test_an_edge_to_what_is_no_node_is_refused(bad: int) -> None:
    message = f"Edges must join nodes from 0 up to 2, but one joins node {bad}. Number the nodes from 0."
    with pytest.raises(InputError, match=message):
        AttentionGraph(np.array([0, 1]), np.array([1, bad]), 3)


def test_weights_files_hold_no_graph() -> None:
    assert not AttentionGraph(*draw_edges(), N_NODES).state_dict()


def test_a_moved_graph_moves_what_other_devices_read() -> None:
    assert AttentionGraph(*draw_edges(), N_NODES).to("meta").edge_index.device == torch.device("meta")
