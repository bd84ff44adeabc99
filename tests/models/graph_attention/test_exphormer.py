import copy

import numpy as np
import pytest
import torch
from fixtures.edges import N_NODES, draw_edges
from fixtures.narrowed import of_kind
from torch import Tensor
from torch_geometric.nn import TransformerConv

from adapert.errors import InputError
from adapert.models.graph_attention.expander import random_expander
from adapert.models.graph_attention.exphormer import ExphormerAttention, ExphormerLayer, ExphormerStack
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.provenance import ProvenanceGraph
from adapert.models.graph_attention.stack import NORMS, Norm
from adapert.training.threads import threads

SIZE, N_HEADS = 6, 2
EXPANDER = random_expander(N_NODES, 3, np.random.default_rng(0))
NO_EXPANDER = np.empty((2, 0), np.int64)


def networks(*seeds: int) -> list[AttentionGraph]:
    return [AttentionGraph(*draw_edges(seed), N_NODES, self_loops=True) for seed in seeds]


def build_stack(*seeds: int, expander: np.ndarray = EXPANDER, norm: Norm = "batch") -> ExphormerStack:
    torch.manual_seed(0)
    return ExphormerStack(networks(*seeds), expander, SIZE, n_layers=2, n_heads=N_HEADS, norm=norm)


def build_attention(graph: ProvenanceGraph, scale: float = 1.0) -> ExphormerAttention:
    torch.manual_seed(0)
    attention = ExphormerAttention(SIZE, N_HEADS, graph.provenances.shape[1])
    with torch.no_grad():
        attention.query.weight.mul_(scale)
    return attention


def node_features() -> Tensor:
    return torch.randn(N_NODES, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_attention_equals_a_plain_loop_over_the_equation(scale: float) -> None:
    graph = ProvenanceGraph(networks(0, 1), EXPANDER)
    attention, h, head_size = build_attention(graph, scale), node_features(), SIZE // N_HEADS
    query, key, value = (linear(h) for linear in (attention.query, attention.key, attention.value))
    marks = graph.provenances[graph.provenance]
    expected = torch.zeros(N_NODES, SIZE)
    for v in range(N_NODES):
        for head in range(N_HEADS):
            part = slice(head * head_size, (head + 1) * head_size)
            total, weights = torch.zeros(head_size), 0.0
            for edge in torch.nonzero(graph.edge_index[1] == v).flatten().tolist():
                u = int(graph.edge_index[0, edge])
                e, b = attention.scale(marks[edge])[part], attention.shift(marks[edge])[head]
                score = (query[v, part] * key[u, part] * e).sum() / head_size**0.5 + b
                weight = torch.exp(torch.clip(score, -5, 5)).item()
                total, weights = total + weight * value[u, part], weights + weight
            expected[v, part] = total / weights
    torch.testing.assert_close(attention(h, graph), expected, atol=1e-5, rtol=1e-5)


def test_without_provenance_it_is_the_transformer_of_pytorch_geometric() -> None:
    graph = ProvenanceGraph(networks(0), EXPANDER)
    attention, h = build_attention(graph), node_features().requires_grad_()
    with torch.no_grad():
        for linear, value in ((attention.scale, 1.0), (attention.shift, 0.0)):
            linear.weight.zero_()
            linear.bias.fill_(value)
    conv = TransformerConv(SIZE, SIZE // N_HEADS, heads=N_HEADS, root_weight=False)
    for own, linear in (
        (attention.query, conv.lin_query),
        (attention.key, conv.lin_key),
        (attention.value, conv.lin_value),
    ):
        linear.load_state_dict(own.state_dict())
    found, expected = attention(h, graph), conv(h, graph.edge_index)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    gradients = [torch.autograd.grad(out, h, weight)[0] for out in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-5)


def gradients(attention: ExphormerAttention, h: Tensor, graph: ProvenanceGraph) -> list[Tensor]:
    """Of the output and of all that it depends on, the output first."""
    inputs = [h.requires_grad_(), *attention.parameters()]
    out = attention(h, graph)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out.dtype)
    return [out, *torch.autograd.grad(out, inputs, weight)]


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_kernels_equal_autograd_in_float64(scale: float, n_threads: int) -> None:
    graph = ProvenanceGraph(networks(0, 1), EXPANDER)
    attention, h = build_attention(graph, scale), node_features()
    with threads(n_threads):
        found = gradients(attention, h, graph)
    plain = gradients(copy.deepcopy(attention).double(), h.detach().double(), copy.deepcopy(graph).double())
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one.double(), other, atol=1e-5 * scale, rtol=1e-5)


def test_threads_and_repeats_change_no_bit() -> None:
    graph = ProvenanceGraph(networks(0, 1), EXPANDER)
    found = []
    for n_threads in (1, 1, 2, 3):
        with threads(n_threads):
            found.append(gradients(build_attention(graph), node_features(), graph))
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def test_a_moved_stack_computes_on_its_device() -> None:
    """The meta device has shapes without numbers; the kernels could not run on it."""
    stack, h = build_stack(0, 1).to("meta"), node_features().to("meta")
    out = stack(h)
    assert (out.device, out.shape) == (h.device, h.shape)


@pytest.mark.parametrize("norm", NORMS)
def test_relabelled_nodes_permute_the_output(norm: Norm) -> None:
    stack, h = build_stack(0, 1, norm=norm), node_features()
    order = np.random.default_rng(3).permutation(N_NODES)
    place, before = np.argsort(order), stack(h)
    graphs = [
        AttentionGraph(place[source], place[target], N_NODES, self_loops=True)
        for source, target in (draw_edges(0), draw_edges(1))
    ]
    relabelled = ExphormerStack(graphs, place[EXPANDER], SIZE, n_layers=2, n_heads=N_HEADS, norm=norm)
    relabelled.load_state_dict(stack.state_dict())
    torch.testing.assert_close(relabelled(h[order]), before[order], atol=1e-5, rtol=1e-5)


def test_the_expander_carries_messages_between_unconnected_nodes() -> None:
    """Of 30 nodes without edges, the expander of degree 6 lets two layers reach beyond the neighbours."""
    empty = [AttentionGraph(np.array([], int), np.array([], int), N_NODES)]
    reached = []
    for expander in (NO_EXPANDER, EXPANDER):
        torch.manual_seed(0)
        stack = ExphormerStack(empty, expander, SIZE, n_layers=2, norm="layer")
        h = node_features().requires_grad_()
        (gradient,) = torch.autograd.grad(stack(h)[0].square().sum(), h)
        reached.append(int(gradient.any(dim=1).sum()))
    assert reached[0] == 1
    assert reached[1] > 7


def test_attention_tells_networks_apart() -> None:
    h, (first, second) = node_features(), networks(0, 1)
    in_order, turned = ProvenanceGraph([first, second], EXPANDER), ProvenanceGraph([second, first], EXPANDER)
    assert torch.equal(in_order.edge_index, turned.edge_index)
    attention = build_attention(in_order)
    assert not torch.allclose(attention(h, in_order), attention(h, turned))


def test_a_layer_equals_its_equation() -> None:
    stack, h = build_stack(0, norm="none"), node_features()
    layer = of_kind(ExphormerLayer, stack.layers[0])
    y = h + layer.attention(h, stack.far) + layer.local.conv(h, stack.near.edge_index)
    expected = y + layer.mlp.second(torch.relu(layer.mlp.first(y)))
    torch.testing.assert_close(layer(h, stack.far, stack.near, None), expected, atol=1e-5, rtol=1e-5)


def test_every_parameter_has_a_gradient() -> None:
    stack = build_stack(0, 1)
    stack(node_features(), torch.Generator().manual_seed(0)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())


def test_dropout_is_drawn_from_the_generator() -> None:
    stack, h = build_stack(0), node_features()
    first, again, other = (stack(h, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_size_that_cannot_be_cut_into_heads_is_refused() -> None:
    with pytest.raises(InputError, match="cut into 4 heads of one size, but the size is 6"):
        ExphormerStack(networks(0), EXPANDER, 6, n_heads=4)
