"""Draws of a training step: of one trial, or of several that are trained side by side."""

from collections.abc import Sequence
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


def uniform(shape: torch.Size, noise: Noise, device: torch.device) -> Tensor:
    """Draw from [0, 1) where the generator is; each trial what it would draw alone."""
    if isinstance(noise, torch.Generator):
        return torch.rand(shape, generator=noise, device=noise.device).to(device)
    return _SlotUniform.apply(noise.slot, noise.generators, shape, device)  # type: ignore[no-any-return, no-untyped-call]


class _SlotUniform(torch.autograd.Function):
    """What `torch.vmap` asks for: draws as they are for one trial, and for all."""

    @staticmethod
    def forward(
        slot: Tensor, generators: Sequence[torch.Generator], shape: torch.Size, device: torch.device
    ) -> Tensor:
        generator = generators[int(slot)]
        return torch.rand(shape, generator=generator, device=generator.device).to(device)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        slot: Tensor,
        generators: Sequence[torch.Generator],
        shape: torch.Size,
        device: torch.device,
    ) -> tuple[Tensor, int]:
        draws = torch.empty(len(generators), *shape, device=generators[0].device)
        for drawn, generator in zip(draws, generators, strict=True):
            drawn.uniform_(generator=generator)  # as `torch.rand`, in one call
        return draws.to(device), 0
