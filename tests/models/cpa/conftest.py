"""Small networks of CPA."""

from typing import Any

import pytest
from fixtures.builders import SmallCpa

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.cpa.model import Cpa, build_cpa

SMALL = {"model.name": "cpa", "cpa.latent_size": 3, "cpa.hidden_size": 8}


@pytest.fixture
def small_config() -> Config:
    """The config of a small network."""
    return Config().with_changes(SMALL)


@pytest.fixture
def small_cpa(tiny_dataset: PreparedDataset, small_config: Config) -> SmallCpa:
    """Build a small network of the tiny data set, with changes of the config or another data set."""

    def build(changes: dict[str, Any] | None = None, dataset: PreparedDataset = tiny_dataset) -> Cpa:
        return build_cpa(dataset, small_config.with_changes(changes or {}), 0)

    return build
