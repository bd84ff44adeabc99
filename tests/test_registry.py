"""What holds for every model that a config can name."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from fixtures.configs import SMALL_ADAPERT
from fixtures.dataset import build_tiny_dataset, hold_out_combinations, without_test
from fixtures.exhaustive import few_fast

from adapert.config import Config, ModelName
from adapert.data.prepared import PreparedDataset
from adapert.data.regroup import join_splits, redraw
from adapert.models.networks import NETWORKS
from adapert.models.protocol import PerturbationModel, TrainedInEpochs
from adapert.prediction.bundle import Bundle, Member, read_bundle, read_weights, write_bundle
from adapert.prediction.predictions import predict_bundle
from adapert.registry import MODELS, build_model
from adapert.study.engine.reports import values_of
from adapert.training.fit import begin_fit
from adapert.training.loop import train_epoch
from adapert.training.state import Training

SMALL = SMALL_ADAPERT | {
    "txpert.size": 8,
    "txpert.latent_size": 8,
    "txpert.hidden_size": 16,
    "app.size": 8,
    "app.score_size": 6,
    "gears.size": 8,
    "perturbed_vae.hidden_size": 16,
    "perturbed_vae.spectral_size": 4,
    "scvi.hidden_size": 16,
    "cpa.hidden_size": 16,
    "state.hidden_size": 8,
    "state.n_heads": 2,
    "state.set_size": 8,
    "morph.hidden_size": 8,
    "morph.set_size": 4,
    "training.minibatch_size": 3,
    "training.max_epochs": 2,
}
REPORTED = {
    "epoch",
    "seconds",
    "pearson_delta",
    "pds",
    "rank_overlap_at_50",
    "mse",
    "best_epoch",
    "best_pearson_delta",
    "best_pds",
    "best_rank_overlap_at_50",
    "best_mse",
}

ASKED = ["G00", "G14", "G00+G03"]

every_model = pytest.mark.parametrize("name", few_fast(MODELS, 7))
every_network = pytest.mark.parametrize("name", few_fast(NETWORKS, 4))


@pytest.fixture
def dataset() -> PreparedDataset:
    return without_test(build_tiny_dataset())


def config_of(name: str) -> Config:
    config = Config().with_changes(SMALL | {"model.name": name})
    # Several times as many rows as perturbations.
    return config.with_changes({"training.minibatch_size": 16}) if config.reads_training_cells else config


def build(name: str, seed: int = 0) -> PerturbationModel:
    return build_model(config_of(name), seed, torch.device("cpu"))


def test_a_config_can_name_every_model_and_no_other() -> None:
    assert tuple(MODELS) == get_args(ModelName)


@every_model
def test_a_model_reports_each_epoch_and_then_predicts(dataset: PreparedDataset, name: str) -> None:
    model = build(name)
    fit = begin_fit(model, dataset)
    n_epochs = 0
    while not fit.is_over:
        n_epochs += 1
        report = fit.step()
        assert set(report) >= REPORTED
        assert values_of(report).keys() == report.keys(), "the ledger keeps it all"
        assert report["epoch"] == n_epochs
    fit.finish()
    assert n_epochs == (2 if isinstance(model, TrainedInEpochs) else 1)
    predicted = model.predict(["G00", "G14", "G00+G03"])
    assert predicted.shape == (3, dataset.n_genes)
    assert np.isfinite(predicted).all()


@every_model
def test_a_fit_at_once_equals_one_in_steps(dataset: PreparedDataset, name: str) -> None:
    at_once, in_steps = build(name), build(name)
    at_once.fit(dataset)
    fit = begin_fit(in_steps, dataset)
    while not fit.is_over:
        fit.step()
    fit.finish()
    np.testing.assert_array_equal(at_once.predict(["G00", "G02"]), in_steps.predict(["G00", "G02"]))


def with_joined_training(dataset: PreparedDataset) -> PreparedDataset:
    joined = join_splits(dataset.splits["train"], dataset.splits["validation"])
    return replace(dataset, splits={"train": joined})


@every_model
def test_a_refit_learns_from_what_was_validation_before(dataset: PreparedDataset, name: str) -> None:
    model = build(name)
    model.fit(dataset)
    before = model.predict(["G00", "G14", "G00+G03"])
    model.refit(with_joined_training(dataset))
    after = model.predict(["G00", "G14", "G00+G03"])
    assert np.isfinite(after).all()
    assert np.array_equal(before, after) == (name == "control")


@every_model
def test_a_refit_on_the_same_perturbations_keeps_what_was_chosen(dataset: PreparedDataset, name: str) -> None:
    model = build(name)
    model.fit(dataset)
    before, chosen = model.predict(["G00", "G14"]), model.chosen()
    model.refit(replace(dataset, splits={"train": dataset.splits["train"]}))
    np.testing.assert_array_equal(before, model.predict(["G00", "G14"]))
    assert model.chosen() == chosen


@every_model
def test_another_seed_changes_the_fit_of_seeded_models_alone(dataset: PreparedDataset, name: str) -> None:
    first, second = build(name, seed=0), build(name, seed=1)
    first.fit(dataset)
    second.fit(dataset)
    is_same = np.array_equal(first.predict(["G00", "G02"]), second.predict(["G00", "G02"]))
    assert is_same != first.is_seeded


@every_network
def test_a_network_that_is_stopped_and_restored_ends_as_one_that_is_not(
    dataset: PreparedDataset, tmp_path: Path, name: str
) -> None:
    unbroken, stopped, restored = build(name), build(name), build(name)
    unbroken.fit(dataset)
    fit = begin_fit(stopped, dataset)
    fit.step()
    fit.write_checkpoint(tmp_path)
    fit = begin_fit(restored, dataset)
    fit.restore_checkpoint(tmp_path)
    fit.step()
    assert fit.is_over
    fit.finish()
    np.testing.assert_array_equal(restored.predict(ASKED), unbroken.predict(ASKED))


@every_network
def test_kept_weights_predict_as_the_trained_network_without_any_split(
    dataset: PreparedDataset, tmp_path: Path, name: str
) -> None:
    model = build(name)
    fit = begin_fit(model, dataset)
    while not fit.is_over:
        fit.step()
    fit.finish()
    fit.write_weights(tmp_path / "weights.safetensors")
    weights = read_weights(tmp_path / "weights.safetensors")
    write_bundle(Bundle(config_of(name), dataset.shared, [Member("r", 0, weights)]), tmp_path / "bundle")
    predicted = predict_bundle(read_bundle(tmp_path / "bundle"), ASKED)
    np.testing.assert_array_equal(predicted.deltas, model.predict(ASKED))


@every_model
def test_a_model_learns_from_single_genes_what_they_do_together(name: str) -> None:
    dataset = hold_out_combinations()
    model = build(name)
    model.fit(without_test(dataset))
    asked = dataset.splits["test"].table.perturbations.tolist()
    predicted = model.predict(asked)
    assert predicted.shape == (1, dataset.n_genes)
    assert np.isfinite(predicted).all()
    swapped = ["+".join(reversed(name.split("+"))) for name in asked]
    np.testing.assert_allclose(model.predict(swapped), predicted, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_trains_where_its_split_is_drawn_again(dataset: PreparedDataset, name: str) -> None:
    config = config_of(name).with_changes({"data.split_seed": 1})
    redrawn = redraw(dataset, config.data.split_seed, config.reads_training_cells)
    training = Training(config, redrawn, 0, torch.device("cpu"))
    assert np.isfinite(train_epoch(training)[0]["loss_total"])
