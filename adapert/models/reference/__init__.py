"""Reference models: what AdaPert must beat to be worth its training."""

from collections.abc import Callable

from adapert.models.protocol import PerturbationModel
from adapert.models.reference.control import ControlModel
from adapert.models.reference.mean import MeanModel
from adapert.models.reference.ridge import RidgeModel

REFERENCE_MODELS: dict[str, Callable[[], PerturbationModel]] = {
    "control": ControlModel,
    "mean": MeanModel,
    "ridge_text": lambda: RidgeModel("text"),
    "ridge_network": lambda: RidgeModel("network"),
    "ridge_both": lambda: RidgeModel("both"),
}
"""Name to untrained model."""

__all__ = ["REFERENCE_MODELS", "ControlModel", "MeanModel", "RidgeModel"]
