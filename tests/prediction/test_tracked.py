import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest

from adapert.data.prepared import read_prepared
from adapert.errors import InputError
from adapert.models.reference import REFERENCE_MODELS
from adapert.prediction.bundle import DEVICE
from adapert.prediction.predictions import CONTEXT_COLUMNS
from adapert.prediction.tracked import bundle_runs, log_picked_model, picked_model, predict_run
from adapert.records import PER_PERTURBATION_FILE
from adapert.tracking.find import find_trial
from adapert.tracking.store import ARTIFACTS, DATABASE, open_store
from adapert.training.fit import FittedAdaPert


@pytest.fixture(scope="module")
def genes(trained):
    return list(map(str, read_prepared(trained.prepared).gene_names[:3]))


@pytest.fixture(scope="module")
def picked(trained, tmp_path_factory):
    """A copy of the workspace in which both seeds of a config are the picked model; its address."""
    client, _ = open_store(trained.workspace)
    runs = [find_trial(trained.uri, f"forms/{trial}").info.run_id for trial in ("001", "002")]
    before = mlflow.get_tracking_uri()
    address = log_picked_model(trained.uri, runs)
    assert mlflow.get_tracking_uri() == before
    yield address, runs
    study = client.get_run(client.get_run(runs[0]).data.tags["mlflow.parentRunId"])
    for tag in ("adapert.picked_model", "adapert.picked_runs"):
        client.delete_tag(study.info.run_id, tag)


def test_a_trial_predicts_what_it_was_scored_by(trained):
    predicted = predict_run(trained.workspace, "forms/001", ["GENE0001"])
    dataset = read_prepared(trained.prepared)
    table = dataset.splits["validation"].table
    predicted = predict_run(trained.workspace, "forms/001", list(map(str, table.perturbations)))
    assert predicted.source == "trial forms/001"
    client, _ = open_store(trained.workspace)
    run = find_trial(trained.uri, "forms/001").info.run_id
    long = pd.read_parquet(client.download_artifacts(run, PER_PERTURBATION_FILE))
    tracked = long[long["metric"] == "pearson_delta"].set_index("perturbation")["value"]
    again = [
        np.corrcoef(predicted.deltas.loc[name], observed)[0, 1]
        for name, observed in zip(table.perturbations, table.delta, strict=True)
    ]
    np.testing.assert_allclose(tracked[table.perturbations], again, atol=1e-5)


def test_a_trial_predicts_as_the_model_that_was_trained(trained, genes):
    run = find_trial(trained.uri, "forms/002")
    config = bundle_runs(trained.uri, [run]).config
    model = FittedAdaPert(config, 1, DEVICE)
    model.fit(read_prepared(trained.prepared))
    asked = [genes[0], f"{genes[1]}+{genes[2]}"]
    predicted = predict_run(trained.workspace, "forms/002", asked)
    np.testing.assert_array_equal(predicted.deltas.to_numpy(), model.predict(asked))


def test_predictions_never_open_a_split(trained, genes, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(trained.prepared, bare, ignore=shutil.ignore_patterns("train", "validation", "test"))
    deltas = predict_run(trained.workspace, "forms/001", genes, data=bare).deltas
    pd.testing.assert_frame_equal(deltas, predict_run(trained.workspace, "forms/001", genes).deltas)


def test_a_reference_model_is_fitted_again(trained, genes):
    predicted = predict_run(trained.workspace, "forms/005", genes)
    model = REFERENCE_MODELS["ridge_both"]()
    model.fit(read_prepared(trained.prepared))
    np.testing.assert_array_equal(predicted.deltas.to_numpy(), model.predict(genes))
    assert predicted.contexts.empty
    assert predicted.source == "ridge_both of trial forms/005, fitted again"


def test_a_constant_context_has_no_genes(trained, genes):
    predicted = predict_run(trained.workspace, "forms/004", genes)
    assert list(predicted.contexts.columns) == list(CONTEXT_COLUMNS)
    assert predicted.contexts.empty


def test_a_stopped_trial_has_nothing_to_predict_with(trained, genes):
    with pytest.raises(InputError, match=r"'forms/003' is stopped\. Name a finished one"):
        predict_run(trained.workspace, "forms/003", genes)


def test_the_seeds_of_a_picked_config_predict_their_mean(trained, picked, genes):
    address, _ = picked
    assert picked_model(trained.uri, "forms") == address
    ensemble = predict_run(trained.workspace, "forms", genes)
    assert ensemble.n_models == 2
    assert ensemble.source == "the picked model of study 'forms'"
    members = [predict_run(trained.workspace, f"forms/{trial}", genes).deltas for trial in ("001", "002")]
    np.testing.assert_allclose(ensemble.deltas, (members[0] + members[1]) / 2, rtol=1e-6)


def test_a_picked_model_needs_neither_the_data_nor_their_place(trained, picked, genes, tmp_path):
    folder = trained.workspace / ARTIFACTS / "models"
    described = "".join(path.read_text() for path in folder.rglob("*") if path.suffix in (".yaml", ".json"))
    assert str(trained.prepared) not in described
    names = {path.name for path in folder.rglob("*")}
    assert not names & {"train", "validation", "test", "control_cells", "cells"}


def test_mlflow_loads_the_picked_model_by_its_address_and_by_its_run(trained, picked, genes, monkeypatch):
    address, runs = picked
    asked = [genes[0], f"{genes[1]}+{genes[2]}"]
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(trained.uri)
    try:
        models = [mlflow.pyfunc.load_model(uri) for uri in (address, f"runs:/{runs[0]}/model")]
    finally:
        mlflow.set_tracking_uri(before)
    expected = predict_run(trained.workspace, "forms", asked).deltas
    for model in models:
        tidy = model.predict(pd.DataFrame({"perturbation": asked}))
        assert list(tidy.columns) == model.metadata.signature.outputs.input_names()
        wide = tidy.pivot(index="perturbation", columns="gene", values="predicted_delta")
        np.testing.assert_array_equal(wide.loc[asked, expected.columns], expected)
    assert models[0].metadata.signature.inputs.input_names() == ["perturbation"]
    assert len(models[0].predict(models[0].input_example)) == 2 * len(expected.columns)


def test_the_same_runs_are_logged_once(trained, picked):
    address, runs = picked
    assert log_picked_model(trained.uri, runs[::-1]) == address
    assert (trained.workspace / DATABASE).is_file()


def test_an_ensemble_is_of_one_config(trained):
    runs = [find_trial(trained.uri, f"forms/{trial}").info.run_id for trial in ("001", "004")]
    with pytest.raises(InputError, match="of one config's seeds, but the runs are of 2 configs"):
        log_picked_model(trained.uri, runs)


def test_a_reference_model_is_not_logged(trained):
    run = find_trial(trained.uri, "forms/005").info.run_id
    with pytest.raises(InputError, match="'forms/005' is of the reference model 'ridge_both'"):
        log_picked_model(trained.uri, [run])


def test_a_model_is_made_of_runs(trained):
    with pytest.raises(InputError, match="no run was given"):
        log_picked_model(trained.uri, [])
