import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from fixtures.dataset import build_tiny_dataset
from safetensors.torch import load_file

from adapert.config import Config
from adapert.data.prepared import read_prepared, write_prepared
from adapert.evaluation.evaluate import evaluate
from adapert.evaluation.metrics import pearson_delta
from adapert.models.reference import REFERENCE_MODELS
from adapert.records import IS_OVER, LONG_COLUMNS, OBJECTIVE, PER_PERTURBATION_FILE, WEIGHTS_FILE
from adapert.seeding import numpy_generator
from adapert.study.events import REPORTED
from adapert.trainable import TrialTrainable, trial_config
from adapert.training.loop import train
from adapert.training.state import Training

SMALL = {
    "model.structural_size": 8,
    "model.latent_size": 8,
    "model.hidden_size": 16,
    "model.score_size": 6,
    "training.minibatch_size": 3,
    "training.max_epochs": 4,
}


@pytest.fixture(autouse=True)
def no_folder_at_home(tmp_path, monkeypatch):
    """Without Tune around it, Ray gives every Trainable a folder below the home directory."""
    monkeypatch.setattr("ray.tune.trainable.trainable.DEFAULT_STORAGE_PATH", str(tmp_path))


@pytest.fixture
def prepared(tmp_path):
    path = tmp_path / "prepared"
    write_prepared(build_tiny_dataset(), path)
    return path


@pytest.fixture
def settings(tmp_path, prepared):
    """What Tune hands to a trial, with changes."""

    def make(changes=None, seed=0, path=prepared, **suggested):
        return {
            "base": Config().with_changes(SMALL | {"data.path": str(path)}).flat(),
            "study": "try",
            "trial_folder": str(tmp_path / "trials"),
            "device": "cpu",
            "n_threads": 1,
            "assignment": {"variant": "full", "seed": seed, "changes": changes or {}},
            **suggested,
        }

    return make


def reports_of(trainable, n_epochs=4):
    return [values_of(trainable.train()) for _ in range(n_epochs)]


def values_of(report):
    kept = ("epoch", IS_OVER, "done", "learning_rate", "n_selected", "context_effective_rank")
    return {
        name: value
        for name, value in report.items()
        if name in kept or name.startswith(("loss_", "best_", "pearson", "pds", "rank_", "mse"))
    }


def test_a_config_is_base_then_assignment_then_suggestion(settings):
    made = settings({"model.tau": 0.5, "model.dropout": 0.2}, seed=3, **{"model.tau": 0.25})
    config, variant, seed = trial_config(made)
    assert (config.model.tau, config.model.dropout, config.model.hidden_size) == (0.25, 0.2, 16)
    assert (variant, seed) == ("full", 3)


def test_suggestions_are_rounded_to_what_people_can_read(settings):
    suggested = {"model.tau": 1.23456789, "loss.lambda_non": 9.08315195914e-05, "graph.top_k": 50}
    config, _, _ = trial_config(settings(**suggested))
    assert (config.model.tau, config.loss.lambda_non, config.graph.top_k) == (1.235, 9.083e-05, 50)


def test_reports_are_those_of_the_training_loop(settings, prepared):
    trainable = TrialTrainable(config=settings(seed=2))
    config, _, _ = trial_config(settings())
    training = Training(config, read_prepared(prepared), 2, torch.device("cpu"))
    for report in train(training):
        expected = {name: value for name, value in report.flat().items() if name != "seconds"}
        reported = trainable.train()
        assert {name: reported[name] for name in expected} == expected


def test_the_last_epoch_says_that_the_trial_is_over(settings):
    reports = reports_of(TrialTrainable(config=settings()))
    assert [report["epoch"] for report in reports] == [1, 2, 3, 4]
    assert [report[IS_OVER] for report in reports] == [False, False, False, True]
    assert [report["done"] for report in reports] == [False, False, False, True]


