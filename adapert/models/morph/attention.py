"""Attention of a cell's and perturbation's latents over learned gene programs."""

import torch
from torch import Tensor, nn

SLOPE = 0.2
"""Of leaky rectifiers below 0."""


class ProgramAttention(nn.Module):
    """q += softmax(W_q q (W_k G)^T / sqrt(d)) W_v G, then q += FF(LN(q)), for programs G and q of size d.

    FF is a perceptron of d hidden units with a leaky rectifier.
    """

    def __init__(self, size: int, program_size: int) -> None:
        """Make the maps; parameters are drawn from torch's global generator.

        Args:
            size: d.
            program_size: Of a row of G.
        """
        super().__init__()
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(program_size, size)
        self.value = nn.Linear(program_size, size)
        self.norm = nn.LayerNorm(size)
        self.feedforward = nn.Sequential(nn.Linear(size, size), nn.LeakyReLU(SLOPE), nn.Linear(size, size))

    def forward(self, q: Tensor, programs: Tensor) -> Tensor:
        """Update (n_rows, size) by programs, (n_programs, program_size)."""
        q = q + self.attend(q, programs)
        return q + self.feedforward(self.norm(q))  # type: ignore[no-any-return]

    def attend(self, q: Tensor, programs: Tensor) -> Tensor:
        """Average the programs' values by each row's weights, as `q`."""
        scores = self.query(q) @ self.key(programs).T / q.shape[-1] ** 0.5
        return torch.softmax(scores, dim=-1) @ self.value(programs)  # type: ignore[no-any-return]
