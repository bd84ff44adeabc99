"""Small networks of MORPH."""

from typing import Any

import pytest
from fixtures.builders import SmallMorph

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.morph.model import Morph, build_morph

SMALL = {
    "model.name": "morph",
    "morph.latent_size": 3,
    "morph.perturbation_size": 4,
    "morph.n_programs": 5,
    "morph.program_size": 6,
    "morph.hidden_size": 8,
    "morph.set_size": 5,
}


@pytest.fixture
def small_config() -> Config:
    """The config of a small network."""
    return Config().with_changes(SMALL)


@pytest.fixture
def small_morph(tiny_dataset: PreparedDataset, small_config: Config) -> SmallMorph:
    """Build a small network of the tiny data set, with changes of the config or another data set."""

    def build(changes: dict[str, Any] | None = None, dataset: PreparedDataset = tiny_dataset) -> Morph:
        return build_morph(dataset, small_config.with_changes(changes or {}), 0)

    return build
