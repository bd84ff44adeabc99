"""The control encoder and the decoder of TxPert: two linear maps, with normalised units between."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from adapert.models.dropout import Dropout
from adapert.models.row_norm import RowNorm

UNIT_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": RowNorm,
    "layer": nn.LayerNorm,
    "none": lambda size: nn.Identity(),
}
"""Normalisation of hidden units: over rows, or within each."""


class NormedPerceptron(nn.Module):
    """W_2 drop(LeakyReLU(norm(W_1 x + b_1))) + b_2."""

    def __init__(
        self, n_inputs: int, hidden_size: int, n_outputs: int, norm: nn.Module, dropout: float
    ) -> None:
        """Make the two maps, drawn from torch's global generator.

        Args:
            n_inputs: Size of an input.
            hidden_size: Number of hidden units.
            n_outputs: Size of an output.
            norm: Of hidden units.
            dropout: Fraction of hidden units dropped.
        """
        super().__init__()
        self.first = nn.Linear(n_inputs, hidden_size)
        self.norm = norm
        self.second = nn.Linear(hidden_size, n_outputs)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Map (n_rows, n_inputs) to (n_rows, n_outputs); the generator draws dropout, None drops nothing."""
        hidden = leaky_relu(self.norm(self.first(x)))
        return self.second(self.dropout(hidden, generator))  # type: ignore[no-any-return]
