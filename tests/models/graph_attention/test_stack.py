from typing import Any

import numpy as np
import pytest
import torch
from fixtures.edges import N_NODES, draw_edges
from fixtures.narrowed import of_kind
from torch import Tensor
from torch_geometric.nn import GATv2Conv

from adapert.errors import InputError
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.layer import AttentionKind, GraphAttention
from adapert.models.graph_attention.stack import NORMS, SKIPS, GraphAttentionStack, Norm, Skip
from adapert.seeding import seeded_initialisation

SIZE = 6


def build_stack(n_inputs: int = SIZE, seed: int = 0, **choices: Any) -> GraphAttentionStack:
    graph = AttentionGraph(*draw_edges(), N_NODES, self_loops=True)
    with seeded_initialisation(seed):
        return GraphAttentionStack(graph, n_inputs, size=SIZE, **{"n_layers": 3} | choices)


def node_features(n_inputs: int = SIZE) -> Tensor:
    return torch.randn(N_NODES, n_inputs, generator=torch.Generator().manual_seed(1))


def normalise(norm: Norm, h: Tensor) -> Tensor:
    """As at the start, with scale 1 and shift 0."""
    if norm == "none":
        return h
    axis = {"layer": 1, "batch": 0}[norm]
    return (h - h.mean(axis, keepdim=True)) / (h.var(axis, correction=0, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("layer", ["gat", "gat_v2"])
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize("norm", NORMS)
def test_a_stack_equals_its_equation_over_layers_of_pytorch_geometric(
    layer: AttentionKind, skip: Skip, norm: Norm
) -> None:
    stack, h = build_stack(layer=layer, skip=skip, norm=norm), node_features()
    expected = h
    for number, attention in enumerate(stack.layers):
        new = of_kind(GraphAttention, attention).conv(expected, stack.graph.edge_index)
        if number < 2:
            new = torch.nn.functional.leaky_relu(normalise(norm, new), 0.2)
        if skip == "add":
            new = new + expected
        expected = torch.cat([new, expected], dim=1) if skip == "cat" else new
    torch.testing.assert_close(stack(h), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("choices", "out_size"),
    [
        ({"skip": "none"}, SIZE),
        ({"skip": "none", "concatenate_heads": True}, 2 * SIZE),
        ({"skip": "cat"}, 4 + 3 * SIZE),
        ({"skip": "cat", "concatenate_heads": True, "n_heads": 4}, 4 + 3 * 4 * SIZE),
        ({"n_layers": 0}, 4),
        ({"n_layers": 1, "skip": "none"}, SIZE),
    ],
)
def test_out_size_is_that_of_the_output(choices: dict[str, Any], out_size: int) -> None:
    stack = build_stack(4, **choices)
    assert stack.out_size == out_size
    assert stack(node_features(4)).shape == (N_NODES, out_size)


def test_no_layers_leave_the_features_as_they_are() -> None:
    assert torch.equal(build_stack(n_layers=0)(node_features()), node_features())


def test_a_single_layer_is_that_of_pytorch_geometric() -> None:
    stack, h = build_stack(n_layers=1, skip="none", n_heads=4), node_features()
    conv = GATv2Conv(SIZE, SIZE, heads=4, concat=False)
    conv.load_state_dict(of_kind(GraphAttention, stack.layers[0]).conv.state_dict())
    expected = conv(h, torch.from_numpy(np.stack(draw_edges())))
    torch.testing.assert_close(stack(h), expected, atol=1e-5, rtol=1e-5)


def test_adding_features_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="they have 4 and it has 6"):
        build_stack(4, skip="add")


def test_dropout_is_drawn_from_the_generator() -> None:
    stack, h = build_stack(dropout=0.5, skip="none", norm="none"), node_features()
    first, again, other = (stack(h, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(stack(h), stack(h))


@pytest.mark.parametrize(
    ("choices", "is_dropped"), [({"n_layers": 1}, False), ({"dropout": 0.0}, False), ({}, True)]
)
def test_dropout_stands_between_layers_only(choices: dict[str, Any], is_dropped: bool) -> None:
    stack, h = build_stack(**{"dropout": 0.5} | choices), node_features()
    assert torch.equal(stack(h, torch.Generator().manual_seed(0)), stack(h)) != is_dropped


@pytest.mark.parametrize("change", ["train", "eval"])
@pytest.mark.parametrize("norm", NORMS)
def test_training_and_prediction_normalise_alike(norm: Norm, change: str) -> None:
    stack, h = build_stack(norm=norm), node_features()
    before = stack(h)
    getattr(stack, change)()
    assert torch.equal(stack(h), before)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("skip", SKIPS)
def test_relabelled_nodes_permute_the_output(norm: Norm, skip: Skip) -> None:
    stack, h = build_stack(norm=norm, skip=skip), node_features()
    (source, target), order = draw_edges(), np.random.default_rng(3).permutation(N_NODES)
    place = np.argsort(order)
    expected = stack(h)[order]
    stack.graph = AttentionGraph(place[source], place[target], N_NODES, self_loops=True)
    torch.testing.assert_close(stack(h[order]), expected, atol=1e-5, rtol=1e-5)


def test_one_seed_gives_one_result_bit_for_bit() -> None:
    def run() -> list[Tensor]:
        stack, h = build_stack(), node_features().requires_grad_()
        out = stack(h, torch.Generator().manual_seed(0))
        return [out, *torch.autograd.grad(out.square().sum(), [h, *stack.parameters()])]

    assert all(torch.equal(one, two) for one, two in zip(run(), run(), strict=True))


def test_a_stack_learns_what_the_neighbours_say() -> None:
    """Targets are sums of the neighbours' features, which no node knows by itself."""
    h, (source, target) = node_features(), draw_edges()
    wanted = torch.zeros(N_NODES, SIZE).index_add(0, torch.from_numpy(target), h[torch.from_numpy(source)])
    stack = build_stack(n_layers=2, dropout=0.0, skip="none", norm="none")
    optimizer = torch.optim.Adam(stack.parameters(), lr=0.01)
    losses = []
    for _ in range(200):
        loss = (stack(h) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


@pytest.mark.parametrize("layer", ["gat", "gat_v2"])
def test_a_moved_stack_computes_on_its_device(layer: AttentionKind) -> None:
    """The meta device has shapes without numbers; the kernel could not run on it."""
    stack, h = build_stack(layer=layer).to("meta"), node_features().to("meta")
    out = stack(h)
    assert (out.device, out.shape) == (h.device, (N_NODES, stack.out_size))
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())


def test_weights_file_holds_weights_alone() -> None:
    names = list(build_stack(n_layers=2, layer="gat").state_dict())
    assert names == [
        *(f"layers.0.conv.{name}" for name in ("att_src", "att_dst", "bias", "lin.weight")),
        *(f"layers.1.conv.{name}" for name in ("att_src", "att_dst", "bias", "lin.weight")),
        *(f"norms.0.{name}" for name in ("weight", "bias")),
    ]
