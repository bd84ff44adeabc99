"""Small trainings that tests of the loop, its rows and its checkpoints share."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from fixtures.builders import NewTraining
from fixtures.configs import SMALL_ADAPERT
from fixtures.dataset import build_tiny_dataset

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.training.state import Training

SMALL = SMALL_ADAPERT | {
    "model.context_size": 4,
    "model.threshold": 1.2,
    "txpert.size": 8,
    "txpert.latent_size": 8,
    "txpert.hidden_size": 16,
    "gears.size": 4,
    "training.minibatch_size": 3,
    "training.max_epochs": 4,
}

CPU = torch.device("cpu")


@pytest.fixture
def small_settings() -> dict[str, Any]:
    return dict(SMALL)


@pytest.fixture(scope="session")
def new_training() -> NewTraining:
    """Build a small training of the tiny data set, with changes of config, data set or seed."""
    tiny_dataset = build_tiny_dataset()

    def build(
        changes: Mapping[str, Any] | None = None,
        dataset: PreparedDataset = tiny_dataset,
        seed: int = 0,
        device: torch.device = CPU,
    ) -> Training:
        config = Config().with_changes(SMALL | dict(changes or {}))
        return Training(config, dataset, seed, device)

    return build
