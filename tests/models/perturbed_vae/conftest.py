"""Small networks of PerturbedVAE."""

from typing import Any

import pytest
from fixtures.builders import SmallPerturbedVae

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.perturbed_vae.model import PerturbedVae, build_perturbed_vae

SMALL = {
    "model.name": "perturbed_vae",
    "perturbed_vae.invariant_size": 2,
    "perturbed_vae.specific_size": 3,
    "perturbed_vae.hidden_size": 16,
    "perturbed_vae.spectral_size": 4,
}


@pytest.fixture
def small_config() -> Config:
    """The config of a small network."""
    return Config().with_changes(SMALL)


@pytest.fixture
def small_vae(tiny_dataset: PreparedDataset, small_config: Config) -> SmallPerturbedVae:
    """Build a small network of the tiny data set, with changes of the config or another data set."""

    def build(changes: dict[str, Any] | None = None, dataset: PreparedDataset = tiny_dataset) -> PerturbedVae:
        return build_perturbed_vae(dataset, small_config.with_changes(changes or {}), 0)

    return build
