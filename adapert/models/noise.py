"""Draws of a training step: of one trial, or of several that are trained side by side."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor


class SlotGenerators(NamedTuple):
    """The generators of trials side by side, inside a function that `torch.vmap` maps over them.

    Attributes:
        slot: Which trial it is; mapped over.
        generators: Of all trials.
    """

    slot: Tensor
    generators: Sequence[torch.Generator]


Noise: TypeAlias = torch.Generator | SlotGenerators
"""What training draws from."""


Fill = Callable[..., Tensor]
"""Fills a tensor by draws of its argument ``generator``, such as `torch.Tensor.uniform_`."""


def uniform(shape: torch.Size, noise: Noise, device: torch.device) -> Tensor:
    """Draw from [0, 1) where the generator is; each trial what it would draw alone."""
    return _draw(Tensor.uniform_, shape, noise, device)


def normal(shape: torch.Size, noise: Noise, device: torch.device) -> Tensor:
    """Draw standard Gaussians, as `uniform` does."""
    return _draw(Tensor.normal_, shape, noise, device)


def _draw(fill: Fill, shape: torch.Size, noise: Noise, device: torch.device) -> Tensor:
    if isinstance(noise, torch.Generator):
        return fill(torch.empty(shape, device=noise.device), generator=noise).to(device)
    return _SlotDraws.apply(noise.slot, noise.generators, fill, shape, device)  # type: ignore[no-any-return, no-untyped-call]


class _SlotDraws(torch.autograd.Function):
    """What `torch.vmap` asks for: draws as they are for one trial, and for all."""

    @staticmethod
    def forward(
        slot: Tensor,
        generators: Sequence[torch.Generator],
        fill: Fill,
        shape: torch.Size,
        device: torch.device,
    ) -> Tensor:
        return _draw(fill, shape, generators[int(slot)], device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        slot: Tensor,
        generators: Sequence[torch.Generator],
        fill: Fill,
        shape: torch.Size,
        device: torch.device,
    ) -> tuple[Tensor, int]:
        draws = torch.empty(len(generators), *shape, device=generators[0].device)
        for drawn, generator in zip(draws, generators, strict=True):
            fill(drawn, generator=generator)
        return draws.to(device), 0
