from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch
from fixtures.dataset import build_tiny_dataset
from fixtures.narrowed import of_kind
from torch_geometric.nn import SAGEConv, SimpleConv

from adapert.config import GraphConfig
from adapert.models.adapert.adjacency import build_adjacency
from adapert.models.adapert.message_passing import MessagePassing

SHARED = build_tiny_dataset().shared
ADJACENCY = build_adjacency(SHARED, GraphConfig(), False, 0)
N_NODES, SIZE = len(SHARED.node_names), 4
EDGE_INDEX = torch.from_numpy(np.stack([SHARED.edge_source, SHARED.edge_target]))
HAS_NEIGHBOURS = np.isin(np.arange(N_NODES), SHARED.edge_target)


def message_passing(n_layers: int, **forms: Any) -> MessagePassing:
    torch.manual_seed(0)
    return MessagePassing(ADJACENCY, SIZE, n_layers, **forms)


def node_features() -> torch.Tensor:
    return torch.randn(N_NODES, SIZE, generator=torch.Generator().manual_seed(1))


def test_rounds_equal_a_plain_loop_over_equation_6() -> None:
    model, h = message_passing(3), node_features()
    expected = h
    for layer in model.weights:
        following = torch.zeros(N_NODES, SIZE)
        for v in range(N_NODES):
            neighbours = SHARED.edge_source[SHARED.edge_target == v].tolist() or [v]
            for u in neighbours:
                following[v] += of_kind(torch.nn.Linear, layer).weight @ expected[u] / len(neighbours)
        expected = following
    torch.testing.assert_close(model(h), expected)


def test_rounds_equal_mean_aggregation_of_pytorch_geometric() -> None:
    model, h = message_passing(2), node_features()
    mean, expected = SimpleConv(aggr="mean"), h
    for layer in model.weights:
        own = layer(expected)
        aggregated = mean(own, EDGE_INDEX)
        # PyG gives 0 to an isolated node, where Eq. 6 would divide 0 by 0.
        expected = torch.where(torch.from_numpy(HAS_NEIGHBOURS)[:, None], aggregated, own)
    torch.testing.assert_close(model(h), expected)


def test_one_round_equals_graph_sage_without_its_root() -> None:
    model, h = message_passing(1), node_features()
    sage = SAGEConv(SIZE, SIZE, aggr="mean", root_weight=False, bias=False)
    sage.lin_l.weight = model.weights[0].weight
    torch.testing.assert_close(model(h)[HAS_NEIGHBOURS], sage(h, EDGE_INDEX)[HAS_NEIGHBOURS])


def test_gradient_equals_that_of_the_dense_product() -> None:
    model, h = message_passing(2), node_features().requires_grad_()
    weights = torch.randn(N_NODES, SIZE, generator=torch.Generator().manual_seed(2))
    parameters = [h, *model.parameters()]
    sparse = torch.autograd.grad((model(h) * weights).sum(), parameters)
    dense = torch.from_numpy(ADJACENCY.toarray()).float()
    first, second = model.weights
    expected = torch.autograd.grad((dense @ second(dense @ first(h)) * weights).sum(), parameters)
    for one, other in zip(sparse, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_no_layers_leave_the_features_as_they_are() -> None:
    h = node_features()
    assert torch.equal(message_passing(0)(h), h)


@pytest.mark.parametrize(("name", "function"), [("relu", torch.relu), ("gelu", torch.nn.functional.gelu)])
def test_activation_stands_between_layers_only(name: str, function: Callable[..., object]) -> None:
    model, h = message_passing(2, activation=name), node_features()
    dense = torch.from_numpy(ADJACENCY.toarray()).float()
    first, second = model.weights
    torch.testing.assert_close(model(h), dense @ second(function(dense @ first(h))))


def test_residual_adds_each_layers_input() -> None:
    model, h = message_passing(2, residual=True), node_features()
    dense = torch.from_numpy(ADJACENCY.toarray()).float()
    first, second = model.weights
    middle = h + dense @ first(h)
    torch.testing.assert_close(model(h), middle + dense @ second(middle))


def test_order_of_nodes_makes_no_difference() -> None:
    order = np.random.default_rng(0).permutation(N_NODES)
    model, h = message_passing(2), node_features()
    reordered = MessagePassing(scipy.sparse.csr_array(ADJACENCY[order][:, order]), SIZE, 2)
    reordered.load_state_dict(model.state_dict())
    torch.testing.assert_close(reordered(h[order]), model(h)[order])


def test_weights_file_holds_no_graph() -> None:
    assert list(message_passing(2).state_dict()) == ["weights.0.weight", "weights.1.weight"]
