"""Dropout by a trial's own generator."""

import torch
from torch import Tensor, nn

from adapert.models.noise import Noise, uniform


class Dropout(nn.Module):
    """Drops units in training; its share is a tensor, so that trials side by side may differ in it."""

    def __init__(self, share: float) -> None:
        """Keep the share of units that is dropped, in [0, 1); of 0 there is nothing to draw."""
        super().__init__()
        self.dropped: Tensor | None
        self.kept: Tensor | None
        self.register_buffer("dropped", torch.tensor(share) if share else None, persistent=False)
        self.register_buffer("kept", torch.tensor(1 - share) if share else None, persistent=False)

    def forward(self, x: Tensor, generator: Noise | None) -> Tensor:
        """Drop units by a generator's draws; without a generator (prediction) nothing is dropped."""
        if generator is None or self.dropped is None or self.kept is None:
            return x
        return x * (uniform(x.shape, generator, x.device) >= self.dropped) / self.kept
