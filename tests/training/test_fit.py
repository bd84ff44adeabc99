from dataclasses import replace

import numpy as np
import pytest
import torch

from adapert.config import Config
from adapert.evaluation.metrics import pearson_delta
from adapert.training.fit import FittedAdaPert


def test_fitted_model_predicts_with_its_best_epochs_weights(tiny_dataset, small_settings):
    config = Config().with_changes(
        small_settings | {"training.max_epochs": 12, "training.learning_rate": 0.05}
    )
    model = FittedAdaPert(config, 0, torch.device("cpu"))
    model.fit(replace(tiny_dataset, splits={k: tiny_dataset.splits[k] for k in ("train", "validation")}))
    validation = tiny_dataset.splits["validation"].table
    assert model.training.best.epoch < model.training.epoch
    scores = pearson_delta(model.predict(list(validation.perturbations)), validation.delta)
    assert scores.mean() == pytest.approx(model.training.best.pearson_delta, abs=1e-12)


def test_fitted_model_predicts_unseen_perturbations(tiny_dataset, small_settings):
    model = FittedAdaPert(Config().with_changes(small_settings), 0, torch.device("cpu"))
    model.fit(tiny_dataset)
    unseen = list(tiny_dataset.splits["test"].table.perturbations)
    predicted = model.predict(unseen)
    assert predicted.shape == (3, tiny_dataset.n_genes)
    assert np.isfinite(predicted).all()
