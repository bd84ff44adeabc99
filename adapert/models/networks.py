"""Every model that is trained in epochs, by its name."""

from adapert.config import ModelName
from adapert.models.adapert.model import build_model
from adapert.models.adapert.objective import AdaPertObjective
from adapert.models.network import NetworkParts

NETWORKS: dict[ModelName, NetworkParts] = {
    "adapert": NetworkParts(build_model, AdaPertObjective),
}
"""Name to parts; a further network is a line here, beside its section in `adapert.config`."""
