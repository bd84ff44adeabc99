from dataclasses import replace

import numpy as np
import pytest
import torch

from adapert.config import Config
from adapert.evaluation.metrics import pearson_delta
from adapert.models.reference import REFERENCE_MODELS
from adapert.training.fit import FittedAdaPert, begin_fit
from adapert.training.loop import DivergedError


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


class Broken:
    is_seeded = False

    def fit(self, dataset):
        pass

    def predict(self, perturbations):
        return np.full((len(perturbations), 12), np.inf)


def test_a_model_without_epochs_that_predicts_no_finite_numbers_has_diverged(tiny_dataset):
    fit = begin_fit(Broken(), tiny_dataset)
    with pytest.raises(DivergedError, match="Predictions must stay finite"):
        fit.step()


def test_a_model_without_epochs_reports_its_validation_means_once(tiny_dataset):
    model = REFERENCE_MODELS["ridge_both"]()
    fit = begin_fit(model, tiny_dataset)
    report = fit.step()
    table = tiny_dataset.splits["validation"].table
    expected = pearson_delta(model.predict(list(table.perturbations)), table.delta).mean()
    assert report["pearson_delta"] == report["best_pearson_delta"] == pytest.approx(expected)
    assert fit.is_over


def test_a_model_without_epochs_leaves_no_files(tiny_dataset, tmp_path):
    fit = begin_fit(REFERENCE_MODELS["mean"](), tiny_dataset)
    fit.write_checkpoint(tmp_path)
    fit.restore_checkpoint(tmp_path)
    fit.step()
    fit.write_weights(tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []
