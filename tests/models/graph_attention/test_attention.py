from collections.abc import Iterator

import numpy as np
import pytest
import torch
from fixtures.edges import ISOLATED, N_NODES, draw_edges
from torch import Tensor

from adapert.models.graph_attention.attention import leaky_attention
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.training.loop import flushed_denormals
from adapert.training.threads import threads

N_HEADS = 2
SIZES = [(1, 1), (5, 3), (3, 5), (16, 16)]
"""Of values, and of scores."""


@pytest.fixture(params=[1, 2, 7])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """Threads that torch has."""
    with threads(request.param):
        yield request.param


@pytest.fixture
def graph() -> AttentionGraph:
    return AttentionGraph(*draw_edges(), N_NODES)


def draw_operands(size: int = 4, score_size: int = 4, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(size)
    shapes = ((N_NODES, N_HEADS, size), *[(N_NODES, N_HEADS, score_size)] * 2, (N_HEADS, score_size))
    return [(scale * torch.randn(shape, generator=generator)).requires_grad_() for shape in shapes]


def plain_attention(x: Tensor, p: Tensor, q: Tensor, a: Tensor) -> Tensor:
    """The equation, node by node and head by head, in float64."""
    x, p, q, a = (tensor.double() for tensor in (x, p, q, a))
    source, target = draw_edges()
    out = torch.zeros_like(x)
    for v in set(range(N_NODES)) - set(ISOLATED):
        neighbours = source[target == v]
        for h in range(N_HEADS):
            hidden = torch.nn.functional.leaky_relu(p[neighbours, h] + q[v, h], 0.2)
            out[v, h] = torch.softmax(hidden @ a[h], dim=0) @ x[neighbours, h]
    return out


@pytest.mark.parametrize(("size", "score_size"), SIZES)
def test_attention_and_its_gradients_equal_the_equation(
    graph: AttentionGraph, n_threads: int, size: int, score_size: int
) -> None:
    operands = draw_operands(size, score_size)
    out, expected = leaky_attention(graph, *operands), plain_attention(*operands)
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(out, operands, weight)
    for gradient, plain in zip(found, torch.autograd.grad(expected, operands, weight.double()), strict=True):
        torch.testing.assert_close(gradient, plain, atol=1e-5, rtol=1e-5)


def test_threads_and_repeats_change_no_bit(graph: AttentionGraph) -> None:
    operands, found = draw_operands(16, 16), []
    for n_threads in (1, 1, 2, 3):
        with threads(n_threads):
            out = leaky_attention(graph, *operands)
            found.append([out, *torch.autograd.grad(out.square().sum(), operands)])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert torch.equal(one, two)


def test_operands_need_not_be_contiguous(graph: AttentionGraph) -> None:
    x, p, q, a = draw_operands()
    turned = x.detach().permute(2, 1, 0).contiguous().permute(2, 1, 0)
    assert torch.equal(leaky_attention(graph, turned, p, q, a), leaky_attention(graph, x, p, q, a))


@pytest.mark.parametrize("scale", [30.0, 1e4])
def test_saturated_attention_stays_finite_and_exact(graph: AttentionGraph, scale: float) -> None:
    x, p, q, a = draw_operands()
    operands = [x, *((scale * tensor).detach().requires_grad_() for tensor in (p, q)), a]
    out = leaky_attention(graph, *operands)
    torch.testing.assert_close(out.double(), plain_attention(*operands), atol=1e-3, rtol=1e-3)
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(out.sum(), operands))


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_nan_and_infinity_are_not_hidden(graph: AttentionGraph, which: int, value: float) -> None:
    operands = [tensor.detach() for tensor in draw_operands()]
    operands[which][3] = value
    found, expected = leaky_attention(graph, *operands), plain_attention(*operands)
    assert torch.equal(found.isfinite(), expected.isfinite())
    assert not found.isfinite().all()


def test_edges_of_one_pair_count_each() -> None:
    x, p, q, a = (tensor.detach()[:2] for tensor in draw_operands())
    graph = AttentionGraph(np.array([0, 0, 1]), np.array([1, 1, 1]), 2)
    scores = torch.nn.functional.leaky_relu(p + q[1], 0.2).mul(a).sum(dim=-1).exp()
    expected = (2 * scores[0, :, None] * x[0] + scores[1, :, None] * x[1]) / (2 * scores[0] + scores[1])[
        :, None
    ]
    torch.testing.assert_close(leaky_attention(graph, x, p, q, a)[1], expected)


def test_a_graph_without_edges_gives_0(n_threads: int) -> None:
    graph = AttentionGraph(np.array([], int), np.array([], int), N_NODES)
    operands = draw_operands()
    out = leaky_attention(graph, *operands)
    assert not out.any()
    assert not any(gradient.any() for gradient in torch.autograd.grad(out.sum(), operands))


def test_denormal_gradients_are_flushed_on_every_thread(graph: AttentionGraph, n_threads: int) -> None:
    operands = draw_operands()
    with flushed_denormals():
        out = leaky_attention(graph, *operands)
        flushed = torch.autograd.grad(out, operands, torch.full_like(out, 1e-39))
    kept = torch.autograd.grad(leaky_attention(graph, *operands), operands, torch.full_like(out, 1e-39))
    assert all(gradient.any() for gradient in kept[:1])
    assert not any(gradient.any() for gradient in flushed)


def test_second_derivatives_are_refused(graph: AttentionGraph) -> None:
    operands = draw_operands()
    out = leaky_attention(graph, *operands).square().sum()
    (gradient,) = torch.autograd.grad(out, operands[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()  # type: ignore[no-untyped-call]
