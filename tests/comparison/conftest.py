"""Small comparisons on the tiny data set."""

from dataclasses import replace
from typing import Any

import pytest
from fixtures.builders import PlanOf
from fixtures.configs import SMALL_ADAPERT

from adapert.comparison.plan import ComparisonPlan
from adapert.config import Config
from adapert.data.prepared import PreparedDataset

SMALL = SMALL_ADAPERT | {
    "training.minibatch_size": 3,
    "training.max_epochs": 2,
}


@pytest.fixture
def small_config() -> Config:
    return Config().with_changes(SMALL)


@pytest.fixture
def plan_of() -> PlanOf:
    def build(*models: str, **changes: Any) -> ComparisonPlan:
        return ComparisonPlan(models=models, **({"split": "test"} | changes))

    return build


@pytest.fixture
def responses(tiny_dataset: PreparedDataset) -> PreparedDataset:
    return replace(tiny_dataset, manifest=replace(tiny_dataset.manifest, kind="responses"))
