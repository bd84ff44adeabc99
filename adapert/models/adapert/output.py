"""From the decoder's output to expression: an offset, and principal directions of the training deltas."""

import numpy as np
from torch import Tensor, nn

from adapert.config import ModelConfig
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.models.network import to_tensor

RESPONSE_LENGTH = 4.0
"""Root of the mean squared length of the coefficients that a decoder has to reach: AdamW takes steps of one
size, whatever the units of expression. Not in the paper."""


NEGLIGIBLE = 1e-6
"""Length of a direction, relative to the longest one's, below which it is rounding."""


class Output(nn.Module):
    """Add an offset to decoded genes, or to directions weighed by decoded coefficients."""

    def __init__(self, offset: Tensor, basis: Tensor | None) -> None:
        """Keep them with the weights.

        Args:
            offset: (n_genes,).
            basis: Directions, (n_directions, n_genes); None where the decoder's output is of genes.
        """
        super().__init__()
        self.offset: Tensor
        self.basis: Tensor | None
        self.register_buffer("offset", offset)
        self.register_buffer("basis", basis)

    @property
    def n_inputs(self) -> int:
        """Outputs that it asks of a decoder."""
        return len(self.offset) if self.basis is None else len(self.basis)

    def forward(self, decoded: Tensor) -> Tensor:
        """Map (..., n_inputs) to (..., n_genes)."""
        return (decoded if self.basis is None else decoded @ self.basis) + self.offset


def build_output(dataset: PreparedDataset, config: ModelConfig) -> Output:
    """Build the output from the training split; without splits, trained weights bring its numbers."""
    n_genes, size = dataset.n_genes, config.output_basis
    offset, basis = np.zeros(n_genes), np.zeros((size, n_genes))
    if "train" in dataset.splits:
        delta = np.asarray(dataset.splits["train"].table.delta, dtype=np.float64)
        wanted = delta + dataset.shared.control_mean if config.predict == "expression" else delta
        if config.offset == "training_mean":
            offset = wanted.mean(axis=0)
        if size:
            found = principal_directions(wanted - offset, size)
            basis[: len(found)] = found
    return Output(to_tensor(offset), to_tensor(basis) if size else None)


def principal_directions(responses: FloatArray, size: int) -> FloatArray:
    """Find the directions of largest mean square, each as long as makes `RESPONSE_LENGTH` true.

    Args:
        responses: (n_perturbations, n_genes).
        size: Directions wanted.

    Returns:
        (n_found, n_genes): all that the responses have, where these are fewer.
    """
    _, lengths, directions = np.linalg.svd(responses, full_matrices=False)
    directions = directions[lengths > NEGLIGIBLE * lengths.max(initial=0)]
    typical = np.sqrt((lengths**2).sum() / len(responses))
    scaled: FloatArray = directions[:size] * typical / RESPONSE_LENGTH
    return scaled
