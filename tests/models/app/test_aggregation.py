from dataclasses import replace

import numpy as np
import pytest
import torch
from fixtures.dataset import build_tiny_dataset
from torch_geometric.nn import GINConv, SimpleConv

from adapert.config import GraphConfig
from adapert.models.app.aggregation import AGGREGATIONS
from adapert.models.app.edges import Neighbours, build_neighbours

SHARED = build_tiny_dataset().shared
NEIGHBOURS = build_neighbours(SHARED, GraphConfig(), 0)
N_NODES, SIZE = len(SHARED.node_names), 4
EDGE_INDEX = torch.from_numpy(np.stack([SHARED.edge_source, SHARED.edge_target]))
NO_EDGE = np.zeros(0, dtype=np.int64)

every_aggregation = pytest.mark.parametrize("name", AGGREGATIONS)


def embeddings() -> torch.Tensor:
    return torch.randn(N_NODES, SIZE, generator=torch.Generator().manual_seed(1))


def loop(name: str, h: torch.Tensor, neighbours: Neighbours) -> torch.Tensor:
    """Eq. 1, gene by gene."""
    aggregated = torch.zeros_like(h)
    for node in range(N_NODES):
        edges = np.flatnonzero(neighbours.target == node).tolist()
        messages = [float(neighbours.weight[edge]) * h[int(neighbours.source[edge])] for edge in edges]
        if not messages:
            continue
        total = torch.stack(messages).sum(dim=0)
        if name == "sum":
            aggregated[node] = total
        elif name == "mean":
            aggregated[node] = total / sum(float(neighbours.weight[edge]) for edge in edges)
        else:
            aggregated[node] = torch.stack(messages).max(dim=0).values
    return aggregated


@every_aggregation
@pytest.mark.parametrize("edge_weight", ["uniform", "confidence"])
def test_aggregation_equals_a_plain_loop(name: str, edge_weight: str) -> None:
    config = GraphConfig.model_validate({"edge_weight": edge_weight, "top_k": 3})
    neighbours, h = build_neighbours(SHARED, config, 0), embeddings()
    torch.testing.assert_close(AGGREGATIONS[name](neighbours)(h), loop(name, h, neighbours))


def test_a_gene_and_the_sum_of_its_neighbours_are_what_gin_makes() -> None:
    h = embeddings()
    gin = GINConv(torch.nn.Identity(), eps=0.0)
    torch.testing.assert_close(h + AGGREGATIONS["sum"](NEIGHBOURS)(h), gin(h, EDGE_INDEX))


@every_aggregation
def test_aggregation_equals_that_of_pytorch_geometric(name: str) -> None:
    h = embeddings()
    expected = SimpleConv(aggr=name)(h, EDGE_INDEX)
    torch.testing.assert_close(AGGREGATIONS[name](NEIGHBOURS)(h), expected)


@every_aggregation
def test_gradient_equals_that_of_pytorch_geometric(name: str) -> None:
    h, weights = embeddings().requires_grad_(), embeddings().flip(0)
    (own,) = torch.autograd.grad((AGGREGATIONS[name](NEIGHBOURS)(h) * weights).sum(), h)
    (expected,) = torch.autograd.grad((SimpleConv(aggr=name)(h, EDGE_INDEX) * weights).sum(), h)
    torch.testing.assert_close(own, expected)


@every_aggregation
def test_order_of_edges_makes_no_difference(name: str) -> None:
    order = np.random.default_rng(0).permutation(len(NEIGHBOURS.source))
    shuffled = NEIGHBOURS._replace(
        source=NEIGHBOURS.source[order], target=NEIGHBOURS.target[order], weight=NEIGHBOURS.weight[order]
    )
    h = embeddings()
    torch.testing.assert_close(AGGREGATIONS[name](shuffled)(h), AGGREGATIONS[name](NEIGHBOURS)(h))


@every_aggregation
def test_genes_without_neighbours_hear_nothing(name: str) -> None:
    alone = replace(
        SHARED, edge_source=NO_EDGE, edge_target=NO_EDGE, edge_rank=NO_EDGE, edge_score=np.zeros(0)
    )
    aggregate = AGGREGATIONS[name](build_neighbours(alone, GraphConfig(), 0))
    assert torch.equal(aggregate(embeddings()), torch.zeros(N_NODES, SIZE))
    assert torch.equal(AGGREGATIONS[name](NEIGHBOURS)(embeddings())[-1], torch.zeros(SIZE))


@every_aggregation
def test_weights_file_holds_no_graph(name: str) -> None:
    assert list(AGGREGATIONS[name](NEIGHBOURS).state_dict()) == []


def test_rewired_neighbours_keep_every_genes_number_and_follow_the_seed() -> None:
    config = GraphConfig(edges="rewired", top_k=2)
    original, first, again, other = (
        build_neighbours(SHARED, GraphConfig(top_k=2), 0),
        *(build_neighbours(SHARED, config, seed) for seed in (0, 0, 1)),
    )
    assert np.array_equal(np.bincount(first.target), np.bincount(original.target))
    assert np.array_equal(first.source, again.source)
    assert not np.array_equal(first.source, original.source)
    assert not np.array_equal(first.source, other.source)
