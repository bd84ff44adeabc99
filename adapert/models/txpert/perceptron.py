"""The control encoder and the decoder of TxPert: two linear maps, with normalised units between."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, layer_norm, leaky_relu

from adapert.models.encoders import drop


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation over a minibatch's rows; a single row is normalised by the running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n_rows, size)."""
        if self.training and len(x) == 1:
            return batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


class ControlNorm(RowNorm):
    """Batch normalisation over a minibatch's controls, where the data have several; else of each one's units.

    Over a single control batch normalisation is its shift alone: no gradient reaches the layer before, and
    with a variance of 0 any other control explodes at prediction.
    """

    def __init__(self, size: int, has_several: bool) -> None:
        """Make the parameters.

        Args:
            size: Number of units.
            has_several: Whether training has several control profiles. Trained weights bring it.
        """
        super().__init__(size)
        self.has_several: Tensor
        self.register_buffer("has_several", torch.tensor(has_several))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (n_controls, size)."""
        if self.has_several:
            return super().forward(x)
        return layer_norm(x, x.shape[-1:], self.weight, self.bias, self.eps)


NORMS: dict[str, Callable[[int], nn.Module]] = {
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
        self.dropout = dropout

    def forward(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Map (n_rows, n_inputs) to (n_rows, n_outputs); the generator draws dropout, None drops nothing."""
        hidden = leaky_relu(self.norm(self.first(x)))
        return self.second(drop(hidden, self.dropout, generator))  # type: ignore[no-any-return]
