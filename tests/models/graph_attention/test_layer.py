import copy
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch
from fixtures.edges import ISOLATED, N_NODES, draw_edges
from torch import Tensor

from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.layer import ATTENTION_LAYERS, AttentionKind, GraphAttention
from adapert.training.threads import threads

N_INPUTS, SIZE = 6, 5
KINDS = pytest.mark.parametrize("kind", ATTENTION_LAYERS)


@pytest.fixture(params=[1, 2])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Threads that torch has."""
    with threads(request.param):
        yield request.param


def build_graph(self_loops: bool = False) -> AttentionGraph:
    return AttentionGraph(*draw_edges(), N_NODES, self_loops=self_loops)


def build_layer(kind: AttentionKind, n_heads: int = 2, concatenate_heads: bool = True) -> GraphAttention:
    torch.manual_seed(0)
    layer = ATTENTION_LAYERS[kind](N_INPUTS, SIZE, n_heads, concatenate_heads)
    with torch.no_grad():
        layer.conv.bias.normal_()  # it starts at 0, where an error would not show
    return layer


def node_features() -> Tensor:
    return torch.randn(N_NODES, N_INPUTS, generator=torch.Generator().manual_seed(1)).requires_grad_()


def gradients(out: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out.dtype)
    return torch.autograd.grad(out, inputs, weight)


def is_fused(out: Tensor) -> bool:
    """Whether the kernel is among the steps that led here."""
    steps = [out.grad_fn]
    for step in steps:
        steps += [before for before, _ in step.next_functions if before is not None] if step else []
    return any("_Average" in step.name() for step in steps if step)


@KINDS
@pytest.mark.parametrize(
    ("n_heads", "concatenate_heads", "self_loops"), product([1, 2, 4], [True, False], [True, False])
)
def test_outputs_and_gradients_equal_those_of_pytorch_geometric(
    kind: AttentionKind, n_heads: int, concatenate_heads: bool, self_loops: bool, n_threads: int
) -> None:
    layer, graph, h = build_layer(kind, n_heads, concatenate_heads), build_graph(self_loops), node_features()
    expected, out = layer.conv(h, graph.edge_index), layer(h, graph)
    assert [is_fused(expected), is_fused(out)] == [False, True]
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)
    inputs = [h, *layer.parameters()]
    for found, of_pyg in zip(gradients(out, inputs), gradients(expected, inputs), strict=True):
        torch.testing.assert_close(found, of_pyg, atol=1e-5, rtol=1e-5)


@KINDS
def test_self_loops_are_those_that_pytorch_geometric_adds(kind: AttentionKind) -> None:
    layer, h = build_layer(kind), node_features()
    adding = copy.deepcopy(layer.conv)
    adding.add_self_loops = True
    expected = adding(h, torch.from_numpy(np.stack(draw_edges())))
    torch.testing.assert_close(layer(h, build_graph(self_loops=True)), expected, atol=1e-5, rtol=1e-5)


@KINDS
def test_gradients_are_those_of_finite_differences(kind: AttentionKind) -> None:
    layer, graph, h = build_layer(kind), build_graph(), node_features()
    parameters = [h, *layer.parameters()]
    found = gradients(layer(h, graph), parameters)
    exact = copy.deepcopy(layer).double()
    inputs = [h.detach().double(), *exact.parameters()]
    weight = torch.randn(N_NODES, layer.out_size, generator=torch.Generator().manual_seed(2)).double()
    for which, tensor in enumerate(inputs):
        for index in np.random.default_rng(which).integers(tensor.numel(), size=3).tolist():
            values = []
            for step in (1e-6, -1e-6):
                with torch.no_grad():
                    tensor.view(-1)[index] += step
                    values.append((exact(inputs[0], graph) * weight).sum().item())
                    tensor.view(-1)[index] -= step
            slope = (values[0] - values[1]) / 2e-6
            assert found[which].flatten()[index].item() == pytest.approx(slope, abs=1e-4, rel=1e-4)


@KINDS
def test_float64_is_computed_in_float64(kind: AttentionKind) -> None:
    layer, graph = build_layer(kind).double(), build_graph()
    assert torch.autograd.gradcheck(lambda h: layer(h, graph), node_features().double())


@KINDS
def test_autocast_is_followed(kind: AttentionKind) -> None:
    layer, graph, h = build_layer(kind), build_graph(), node_features()
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = layer(h, graph), layer.conv(h, graph.edge_index)
    assert torch.equal(found, expected)
    assert not torch.equal(found, layer(h, graph))


@KINDS
def test_a_node_without_edges_gets_the_bias(kind: AttentionKind) -> None:
    layer = build_layer(kind)
    out = layer(node_features(), build_graph())
    assert torch.equal(out[list(ISOLATED)], layer.conv.bias.expand(len(ISOLATED), -1))


@KINDS
def test_relabelled_nodes_permute_the_output(kind: AttentionKind) -> None:
    layer, h = build_layer(kind), node_features()
    source, target = draw_edges()
    order = np.random.default_rng(3).permutation(N_NODES)
    place = np.argsort(order)
    relabelled = AttentionGraph(place[source], place[target], N_NODES)
    torch.testing.assert_close(layer(h[order], relabelled), layer(h, build_graph())[order])


@KINDS
def test_order_of_edges_makes_no_difference(kind: AttentionKind) -> None:
    layer, h, (source, target) = build_layer(kind), node_features(), draw_edges()
    turned = AttentionGraph(source[::-1], target[::-1], N_NODES)
    torch.testing.assert_close(layer(h, turned), layer(h, build_graph()))


@KINDS
def test_one_seed_gives_one_result_bit_for_bit(kind: AttentionKind) -> None:
    def run() -> list[Tensor]:
        layer, h = build_layer(kind), node_features()
        out = layer(h, build_graph())
        return [out, *gradients(out, [h, *layer.parameters()])]

    assert all(torch.equal(one, two) for one, two in zip(run(), run(), strict=True))
