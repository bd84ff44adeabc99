"""Reference models: what AdaPert must beat to be worth its training.

They have no settings but what they choose on validation, and no chance: a fit depends on the data alone.
"""

from functools import partial
from typing import Protocol

from adapert.config import ModelName
from adapert.models.protocol import PerturbationModel
from adapert.models.reference.additive import AdditiveModel
from adapert.models.reference.control import ControlModel
from adapert.models.reference.leave_one_out import LeaveOneOutKernelRidge
from adapert.models.reference.mean import MeanModel
from adapert.models.reference.neighbour import NeighbourModel
from adapert.models.reference.ridge import RidgeModel


class ReferenceBuilder(Protocol):
    """Builds an untrained model."""

    def __call__(self, embeddings: str = "") -> PerturbationModel:
        """Build it.

        Args:
            embeddings: Sources that it reads, if any, as ``data.embeddings`` of a config names them.
        """


REFERENCE_MODELS: dict[ModelName, ReferenceBuilder] = {
    "control": lambda embeddings="": ControlModel(),
    "mean": lambda embeddings="": MeanModel(),
    "additive": lambda embeddings="": AdditiveModel(),
    "neighbour": NeighbourModel,
    "ridge_text": partial(RidgeModel, "text"),
    "ridge_network": partial(RidgeModel, "network"),
    "ridge_both": partial(RidgeModel, "both"),
    "kernel_loo": LeaveOneOutKernelRidge,
}
"""Name to builder, from the simplest."""
