"""Simulated shifts of latents, predicted of perturbations that training has and of others."""

import torch
from fixtures.latent_experiment import LatentExperiment, mean_score, score

from adapert.config import Config
from adapert.training.loop import train
from adapert.training.state import Training

SETTINGS = {
    "model.name": "scvi",
    "scvi.hidden_size": 32,
    "scvi.dropout": 0.0,
    "scvi.beta": 0.1,
    "scvi.unseen": "text",
    "training.learning_rate": 0.02,
    "training.max_epochs": 15,
    "training.kept_epoch": "last",
}


def test_shifts_of_training_and_by_text_of_unseen_perturbations_are_predicted() -> None:
    training = Training(Config().with_changes(SETTINGS), LatentExperiment().build(), 0, torch.device("cpu"))
    list(train(training))
    for split in ("train", "validation"):
        assert score(training, split) > mean_score(training, split) + 0.4
