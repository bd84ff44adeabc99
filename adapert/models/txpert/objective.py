"""TxPert's objective: squared error, and AdaPert's non-DEG penalty where a config gives it a weight."""

from adapert.config import Config, LossConfig
from adapert.data.prepared import PreparedDataset
from adapert.models.objectives import SquaredLoss


def build_objective(dataset: PreparedDataset, config: Config, seed: int) -> SquaredLoss:
    """Build the objective, which draws nothing; with matched means its gradient is that of all cells."""
    settings = config.txpert
    loss = LossConfig(
        lambda_non=settings.lambda_non,
        non_deg_reduction=settings.non_deg_reduction,
        huber_delta=settings.huber_delta,
        huber_delta_unit=settings.huber_delta_unit,
    )
    return SquaredLoss(dataset, config, loss)
