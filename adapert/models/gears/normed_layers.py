"""The perceptron that GEARS has in four places: two linear maps, each normalised over rows."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class NormedLayers(nn.Module):
    """BN(W_2 relu(BN(W_1 x + b_1)) + b_2)."""

    def __init__(self, sizes: tuple[int, int, int], norm: Callable[[int], nn.Module]) -> None:
        """Make the maps, drawn from torch's global generator.

        Args:
            sizes: Of input, hidden units and output.
            norm: Makes the normalisation of a number of units.
        """
        super().__init__()
        n_inputs, hidden_size, n_outputs = sizes
        self.first, self.first_norm = nn.Linear(n_inputs, hidden_size), norm(hidden_size)
        self.second, self.second_norm = nn.Linear(hidden_size, n_outputs), norm(n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n_rows, n_inputs) to (n_rows, n_outputs)."""
        hidden = torch.relu(self.first_norm(self.first(x)))
        return self.second_norm(self.second(hidden))  # type: ignore[no-any-return]
