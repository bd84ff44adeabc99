"""GEARS' loss over single cells, computed exactly from central moments of each perturbation's cells."""

import torch
from torch import Tensor

from adapert.config import Config, LossConfig
from adapert.data.central_moments import measure_central_moments
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import MeanControlRows
from adapert.models.network import Batch, Objective, Prediction, to_tensor
from adapert.models.row_picks import pick_rows


def power_loss(error: Tensor, second: Tensor, third: Tensor, fourth: Tensor) -> Tensor:
    """Mean over a perturbation's cells of (y - x - predicted delta)^4, as `error`.

    With e = delta - predicted delta and y - x - delta = d, of mean 0: e^4 + 6 e^2 <d^2> + 4 e <d^3> + <d^4>.

    Args:
        error: e, (n_rows, n_genes).
        second: <d^2>, as `error`.
        third: <d^3>, as `error`.
        fourth: <d^4>, as `error`.
    """
    square = error.square()
    return square.square() + 6 * square * second + 4 * error * third + fourth


def squared_error(error: Tensor, second: Tensor) -> Tensor:
    """Mean over a perturbation's cells of (y - x - predicted delta)^2, as `power_loss`: e^2 + <d^2>."""
    return error.square() + second


def direction_loss(predicted_delta: Tensor, sign: Tensor) -> Tensor:
    """Mean over a perturbation's cells of (sign(y - x) - tanh(predicted delta))^2, for y other than x.

    Args:
        predicted_delta: (n_rows, n_genes).
        sign: Mean of sign(y - x), as `predicted_delta`.
    """
    direction = torch.tanh(predicted_delta)
    return 1 - 2 * sign * direction + direction.square()


class GearsLoss(Objective):
    """Mean over cells and genes of (y - x_hat)^exponent, plus the direction's term where it has one.

    y is a cell, x_hat its matched mean control plus the predicted delta.
    """

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int) -> None:
        """Read the training split, and measure its cells; nothing is drawn."""
        super().__init__()
        self.settings = config.gears
        self.rows = MeanControlRows(dataset, LossConfig().weighting)
        self.resolved = {}
        measured = measure_central_moments(dataset)
        powers = ("second",) if self.settings.exponent == 2 else ("second", "third", "fourth")
        for name in (*powers, *(() if self.settings.direction == "none" else ("sign",))):
            self.register_buffer(name, to_tensor(getattr(measured, name)), persistent=False)

    def forward(self, prediction: Prediction, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss, and its terms before their weights."""
        error = batch.target_delta - prediction.delta

        def moment(name: str) -> Tensor:
            return pick_rows(self.get_buffer(name), pick_rows(batch.perturbations, batch.perturbation_row))

        def mean(loss: Tensor) -> Tensor:
            return (batch.weight * loss.mean(dim=-1)).mean()

        if self.settings.exponent == 2:
            recon = mean(squared_error(error, moment("second")))
        else:
            recon = mean(power_loss(error, *map(moment, ("second", "third", "fourth"))))
        if self.settings.direction == "none":
            return {"loss_total": recon, "loss_recon": recon}
        direction = mean(direction_loss(prediction.delta, moment("sign")))
        total = recon + self.settings.direction_weight * direction
        return {"loss_total": total, "loss_recon": recon, "loss_direction": direction}
