import numpy as np
import pytest
import torch
from fixtures.edges import N_NODES, draw_edges
from torch import Tensor

from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.multilayer import MultilayerStack, join_networks
from adapert.models.graph_attention.stack import GraphAttentionStack

SIZE = 6


def networks(*seeds: int) -> list[AttentionGraph]:
    return [AttentionGraph(*draw_edges(seed), N_NODES, self_loops=True) for seed in seeds]


def build_stack(graph: AttentionGraph) -> GraphAttentionStack:
    """Without a norm over all nodes, which would couple the networks too."""
    torch.manual_seed(0)
    return GraphAttentionStack(graph, SIZE, n_layers=2, size=SIZE, norm="layer")


def build(*seeds: int, coupled: bool = True) -> MultilayerStack:
    return MultilayerStack(build_stack(join_networks(networks(*seeds), coupled)), len(seeds))


def node_features() -> Tensor:
    return torch.randn(N_NODES, SIZE, generator=torch.Generator().manual_seed(1))


def test_edges_are_those_of_the_supra_adjacency() -> None:
    first, second = networks(0, 1)
    joined = join_networks([first, second]).edge_index.numpy()
    dense = np.zeros((2 * N_NODES, 2 * N_NODES))
    np.add.at(dense, tuple(joined[::-1]), 1)
    blocks = []
    for graph in (first, second):
        block = np.zeros((N_NODES, N_NODES))
        np.add.at(block, tuple(graph.edge_index.numpy()[::-1]), 1)
        blocks.append(block)
    identity = np.eye(N_NODES)
    assert np.array_equal(dense, np.block([[blocks[0], identity], [identity, blocks[1]]]))


def test_uncoupled_networks_are_averaged() -> None:
    h = node_features()
    alone = [build_stack(graph)(h) for graph in networks(0, 1, 2)]
    torch.testing.assert_close(build(0, 1, 2, coupled=False)(h), torch.stack(alone).mean(dim=0))


@pytest.mark.parametrize("coupled", [True, False])
def test_networks_reach_each_other_by_couplings_alone(coupled: bool) -> None:
    copies = torch.cat([node_features()] * 2)
    first, other = (build(0, seed, coupled=coupled).stack(copies)[:N_NODES] for seed in (1, 2))
    assert torch.equal(first, other) != coupled


def test_order_of_networks_makes_no_difference() -> None:
    h = node_features()
    torch.testing.assert_close(build(0, 1, 2)(h), build(2, 0, 1)(h))


def test_a_single_network_is_the_stack_on_it() -> None:
    h, (graph,) = node_features(), networks(0)
    assert torch.equal(build(0)(h), build_stack(graph)(h))
