"""Simulated shifts of latents, predicted of perturbations that training has and of others."""

import numpy as np
import torch
from fixtures.latent_experiment import LatentExperiment

from adapert.config import Config
from adapert.evaluation.metrics import pearson_delta
from adapert.training.loop import train
from adapert.training.state import Training

SETTINGS = {
    "model.name": "scvi",
    "scvi.hidden_size": 32,
    "scvi.dropout": 0.0,
    "scvi.beta": 0.1,
    "training.learning_rate": 0.02,
    "training.max_epochs": 15,
    "training.kept_epoch": "last",
}


def train_on_cells(unseen: str) -> Training:
    config = Config().with_changes(SETTINGS | {"scvi.unseen": unseen})
    training = Training(config, LatentExperiment().build(), 0, torch.device("cpu"))
    list(train(training))
    return training


def score(training: Training, split: str) -> float:
    table = training.dataset.splits[split].table  # type: ignore[index]
    return float(pearson_delta(training.predict(table.perturbations.tolist()), table.delta).mean())


def mean_score(training: Training, split: str) -> float:
    mean = training.dataset.splits["train"].table.delta.mean(axis=0)
    table = training.dataset.splits[split].table  # type: ignore[index]
    return float(pearson_delta(np.tile(mean, (len(table.delta), 1)), table.delta).mean())


def test_with_text_unseen_perturbations_are_told_apart_and_without_it_only_those_of_training() -> None:
    informed, blind = train_on_cells("text"), train_on_cells("mean")
    assert score(blind, "train") > mean_score(blind, "train") + 0.4
    assert score(informed, "validation") > mean_score(informed, "validation") + 0.4
    validation = informed.dataset.splits["validation"].table.perturbations.tolist()
    assert np.ptp(blind.predict(validation), axis=0).max() < 1e-6 < np.ptp(informed.predict(validation))
