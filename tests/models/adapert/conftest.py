"""Small models that tests of the model's parts share."""

from typing import Any

import pytest
import torch
from fixtures.builders import SmallModel

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.adapert.model import AdaPert, build_model

SMALL = {
    "model.node_features": "one_hot+text",
    "model.own_embedding": "structural",
    "model.n_heads": 1,
    "model.decoder_layers": 1,
    "model.output_basis": 0,
    "model.structural_size": 8,
    "model.latent_size": 7,
    "model.hidden_size": 10,
    "model.score_size": 5,
    "model.context_size": 4,
    "model.threshold": 1.2,
}


@pytest.fixture
def small_model(tiny_dataset: PreparedDataset) -> SmallModel:
    """Build a small model of the tiny data set, with changes of the config and another seed or data set."""

    def build(
        changes: dict[str, Any] | None = None, seed: int = 0, dataset: PreparedDataset = tiny_dataset
    ) -> AdaPert:
        model = build_model(dataset, Config().with_changes(SMALL | (changes or {})), seed)
        # Starts at 0, which would hide the context from every test of predictions.
        torch.nn.init.normal_(model.context_to_latent.weight, generator=torch.Generator().manual_seed(seed))
        return model

    return build
