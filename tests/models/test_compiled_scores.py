"""Compiled for the CPU, which the product does not: the same functions become a GPU's kernels."""

import re

import pytest
import torch

from adapert.models import compiled_scores, scores
from adapert.models.compiled_scores import can_be_compiled, compiled_score, compiled_slopes
from adapert.models.scores import tanh_score


def test_a_cpu_does_not_compile_its_scores() -> None:
    assert not can_be_compiled(torch.ones(2))


@pytest.mark.slow
@pytest.mark.parametrize("trials", [(), (3,)])
def test_compiled_scores_and_slopes_equal_the_plain_ones(trials: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    for n_nodes, n_perturbations in ((50, 6), (700, 5)):  # one compilation serves both
        shapes = ((n_nodes, 8), (n_perturbations, 8), (8,), (n_perturbations, n_nodes))
        node, text, w, g = (torch.randn(*trials, *shape, generator=generator) for shape in shapes)
        wide = [each.double().requires_grad_() for each in (node, text, w)]
        hidden = torch.tanh(wide[0].unsqueeze(-3) + wide[1].unsqueeze(-2))
        expected = (hidden * wide[2][..., None, None, :]).sum(dim=-1)
        found = compiled_score(node, text, w)
        torch.testing.assert_close(found.double(), expected.detach(), atol=1e-5, rtol=1e-5)
        gradients = torch.autograd.grad(expected, wide, g.double())
        for slope, gradient in zip(compiled_slopes(node, text, w, g), gradients, strict=True):
            torch.testing.assert_close(slope.double(), gradient, atol=2e-4, rtol=1e-4)


@pytest.mark.slow
def test_compiled_kernels_store_no_hidden_units() -> None:
    from torch._inductor.utils import run_and_get_code

    node, text, w, g = (torch.ones(shape) for shape in ((300, 16), (40, 16), (16,), (40, 300)))
    _, codes = run_and_get_code(lambda: (compiled_score(node, text, w), compiled_slopes(node, text, w, g)))
    assert len(codes) == 4
    for code in codes:
        (result,) = re.findall(r"= empty_strided_cpu\(\((.*?)\)", code)
        assert len(result.strip(", ").split(",")) <= 2  # hidden units would be three


@pytest.mark.slow
def test_scores_can_be_compiled_where_trials_are_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a step of slots, whose gradient is taken outside of `torch.vmap`."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(3, *s, generator=generator, requires_grad=True) for s in ((20, 4), (5, 4), (4,))]

    def score_and_slopes() -> list[torch.Tensor]:
        score = torch.vmap(tanh_score)(*inputs)
        return [score, *torch.autograd.grad(score.square().sum(), inputs)]

    expected = score_and_slopes()
    monkeypatch.setattr(scores, "can_be_compiled", lambda node: True)
    for found, known in zip(score_and_slopes(), expected, strict=True):
        torch.testing.assert_close(found, known, atol=1e-4, rtol=1e-4)
    assert compiled_scores._compiled.cache_info().currsize == 4
