"""Several networks of one shape as one: maps with a first dimension of heads, in one product each."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from adapert.models.dropout import Dropout
from adapert.models.noise import Noise

FIRST_OUTPUT_SD = 0.1
"""SD of an untrained perceptron's outputs, relative to its hidden units: at first it says next to nothing."""


class HeadLinear(nn.Module):
    """A linear map for each head; at first its bias is 0."""

    def __init__(self, n_heads: int, n_inputs: int, n_outputs: int, sd: float) -> None:
        """Draw the weights.

        Args:
            n_heads: Heads.
            n_inputs: Of each.
            n_outputs: Of each.
            sd: Standard deviation of the weights.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_heads, n_inputs, n_outputs) * sd)
        self.bias = nn.Parameter(torch.zeros(n_heads, 1, n_outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n_rows, n_inputs), the same for all heads, or (n_heads, n_rows, n_inputs).

        Returns:
            (n_heads, n_rows, n_outputs).
        """
        # Where shared rows need a gradient, `@` would make one wide product, of a copy of the weights.
        return torch.bmm(x.expand(len(self.weight), *x.shape[-2:]), self.weight) + self.bias


class HeadPerceptron(nn.Module):
    """A perceptron for each head: hidden layers with a ReLU, dropout after the last of them, a linear map."""

    def __init__(
        self, n_heads: int, n_inputs: int, hidden_size: int, n_layers: int, n_outputs: int, dropout: float
    ) -> None:
        """Draw the layers.

        Args:
            n_heads: Heads.
            n_inputs: Of the first layer.
            hidden_size: Units of each hidden layer.
            n_layers: Hidden layers, at least one.
            n_outputs: Of the last layer.
            dropout: Fraction of the last hidden units that training drops.
        """
        super().__init__()
        sizes = [n_inputs] + [hidden_size] * n_layers
        self.hidden = nn.ModuleList(  # He's: a ReLU halves the mean square of what it is given.
            HeadLinear(n_heads, n_in, n_out, sd=(2 / n_in) ** 0.5) for n_in, n_out in pairwise(sizes)
        )
        self.last = HeadLinear(n_heads, hidden_size, n_outputs, sd=FIRST_OUTPUT_SD * hidden_size**-0.5)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, generator: Noise | None) -> Tensor:
        """Map (n_heads, n_rows, n_inputs) to (n_heads, n_rows, n_outputs)."""
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.last(self.dropout(x, generator))  # type: ignore[no-any-return]
