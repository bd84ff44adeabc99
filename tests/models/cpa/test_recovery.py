"""Simulated shifts of latents, predicted of perturbations that training has and of others."""

import pytest
import torch
from fixtures.latent_experiment import LatentExperiment, mean_score, score

from adapert.config import Config
from adapert.training.loop import train
from adapert.training.state import Training

SETTINGS = {
    "model.name": "cpa",
    "cpa.hidden_size": 32,
    "cpa.latent_size": 8,
    "cpa.gradient_penalty": 1.0,
    "cpa.unseen": "text",
    "training.learning_rate": 0.01,
    "training.max_epochs": 25,
    "training.kept_epoch": "last",
}


def train_on_cells(lambda_adversary: float) -> Training:
    config = Config().with_changes(SETTINGS | {"cpa.lambda_adversary": lambda_adversary})
    training = Training(config, LatentExperiment().build(), 0, torch.device("cpu"))
    list(train(training))
    return training


@pytest.mark.slow
def test_the_adversary_brings_effects_into_gene_effects_and_text_tells_those_of_unseen_genes() -> None:
    training = train_on_cells(1.0)
    for split in ("train", "validation"):
        assert score(training, split) > mean_score(training, split) + 0.3
    assert score(train_on_cells(0.0), "train") < mean_score(training, "train")
