"""The training objective on a minibatch."""

from torch import Tensor

from adapert.data.rows import Minibatch
from adapert.models.network import Prediction
from adapert.models.precision import half_precision
from adapert.training.rows import RowTensors, copy_minibatch
from adapert.training.state import Training


def minibatch_losses(training: Training, minibatch: Minibatch) -> tuple[dict[str, Tensor], Prediction]:
    """Compute ``loss_total`` and its terms on rows that the host has, as `row_losses`."""
    return row_losses(training, copy_minibatch(minibatch, training.device))


def row_losses(training: Training, rows: RowTensors) -> tuple[dict[str, Tensor], Prediction]:
    """Compute ``loss_total`` and its terms on a minibatch, and the prediction that they are of."""
    with half_precision(training.device, training.config.training.precision == "bfloat16"):
        prediction = training.network.forward_in_training(
            training.targets.take(rows.perturbations),
            rows.perturbation_row,
            rows.control,
            rows.control_row,
            rows.target_delta,
            training.generator,
        )
    return training.objective(prediction, rows.batch), prediction
