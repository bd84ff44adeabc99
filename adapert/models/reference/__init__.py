"""Reference models: what AdaPert must beat to be worth its training.

They have no settings but what they choose on validation, and no chance: a fit depends on the data alone.
"""

from collections.abc import Callable

from adapert.config import ModelName
from adapert.models.protocol import PerturbationModel
from adapert.models.reference.additive import AdditiveModel
from adapert.models.reference.control import ControlModel
from adapert.models.reference.leave_one_out import LeaveOneOutKernelRidge
from adapert.models.reference.mean import MeanModel
from adapert.models.reference.neighbour import NeighbourModel
from adapert.models.reference.ridge import RidgeModel

REFERENCE_MODELS: dict[ModelName, Callable[[], PerturbationModel]] = {
    "control": ControlModel,
    "mean": MeanModel,
    "additive": AdditiveModel,
    "neighbour": NeighbourModel,
    "ridge_text": lambda: RidgeModel("text"),
    "ridge_network": lambda: RidgeModel("network"),
    "ridge_both": lambda: RidgeModel("both"),
    "kernel_loo": LeaveOneOutKernelRidge,
}
"""Name to untrained model, from the simplest."""
