from collections.abc import Callable

import pytest
import torch

from adapert.models import scores
from adapert.models.score_kernels import BLOCK_NODES
from adapert.models.scores import build_score

FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu, "gelu": torch.nn.functional.gelu}
SHAPES = [(1, 1, 1), (7, 3, 4), (BLOCK_NODES + 1, 5, 8), (3 * BLOCK_NODES, 2, 16)]


def plain_score(
    function: Callable[[torch.Tensor], torch.Tensor], node: torch.Tensor, text: torch.Tensor, w: torch.Tensor
) -> torch.Tensor:
    """Eq. 10 with every hidden unit written out, in float64."""
    return function(node.double() + text.double().unsqueeze(1)) @ w.double()


def draw(n_nodes: int, n_perturbations: int, score_size: int, scale: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(n_nodes)
    shapes = ((n_nodes, score_size), (n_perturbations, score_size), (score_size,))
    return [(scale * torch.randn(shape, generator=generator)).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_scores_and_their_gradients_equal_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch, activation: str, shape: tuple[int, int, int]
) -> None:
    monkeypatch.setattr(scores, "CHUNK_ELEMENTS", 30)  # so that small shapes have several chunks too
    inputs = draw(*shape)
    score = build_score(activation)(*inputs)
    expected = plain_score(FUNCTIONS[activation], *inputs)
    torch.testing.assert_close(score.double(), expected, atol=1e-5, rtol=1e-5)
    weight = torch.randn(score.shape, generator=torch.Generator().manual_seed(1))
    found = torch.autograd.grad(score, inputs, weight)
    for gradient, plain in zip(found, torch.autograd.grad(expected, inputs, weight.double()), strict=True):
        # A sum over n nodes or perturbations carries n rounding errors.
        torch.testing.assert_close(gradient, plain, atol=1e-6 * weight.numel() ** 0.5 + 1e-6, rtol=1e-4)


@pytest.mark.parametrize("scale", [10.0, 30.0, 1000.0])
def test_saturated_scores_stay_finite_and_exact(scale: float) -> None:
    node, text, _ = draw(50, 6, 4, scale)
    inputs = [node, text, torch.ones(4, requires_grad=True)]
    score = build_score("tanh")(*inputs)
    torch.testing.assert_close(score.double(), plain_score(torch.tanh, *inputs), atol=1e-5, rtol=1e-5)
    assert all(torch.isfinite(gradient).all() for gradient in torch.autograd.grad(score.sum(), inputs))


def test_nan_is_not_hidden() -> None:
    node, text, w = draw(9, 2, 3)
    poisoned = torch.where(torch.arange(9).unsqueeze(1) == 4, torch.nan, node)
    assert build_score("tanh")(poisoned, text, w).isnan().any(dim=0).tolist() == [v == 4 for v in range(9)]


def test_threads_change_no_bit_of_the_fused_score() -> None:
    inputs = draw(3 * BLOCK_NODES, 4, 8)
    found = []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            score = build_score("tanh")(*inputs)
            found.append([score, *torch.autograd.grad(score.square().sum(), inputs)])
    finally:
        torch.set_num_threads(before)
    for one, two in zip(*found, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_half_precision_around_them_changes_neither_scores_nor_gradients(activation: str) -> None:
    inputs = draw(9, 5, 8)
    score = build_score(activation)(*inputs)
    with torch.autocast("cpu", torch.bfloat16):
        around = build_score(activation)(*inputs)
    assert torch.equal(around, score)
    gradients = (torch.autograd.grad(each.square().sum(), inputs) for each in (around, score))
    for found, expected in zip(*gradients, strict=True):
        assert torch.equal(found, expected)
