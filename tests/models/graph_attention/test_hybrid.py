from typing import Any

import pytest
import torch
from fixtures.edges import N_NODES, draw_edges
from torch import Tensor

from adapert.errors import InputError
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.hybrid import HybridStacks
from adapert.models.graph_attention.stack import GraphAttentionStack

SIZE, N_HEADS = 6, 2


def build(n_networks: int = 2, n_heads: int = N_HEADS, **choices: Any) -> HybridStacks:
    torch.manual_seed(0)
    stacks = [
        GraphAttentionStack(
            AttentionGraph(*draw_edges(k), N_NODES, self_loops=True), SIZE, n_layers=2, size=SIZE, **choices
        )
        for k in range(n_networks)
    ]
    return HybridStacks(stacks, SIZE, n_heads=n_heads)


def node_features() -> Tensor:
    return torch.randn(N_NODES, SIZE, generator=torch.Generator().manual_seed(1))


def test_embeddings_equal_a_plain_loop() -> None:
    model, h = build(3), node_features()
    outputs = [stack(h) for stack in model.stacks]
    half = outputs[0].shape[1] // N_HEADS
    expected = torch.zeros(N_NODES, half)
    for v in range(N_NODES):
        for head in range(N_HEADS):
            parts = [output[v, head * half : (head + 1) * half] for output in outputs]
            scores = [model.a[head] @ torch.where(part > 0, part, 0.2 * part) for part in parts]
            weights = torch.stack(scores).exp() / sum(score.exp() for score in scores)
            expected[v] += sum(weight * part for weight, part in zip(weights, parts, strict=True)) / N_HEADS
    torch.testing.assert_close(model(h), model.mlp(expected, None))


def test_a_single_network_has_all_the_weight() -> None:
    model, h = build(1), node_features()
    assert torch.equal(model.network_weights(h), torch.ones(1, N_NODES, N_HEADS))
    heads = model.stacks[0](h).unflatten(1, model.a.shape)
    torch.testing.assert_close(model(h), model.mlp(heads.mean(dim=1), None))


def test_order_of_networks_makes_no_difference() -> None:
    model, h = build(3), node_features()
    before, weights = model(h), model.network_weights(h)
    model.stacks = torch.nn.ModuleList(reversed(list(model.stacks)))
    torch.testing.assert_close(model(h), before)
    torch.testing.assert_close(model.network_weights(h), weights.flip(0))


def test_every_network_reaches_the_output() -> None:
    model, h = build(2), node_features()
    before = model(h)
    for stack in model.stacks:
        assert isinstance(stack, GraphAttentionStack)
        kept, stack.graph = stack.graph, AttentionGraph(*draw_edges(9), N_NODES, self_loops=True)
        assert not torch.allclose(model(h), before)
        stack.graph = kept


def test_every_parameter_has_a_gradient() -> None:
    model = build(2)
    model(node_features(), torch.Generator().manual_seed(0)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_outputs_that_cannot_be_cut_into_heads_are_refused() -> None:
    with pytest.raises(InputError, match="cut into 4 heads of one size, but they have 18 numbers"):
        build(n_heads=4)
