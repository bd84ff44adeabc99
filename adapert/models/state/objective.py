"""STATE's objective: sets of predicted cells distributed as the observed ones."""

from torch import Tensor

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.data.rows import CellSetRows
from adapert.models.cell_sets import SetPrediction, compare_sets
from adapert.models.discrepancies import energy_distance
from adapert.models.network import Batch, Objective


class StateObjective(Objective):
    """Energy distance between predicted and observed sets, of perturbed cells and of control cells.

    Both count the same. Control cells are predicted from themselves, without a perturbation.
    """

    def __init__(self, dataset: PreparedDataset, config: Config, seed: int) -> None:
        super().__init__()
        self.rows = CellSetRows(dataset, "cells", config.state.set_size)
        self.resolved = {}

    def forward(self, prediction: SetPrediction, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss and its terms."""
        perturbed, control = compare_sets(energy_distance, prediction, batch)
        return {
            "loss_total": (perturbed + control) / 2,
            "loss_perturbed": perturbed,
            "loss_control": control,
        }
