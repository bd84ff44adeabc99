"""Small networks of APP."""

from typing import Any

import pytest
from fixtures.builders import SmallApp

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.app.model import App, build_app

SMALL = {"model.name": "app", "app.size": 8, "app.score_size": 5, "app.hidden_size": 6}


@pytest.fixture
def small_app(tiny_dataset: PreparedDataset) -> SmallApp:
    """Build a small network of the tiny data set, with changes of the config and another seed or data set."""

    def build(
        changes: dict[str, Any] | None = None, seed: int = 0, dataset: PreparedDataset = tiny_dataset
    ) -> App:
        return build_app(dataset, Config().with_changes(SMALL | (changes or {})), seed)

    return build