def test_a_reused_actor_equals_a_fresh_one_bit_for_bit(settings):
    reused = TrialTrainable(config=settings({"model.hidden_size": 8}, seed=5))
    reports_of(reused, 2)  # left in the middle, as a stopped trial is
    assert reused.reset(settings({"model.dropout": 0.3}, seed=1))
    fresh = TrialTrainable(config=settings({"model.dropout": 0.3}, seed=1))
    assert reports_of(reused) == reports_of(fresh)
    for name, value in fresh._model.training.model.state_dict().items():
        assert torch.equal(reused._model.training.model.state_dict()[name], value)


def test_a_reused_actor_reads_another_data_set_where_the_config_names_one(settings, tmp_path):
    other = tmp_path / "other"
    write_prepared(build_tiny_dataset(seed=1), other)
    reused = TrialTrainable(config=settings())
    reused.reset(settings(path=other))
    assert reports_of(reused) == reports_of(TrialTrainable(config=settings(path=other)))


@pytest.mark.parametrize("control", ["mean", "cell"])
def test_a_restored_trial_goes_on_like_an_unbroken_one(settings, tmp_path, control):
    made = settings({"data.control": control, "model.dropout": 0.3})
    unbroken = reports_of(TrialTrainable(config=made))
    first = TrialTrainable(config=made)
    assert reports_of(first, 2) == unbroken[:2]
    first.save(str(tmp_path / "checkpoint"))
    second = TrialTrainable(config=made)
    second.restore(str(tmp_path / "checkpoint"))
    assert reports_of(second, 2) == unbroken[2:]


def finished(settings, tmp_path, **options):
    trainable = TrialTrainable(config=settings(**options))
    reports = reports_of(trainable)
    return reports[-1], tmp_path / "trials" / trainable.trial_id


def test_nothing_is_left_before_the_trial_is_over(settings, tmp_path):
    reports_of(TrialTrainable(config=settings()), 3)
    assert not (tmp_path / "trials").exists()


def test_the_long_table_has_a_row_a_validation_perturbation_and_metric(settings, tmp_path, prepared):
    _, folder = finished(settings, tmp_path, seed=2)
    long = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    table = read_prepared(prepared).splits["validation"].table
    assert tuple(long.columns) == LONG_COLUMNS
    assert set(long["metric"]) >= {"pearson_delta", "pds", "rank_overlap_at_50", "mse", "overlap_at_50"}
    assert (long.groupby("metric").size() == len(table.perturbations)).all()
    one = long[long["metric"] == "pds"]
    assert one["perturbation"].tolist() == table.perturbations.tolist()
    assert one["n_cells"].tolist() == table.n_cells.tolist()
    assert one["n_degs"].tolist() == table.n_degs.tolist()
    assert one["effect_size"].tolist() == table.effect_size.tolist()
    identity = one[["study", "variant", "config_digest", "seed", "split_seed", "split"]].drop_duplicates()
    digest = trial_config(settings())[0].digest()
    assert identity.to_numpy().tolist() == [["try", "full", digest, 2, 0, "validation"]]


OVERSHOOT = {"training.learning_rate": 0.1}
"""The best epoch is not the last."""


def test_the_long_table_s_values_are_the_best_epoch_s(settings, tmp_path, prepared):
    report, folder = finished(settings, tmp_path, changes=OVERSHOOT)
    assert report["best_epoch"] < report["epoch"]
    long = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    training, table = reloaded(settings, folder, prepared)
    predicted = training.predict(list(table.perturbations))
    generator = numpy_generator(0, "emission")
    direct = evaluate(predicted, training.dataset, "validation", generator=generator).per_perturbation
    for metric, values in direct.items():
        np.testing.assert_array_equal(long.loc[long["metric"] == metric, "value"], values)


def test_means_of_the_last_evaluation_are_reported_with_the_last_epoch(settings, tmp_path):
    report, folder = finished(settings, tmp_path)
    long = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    for metric in ("retrieval", "overlap_at_50"):
        expected = long.loc[long["metric"] == metric, "value"].mean()
        assert report[f"best_{metric}"] == pytest.approx(expected)
    assert set(report) <= {"done", *REPORTED} | {IS_OVER}


