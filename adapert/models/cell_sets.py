"""Predictions of sets of cells, and how far their distribution is from that of the observed cells."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from adapert.models.network import Batch, Prediction


@dataclass(frozen=True)
class SetPrediction(Prediction):
    """A forward pass in training on sets of cells, whose rows are their cells, set after set.

    Attributes:
        control: Cells that were read, log1p units, (n_sets, set_size, n_genes).
        reconstructed: The same cells as they are predicted without a perturbation, as `control`.
    """

    control: Tensor
    reconstructed: Tensor


def compare_sets(
    discrepancy: Callable[[Tensor, Tensor], Tensor], prediction: SetPrediction, batch: Batch
) -> tuple[Tensor, Tensor]:
    """Compare the distributions of predicted with observed cells, set by set.

    Args:
        discrepancy: Of two samples, see `adapert.models.discrepancies`.
        prediction: Of sets.
        batch: Their observed cells and weights.

    Returns:
        Weighted mean over sets of perturbed cells, and the same of reconstructed control cells.
    """
    control = prediction.control
    predicted, observed = (
        control + delta.reshape(control.shape) for delta in (prediction.delta, batch.target_delta)
    )
    weight = batch.weight[:: control.shape[1]]
    perturbed = (weight * discrepancy(predicted, observed)).mean()
    return perturbed, (weight * discrepancy(prediction.reconstructed, control)).mean()
