"""Every model that is trained in epochs, by its name."""

from adapert.config import ModelName
from adapert.models.adapert.model import build_model
from adapert.models.adapert.objective import AdaPertObjective
from adapert.models.app.model import build_app
from adapert.models.cpa.model import build_cpa
from adapert.models.cpa.objective import CpaObjective
from adapert.models.gears.model import build_gears
from adapert.models.gears.objective import GearsLoss
from adapert.models.morph.model import build_morph
from adapert.models.morph.objective import build_objective as build_morph_objective
from adapert.models.network import NetworkParts
from adapert.models.objectives import squared_loss
from adapert.models.perturbed_vae.model import build_perturbed_vae
from adapert.models.perturbed_vae.objective import PerturbedVaeObjective
from adapert.models.scvi.model import build_scvi
from adapert.models.scvi.objective import ScviObjective
from adapert.models.state.model import build_state
from adapert.models.state.objective import StateObjective
from adapert.models.txpert.model import build_model as build_txpert
from adapert.plugins import find_plugins, load_plugin

NETWORKS: dict[ModelName, NetworkParts] = {
    "adapert": NetworkParts(build_model, AdaPertObjective, is_mapped=True),
    "txpert": NetworkParts(
        build_txpert, lambda dataset, config, seed: squared_loss(dataset, config, config.txpert)
    ),
    "app": NetworkParts(
        build_app, lambda dataset, config, seed: squared_loss(dataset, config, config.app), is_mapped=True
    ),
    "gears": NetworkParts(build_gears, GearsLoss),
    "perturbed_vae": NetworkParts(build_perturbed_vae, PerturbedVaeObjective, is_mapped=True),
    "scvi": NetworkParts(build_scvi, ScviObjective),
    "cpa": NetworkParts(build_cpa, CpaObjective),
    "state": NetworkParts(build_state, StateObjective),
    "morph": NetworkParts(build_morph, build_morph_objective),
}
"""Name to parts; a further network is a line here, beside its section in `adapert.config`."""


def network_parts(model: str) -> NetworkParts:
    """Find how a network is made: the project's, or an installed package's."""
    if model in NETWORKS:
        return NETWORKS[model]
    parts: NetworkParts = load_plugin(model).network
    return parts


def is_mapped(model: str) -> bool:
    """Whether trials of a model can share steps. A model that is not trained in epochs has no steps."""
    has_network = model in NETWORKS or (model in find_plugins() and load_plugin(model).network is not None)
    return has_network and network_parts(model).is_mapped