def test_the_weights_give_the_best_pearson_delta_again(settings, tmp_path, prepared):
    report, folder = finished(settings, tmp_path, changes=OVERSHOOT)
    training, table = reloaded(settings, folder, prepared)
    again = pearson_delta(training.predict(list(table.perturbations)), table.delta)
    assert np.nanmean(again) == report[OBJECTIVE]


def reloaded(settings, folder, prepared):
    """Build the model anew, in another seed's state, and load what the trial left."""
    dataset = read_prepared(prepared)
    training = Training(trial_config(settings())[0], dataset, 99, torch.device("cpu"))
    training.model.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return training, dataset.splits["validation"].table


def test_a_trial_holds_no_test_split(settings):
    trainable = TrialTrainable(config=settings())
    trainable.train()
    assert set(trainable._dataset.splits) == {"train", "validation"}


def remove(folder):
    shutil.rmtree(folder)


def spoil(folder):
    for file in folder.rglob("*.npy"):
        file.write_bytes(b"\x93NUMPY garbage")


def replace_by_other_numbers(folder):
    delta = np.load(folder / "delta.npy")
    np.save(folder / "delta.npy", np.random.default_rng(0).normal(size=delta.shape).astype(delta.dtype))


@pytest.mark.parametrize("change", [remove, spoil, replace_by_other_numbers])
def test_nothing_of_a_trial_depends_on_the_test_split(settings, tmp_path, prepared, change):
    expected, folder = finished(settings, tmp_path)
    table = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    shutil.rmtree(folder)
    change(prepared / "test")
    changed, folder = finished(settings, tmp_path)
    assert changed == expected
    pd.testing.assert_frame_equal(pd.read_parquet(folder / PER_PERTURBATION_FILE), table)


def test_what_a_config_amounts_to_is_reported_once(settings):
    trainable = TrialTrainable(config=settings({"loss.lambda_non": 0.5}))
    first, second = trainable.train(), trainable.train()
    assert first["non_deg_shrinkage"] == pytest.approx(1 / (1 + 0.5 * 12 / 2))
    assert first["resolved_huber_delta"] > 0
    assert "resolved_huber_delta" not in second


def test_an_error_in_building_a_model_comes_with_the_first_step(settings):
    trainable = TrialTrainable(config=settings({"model.hidden_size": 10**10}))
    with pytest.raises(RuntimeError, match="allocate"):
        trainable.step()
    trainable.reset_config(settings())
    assert trainable.step()["epoch"] == 1


def test_a_trial_of_a_reference_model_is_one_epoch_with_its_own_table(settings, tmp_path, prepared):
    trainable = TrialTrainable(config=settings({"model.name": "ridge_both"}))
    (report,) = reports_of(trainable, 1)
    assert (report["epoch"], report[IS_OVER], report["done"]) == (1, True, True)
    folder = tmp_path / "trials" / trainable.trial_id
    long = pd.read_parquet(folder / PER_PERTURBATION_FILE)
    model = REFERENCE_MODELS["ridge_both"]()
    model.fit(read_prepared(prepared))
    table = read_prepared(prepared).splits["validation"].table
    expected = pearson_delta(model.predict(list(table.perturbations)), table.delta)
    np.testing.assert_allclose(long.loc[long["metric"] == "pearson_delta", "value"], expected, atol=1e-6)
    assert report[OBJECTIVE] == expected.mean()
    assert not (folder / WEIGHTS_FILE).exists()


def test_an_actor_goes_from_one_model_to_another(settings):
    trainable = TrialTrainable(config=settings({"model.name": "control"}))
    reports_of(trainable, 1)
    trainable.reset(settings())
    assert reports_of(trainable) == reports_of(TrialTrainable(config=settings()))
