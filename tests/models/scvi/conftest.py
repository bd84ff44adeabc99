"""Small networks of scVI."""

from typing import Any

import pytest
from fixtures.builders import SmallScvi

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.scvi.model import Scvi, build_scvi

SMALL = {"model.name": "scvi", "scvi.latent_size": 3, "scvi.hidden_size": 8}


@pytest.fixture
def small_config() -> Config:
    """The config of a small network."""
    return Config().with_changes(SMALL)


@pytest.fixture
def small_scvi(tiny_dataset: PreparedDataset, small_config: Config) -> SmallScvi:
    """Build a small network of the tiny data set, with changes of the config or another data set."""

    def build(changes: dict[str, Any] | None = None, dataset: PreparedDataset = tiny_dataset) -> Scvi:
        return build_scvi(dataset, small_config.with_changes(changes or {}), 0)

    return build
