"""Dropout by a trial's own generator."""

import torch
from torch import Tensor, nn

from adapert.models.noise import Noise, uniform


class Dropout(nn.Module):
    """Drops units in training; its fraction is a tensor, so that trials side by side may differ in it."""

    def __init__(self, fraction: float) -> None:
        """Keep the fraction of units that is dropped, in [0, 1); of 0 there is nothing to draw."""
        super().__init__()
        self.dropped: Tensor | None
        self.kept: Tensor | None
        self.register_buffer("dropped", torch.tensor(fraction) if fraction else None, persistent=False)
        self.register_buffer("kept", torch.tensor(1 - fraction) if fraction else None, persistent=False)

    def forward(self, x: Tensor, generator: Noise | None) -> Tensor:
        """Drop units by a generator's draws; without a generator (prediction) nothing is dropped."""
        if generator is None or self.dropped is None or self.kept is None:
            return x
        return x * (uniform(x.shape, generator, x.device) >= self.dropped) / self.kept
