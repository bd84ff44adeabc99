"""Optimisers against torch's own, step by step."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from adapert.models.optimizers import descend, without_compiler

FORMS: list[tuple[type[Optimizer], dict[str, Any]]] = [
    (AdamW, {"lr": 0.03, "weight_decay": 0.2, "fused": True}),
    (Adam, {"lr": 0.1}),
]


def draw_layer() -> nn.Linear:
    layer = nn.Linear(4, 3)
    with torch.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return layer


def take_steps(layer: nn.Linear, optimizer: Optimizer, n_steps: int) -> list[Tensor]:
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(7))
    for _ in range(n_steps):
        optimizer.zero_grad(set_to_none=True)
        layer(inputs).pow(2).mean().backward()
        optimizer.step()
    return [parameter.detach().clone() for parameter in layer.parameters()]


@pytest.mark.parametrize(("kind", "options"), FORMS)
def test_steps_are_those_of_torch_bit_for_bit(kind: type[Optimizer], options: dict[str, Any]) -> None:
    ours, theirs = draw_layer(), draw_layer()
    own, other = without_compiler(kind)(ours.parameters(), **options), kind(theirs.parameters(), **options)
    for one, two in zip(take_steps(ours, own, 5), take_steps(theirs, other, 5), strict=True):
        assert torch.equal(one, two)
    assert torch.is_grad_enabled()


def test_a_state_is_torchs_and_is_resumed_from() -> None:
    kind, options = FORMS[0]
    whole, broken = draw_layer(), draw_layer()
    expected = take_steps(whole, kind(whole.parameters(), **options), 5)
    first = without_compiler(kind)(broken.parameters(), **options)
    take_steps(broken, first, 2)
    second = without_compiler(kind)(broken.parameters(), **options)
    second.load_state_dict(first.state_dict())
    for one, two in zip(take_steps(broken, second, 3), expected, strict=True):
        assert torch.equal(one, two)


def test_a_step_by_given_gradients_is_torchs_bit_for_bit() -> None:
    kind, options = FORMS[0]
    ours, theirs, unused = draw_layer(), draw_layer(), nn.Parameter(torch.ones(2))
    own, other = (
        without_compiler(AdamW)([*ours.parameters(), unused], **options),
        kind(theirs.parameters(), **options),
    )
    generator = torch.Generator().manual_seed(3)
    for _ in range(4):
        parameters = list(ours.parameters())
        gradients = [torch.randn(parameter.shape, generator=generator) for parameter in parameters]
        descend(own, parameters, gradients)
        for parameter, gradient in zip(theirs.parameters(), gradients, strict=True):
            parameter.grad = gradient
        other.step()
        for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(one, two)
    assert len(own.state) == 2  # none of what has no gradient
    for found, expected in zip(own.state.values(), other.state.values(), strict=True):
        for name, value in expected.items():
            assert torch.equal(found[name], value)
