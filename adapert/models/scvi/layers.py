"""Hidden layers of scVI's encoder and decoder."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from adapert.models.dropout import Dropout
from adapert.models.row_norm import RowNorm

VARIANCE_EPS = 1e-3
"""Added to a variance over rows; scvi-tools' own."""


def scvi_norm(size: int) -> RowNorm:
    """Normalise hidden units over a minibatch's cells."""
    return RowNorm(size, eps=VARIANCE_EPS)


class HiddenLayers(nn.Module):
    """h = drop(relu(norm(W h + b))), a number of times."""

    def __init__(
        self,
        n_inputs: int,
        hidden_size: int,
        n_layers: int,
        norm: Callable[[int], nn.Module],
        dropout: float = 0,
    ) -> None:
        """Make the layers, drawn from torch's global generator; `norm` is made of the hidden size."""
        super().__init__()
        sizes = [n_inputs, *[hidden_size] * n_layers]
        self.maps = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.norms = nn.ModuleList(norm(hidden_size) for _ in self.maps)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Map (n_rows, n_inputs) to (n_rows, hidden_size); without a generator nothing is dropped."""
        for linear, norm in zip(self.maps, self.norms, strict=True):
            x = self.dropout(torch.relu(norm(linear(x))), generator)
        return x
