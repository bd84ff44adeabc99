import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import TestCase

import mlflow
import numpy as np
import pandas as pd
import pytest
from fixtures.exhaustive import few_fast
from fixtures.trained import Trained

from adapert.api import predict
from adapert.data.prepared import read_prepared
from adapert.errors import InputError
from adapert.models.reference import REFERENCE_MODELS
from adapert.prediction.predictions import CONTEXT_COLUMNS, DEVICE
from adapert.prediction.tracked import keep_picked_model, predict_run
from adapert.records import PER_PERTURBATION_FILE, Tag
from adapert.results.find import open_study
from adapert.results.ledger import write_pick
from adapert.results.study import PickRecord
from adapert.study.engine.folders import PICK_FILE, study_folder
from adapert.study.engine.ledger import LEDGER_FILE
from adapert.tracking.read import open_client, study_run, tag_of
from adapert.tracking.store import ARTIFACTS, DATABASE, tracking_uri
from adapert.training.fit import FittedNetwork
from adapert.workspace.resume import sync

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.tracking import MlflowClient


@pytest.fixture(scope="module")
def genes(trained: Trained) -> list[str]:
    return list(map(str, read_prepared(trained.prepared).gene_names[:3]))


@pytest.fixture
def own(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the workspace, to be written into."""
    workspace = tmp_path / "own runs ü"
    shutil.copytree(trained.workspace, workspace)
    return workspace


def pick_model(workspace: Path, *trials: str) -> str:
    """Keep the model of a picked config; what was said of it."""
    with TestCase().assertLogs("adapert", "INFO") as logged:  # caplog is of one test, and fixtures are of all
        keep_picked_model(workspace, "forms", [f"forms/{trial}" for trial in trials])
    return " ".join(record.getMessage() for record in logged.records)


@pytest.fixture(scope="module")
def picked(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the workspace in which both seeds of a config are the picked model."""
    workspace = tmp_path_factory.mktemp("picked") / "runs"
    shutil.copytree(trained.workspace, workspace)
    before = mlflow.get_tracking_uri()
    assert "the mean of 2 fits: models:/" in pick_model(workspace, "001", "002")
    assert mlflow.get_tracking_uri() == before
    return workspace


def test_a_trial_predicts_what_it_was_scored_by(trained: Trained) -> None:
    predicted = predict_run(trained.workspace, "forms/001", ["GENE0001"])
    dataset = read_prepared(trained.prepared)
    table = dataset.splits["validation"].table
    predicted = predict_run(trained.workspace, "forms/001", list(map(str, table.perturbations)))
    assert predicted.source == "trial forms/001"
    with trained.study.file(trained.study.trial("001"), PER_PERTURBATION_FILE) as path:
        long = pd.read_parquet(path)
    tracked = long[long["metric"] == "pearson_delta"].set_index("perturbation")["value"]
    again = [
        np.corrcoef(predicted.deltas.loc[name], observed)[0, 1]
        for name, observed in zip(table.perturbations, table.delta, strict=True)
    ]
    np.testing.assert_allclose(tracked[table.perturbations.tolist()], again, atol=1e-5)


def test_a_trial_predicts_as_the_model_that_was_trained(trained: Trained, genes: list[str]) -> None:
    config = trained.study.trial("002").build_config()
    model = FittedNetwork(config, 1, DEVICE)
    model.fit(read_prepared(trained.prepared))
    asked = [genes[0], f"{genes[1]}+{genes[2]}"]
    predicted = predict_run(trained.workspace, "forms/002", asked)
    np.testing.assert_array_equal(predicted.deltas.to_numpy(), model.predict(asked))


def test_predictions_never_open_a_split(trained: Trained, genes: list[str], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(trained.prepared, bare, ignore=shutil.ignore_patterns("train", "validation", "test"))
    deltas = predict_run(trained.workspace, "forms/001", genes, data=bare).deltas
    pd.testing.assert_frame_equal(deltas, predict_run(trained.workspace, "forms/001", genes).deltas)


def test_a_reference_model_is_fitted_again(trained: Trained, genes: list[str]) -> None:
    predicted = predict_run(trained.workspace, "forms/005", genes)
    model = REFERENCE_MODELS["ridge_both"]()
    model.fit(read_prepared(trained.prepared))
    np.testing.assert_array_equal(predicted.deltas.to_numpy(), model.predict(genes))
    assert predicted.contexts.empty
    assert predicted.source == "ridge_both of trial forms/005, fitted again"


def test_a_constant_context_has_no_genes(trained: Trained, genes: list[str]) -> None:
    predicted = predict_run(trained.workspace, "forms/004", genes)
    assert list(predicted.contexts.columns) == list(CONTEXT_COLUMNS)
    assert predicted.contexts.empty


def test_a_stopped_trial_has_nothing_to_predict_with(trained: Trained, genes: list[str]) -> None:
    with pytest.raises(InputError, match=r"'forms/003' is stopped\. Name a finished one"):
        predict_run(trained.workspace, "forms/003", genes)


@pytest.mark.parametrize("reader", ["ledger", "MLflow"])
def test_the_seeds_of_a_picked_config_predict_their_mean(
    picked: Path, genes: list[str], tmp_path: Path, reader: str
) -> None:
    workspace = tmp_path / "runs"
    shutil.copytree(picked, workspace)
    if reader == "MLflow":
        shutil.rmtree(workspace / "studies")
    else:
        (workspace / DATABASE).unlink()
        shutil.rmtree(workspace / ARTIFACTS)
    ensemble = predict_run(workspace, "forms", genes)
    assert ensemble.n_models == 2
    assert ensemble.source == "the picked model of study 'forms'"
    members = [predict_run(picked, f"forms/{trial}", genes).deltas for trial in ("001", "002")]
    np.testing.assert_allclose(ensemble.deltas, (members[0] + members[1]) / 2, rtol=1e-6)


@pytest.mark.parametrize("place", [ARTIFACTS, "studies/forms/picked_model"])
def test_a_picked_model_needs_neither_the_data_nor_their_place(
    trained: Trained, picked: Path, place: str
) -> None:
    found = [
        path for path in (picked / place).rglob("*") if "picked_model" in place or "models" in path.parts
    ]
    described = "".join(path.read_text() for path in found if path.suffix in (".yaml", ".json"))
    assert "latent_size" in described
    assert str(trained.prepared) not in described
    assert not {path.name for path in found} & {"train", "validation", "test", "control_cells", "cells"}


def test_mlflow_loads_the_picked_model_by_its_address_its_study_s_run_and_its_alias(
    trained: Trained, picked: Path, genes: list[str]
) -> None:
    uri = tracking_uri(picked)
    run = study_run(uri, "forms")
    asked = [genes[0], f"{genes[1]}+{genes[2]}"]
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        addresses = (tag_of(run, Tag.PICKED_MODEL), f"runs:/{run.info.run_id}/model", "models:/forms@picked")
        models = [mlflow.pyfunc.load_model(address) for address in addresses]
    finally:
        mlflow.set_tracking_uri(before)
    expected = predict_run(picked, "forms", asked).deltas
    for model in models:
        tidy = model.predict(pd.DataFrame({"perturbation": asked}))
        assert list(tidy.columns) == model.metadata.signature.outputs.input_names()
        wide = tidy.pivot(index="perturbation", columns="gene", values="predicted_delta")
        np.testing.assert_array_equal(wide.loc[asked, expected.columns], expected)
    assert models[0].metadata.signature.inputs.input_names() == ["perturbation"]
    assert len(models[0].predict(models[0].input_example)) == 2 * len(expected.columns)


def test_the_same_trials_are_logged_once(own: Path) -> None:
    assert pick_model(own, "001", "002") == pick_model(own, "002", "001")


def models_of(workspace: Path) -> "tuple[MlflowClient, Run, list[Run]]":
    """Models of the study's run, without those that were deleted."""
    client, run = open_client(tracking_uri(workspace)), study_run(tracking_uri(workspace), "forms")
    of_run = f"source_run_id = '{run.info.run_id}'"
    return client, run, client.search_logged_models([run.info.experiment_id], of_run)


def begin_model(client: "MlflowClient", run: "Run") -> "LoggedModel":
    return client.create_logged_model(run.info.experiment_id, "model", source_run_id=run.info.run_id)


def left_begun(client: "MlflowClient", run: "Run") -> "LoggedModel":
    """A process was killed before it logged the model's files."""
    return begin_model(client, run)


def left_without_files(client: "MlflowClient", run: "Run") -> "LoggedModel":
    """A model that is there by its word alone."""
    model = begin_model(client, run)
    client.finalize_logged_model(model.model_id, "READY")
    tags = {Tag.PICKED_MODEL: f"models:/{model.model_id}", Tag.PICKED_RUNS: "forms/001"}
    for name, value in tags.items():
        client.set_tag(run.info.run_id, name, value)
    return model


@pytest.mark.parametrize("leave", [left_begun, left_without_files])
def test_a_model_that_a_killed_process_left_unfinished_is_logged_once(
    own: Path, leave: "Callable[[MlflowClient, Run], LoggedModel]"
) -> None:
    client, run, _ = models_of(own)
    left = leave(client, run)
    pick_model(own, "001")
    _, run, (model,) = models_of(own)
    assert (model.model_id == left.model_id, model.status) == (False, "READY")
    assert tag_of(run, Tag.PICKED_MODEL) == f"models:/{model.model_id}"


def test_a_model_whose_process_was_killed_before_the_run_named_it_is_taken(own: Path) -> None:
    pick_model(own, "001")
    client, run, (logged,) = models_of(own)
    for tag in (Tag.PICKED_RUNS, Tag.PICKED_MODEL):
        client.delete_tag(run.info.run_id, tag)
    pick_model(own, "001")
    _, run, (model,) = models_of(own)
    assert model.model_id == logged.model_id
    assert tag_of(run, Tag.PICKED_MODEL) == f"models:/{model.model_id}"


def test_an_earlier_pick_s_model_stays_beside_the_next_one_s(own: Path) -> None:
    pick_model(own, "001")
    pick_model(own, "001", "002")
    _, run, models = models_of(own)
    assert len(models) == 2
    assert tag_of(run, Tag.PICKED_RUNS) == "forms/001,forms/002"


def test_the_alias_is_with_the_last_pick_and_each_model_is_registered_once(own: Path) -> None:
    for trials in (("001",), ("002",), ("001",)):
        pick_model(own, *trials)
    client, run, _ = models_of(own)
    version = client.get_model_version_by_alias("forms", "picked")
    assert version.source.removesuffix("/artifacts").endswith(tag_of(run, Tag.PICKED_MODEL).partition("/")[2])
    assert (version.run_id, int(version.version)) == (run.info.run_id, 1)
    assert len(client.search_model_versions("name = 'forms'")) == 2


def test_what_is_said_of_an_earlier_pick_goes_with_its_model(own: Path) -> None:
    folder = study_folder(own, "forms")
    pick_model(own, "001")
    write_pick(folder, PickRecord("pds", ""))
    pick_model(own, "001")
    assert (folder / PICK_FILE).is_file()
    pick_model(own, "002")
    assert not (folder / PICK_FILE).exists()


def test_a_picked_config_without_a_kept_model_predicts_by_a_trial_of_its_own(
    own: Path, genes: list[str]
) -> None:
    folder = study_folder(own, "forms")
    lines = [json.loads(line) for line in (folder / LEDGER_FILE).read_text().splitlines()]
    for line in lines:
        if line["event"] == "reported":
            line["metrics"]["best_pds"] = float(line["trial"] == "001")
    (folder / LEDGER_FILE).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert open_study(own, "forms").picked is None
    assert predict("forms", genes, own).source == "ridge_both of trial forms/005, fitted again"
    write_pick(folder, PickRecord("pds"))
    assert predict("forms", genes, own).source == "trial forms/001"


def lose_store(workspace: Path, empty_database: Path) -> None:
    shutil.copyfile(empty_database, workspace / DATABASE)
    shutil.rmtree(workspace / ARTIFACTS)


def lose_artifacts(workspace: Path, _: Path) -> None:
    shutil.rmtree(workspace / ARTIFACTS)


def lose_model(workspace: Path, _: Path) -> None:
    client, _, (model,) = models_of(workspace)
    client.delete_logged_model(model.model_id)


def lose_registration(workspace: Path, _: Path) -> None:
    models_of(workspace)[0].delete_registered_model("forms")


@pytest.mark.parametrize("lose", few_fast((lose_store, lose_artifacts, lose_model, lose_registration), 1))
def test_sync_logs_a_picked_model_again_that_the_store_lost(
    own: Path, genes: list[str], lose: Callable[[Path, Path], None], empty_database: Path
) -> None:
    pick_model(own, "001", "002")
    expected = predict_run(own, "forms", genes).deltas
    lose(own, empty_database)
    for _ in range(2):
        assert sync(own, "forms") == (0, "")
    client, run, (model,) = models_of(own)
    assert model.status == "READY"
    assert tag_of(run, Tag.PICKED_MODEL) == f"models:/{model.model_id}"
    assert client.get_model_version_by_alias("forms", "picked").source == model.artifact_location
    shutil.rmtree(own / "studies")
    pd.testing.assert_frame_equal(predict_run(own, "forms", genes).deltas, expected)


def test_a_picked_model_that_is_damaged_is_told_and_keeps_nothing_else_back(
    own: Path, empty_database: Path
) -> None:
    pick_model(own, "001")
    lose_store(own, empty_database)
    (study_folder(own, "forms") / "picked_model" / "bundle.json").write_text("{")
    n_waiting, trouble = sync(own, "forms")
    assert n_waiting == 0
    assert "A model's folder must be whole, but '" in trouble
    assert study_run(tracking_uri(own), "forms").info.status == "FINISHED"


def test_a_model_is_kept_that_mlflow_does_not_take(own: Path, genes: list[str]) -> None:
    (own / DATABASE).unlink()
    assert "MLflow did not take the picked model" in pick_model(own, "001")
    assert predict_run(own, "forms", genes).source == "the picked model of study 'forms'"


@pytest.mark.parametrize(
    ("trials", "why"),
    [
        (["001", "004"], "seeds of one config, but the trials have 2 configs"),
        (["005"], "'ridge_both' has no weights to keep: 'adapert predict' fits forms/005 again."),
    ],
)
def test_an_earlier_pick_s_model_is_not_kept_where_the_pick_has_none(
    own: Path, genes: list[str], trials: list[str], why: str
) -> None:
    pick_model(own, "001")
    assert why in pick_model(own, *trials)
    assert predict_run(own, "forms", genes).source.startswith(("trial", "ridge"))
    assert tag_of(study_run(tracking_uri(own), "forms"), Tag.PICKED_MODEL) == ""
