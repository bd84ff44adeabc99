"""The model of a picked config in MLflow: a pyfunc of its study's run, whole, once, and registered.

A model's tags name its trials, so that one that a killed process had logged, but not yet named with its
study's run, is found again; one without its files, or not logged to its end, is deleted.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from adapert.prediction.bundle import BUNDLE_FILE, Bundle, read_bundle, write_bundle
from adapert.records import Tag
from adapert.results.tracked import MODELS
from adapert.tracking.read import tag_of
from adapert.tracking.store import quiet_mlflow

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.tracking import MlflowClient

MODEL_NAME = "model"
"""Name of the picked model among its run's models: ``runs:/RUN/model``."""

ALIAS = "picked"
"""Of the registered model of a study's name: ``models:/STUDY@picked``."""

_READY, _DESCRIPTION = "READY", "MLmodel"


def log_model(client: "MlflowClient", run: "Run", bundle: Bundle) -> str:
    """Log a bundle as the model of its study's run, unless the run has it.

    Returns:
        The model's address: ``mlflow.pyfunc.load_model`` takes it once the tracking address is set.
    """
    names = _join(member.run for member in bundle.members)
    whole = [model for model in _whole_models(client, run) if _is_of(model, run, names)]
    model_id = whole[0].model_id if whole else _log(client, run, bundle, names)
    address = f"{MODELS}{model_id}"
    client.set_tag(run.info.run_id, Tag.PICKED_MODEL, address)
    client.set_tag(run.info.run_id, Tag.PICKED_RUNS, names)
    _register(client, run, model_id)
    return address


class PickedModels:
    """Compares the picked model of a study's folder with MLflow's, as `adapert.tracking.mirror` asks."""

    def has(self, client: "MlflowClient", run: "Run", folder: Path) -> bool:
        """Whether a study's run names the model of a bundle, and MLflow has all of it."""
        try:
            described = json.loads((folder / BUNDLE_FILE).read_text(encoding="utf-8"))
            names = _join(member["run"] for member in described["members"])
        except (OSError, ValueError, KeyError, TypeError):
            return False  # `log` will say what is wrong
        address = tag_of(run, Tag.PICKED_MODEL)
        if tag_of(run, Tag.PICKED_RUNS) != names or not address:
            return False
        places = {
            model.model_id: model.artifact_location
            for model in _models(client, run)
            if _is_whole(client, model)
        }
        place = places.get(address.removeprefix(MODELS))
        return place is not None and _version_at(client, tag_of(run, Tag.STUDY), place) is not None

    def log(self, client: "MlflowClient", run_id: str, folder: Path) -> None:
        """Log the bundle in a folder as the model of a study's run.

        Raises:
            InputError: A damaged bundle.
        """
        log_model(client, client.get_run(run_id), read_bundle(folder))


def _join(runs: Iterator[str]) -> str:
    return ",".join(sorted(runs))


def _models(client: "MlflowClient", run: "Run") -> "list[LoggedModel]":
    of_run = f"source_run_id = '{run.info.run_id}'"
    return list(client.search_logged_models([run.info.experiment_id], of_run))


def _whole_models(client: "MlflowClient", run: "Run") -> "list[LoggedModel]":
    """List a run's models, deleting those that a killed process left unfinished or whose files are lost."""
    whole = []
    for model in _models(client, run):
        if _is_whole(client, model):
            whole.append(model)
        else:
            client.delete_logged_model(model.model_id)
    return whole


def _is_whole(client: "MlflowClient", model: "LoggedModel") -> bool:
    if model.status != _READY:
        return False
    return _DESCRIPTION in {file.path for file in client.list_logged_model_artifacts(model.model_id)}


def _is_of(model: "LoggedModel", run: "Run", names: str) -> bool:
    is_named = f"{MODELS}{model.model_id}" == tag_of(run, Tag.PICKED_MODEL)
    return names in (model.tags.get(Tag.PICKED_RUNS), tag_of(run, Tag.PICKED_RUNS) if is_named else "")


def _register(client: "MlflowClient", run: "Run", model_id: str) -> None:
    """Give a model a version of its study's registered model, unless it has one, and the alias."""
    from mlflow.exceptions import MlflowException

    name = tag_of(run, Tag.STUDY)
    # Not the model's address, which MLflow would look for in the store of its global state.
    place = client.get_logged_model(model_id).artifact_location
    version = _version_at(client, name, place)
    if version is None:
        try:
            client.create_registered_model(name, description=f"Models picked from study '{name}'.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = client.create_model_version(name, place, run.info.run_id, model_id=model_id)
        version = str(made.version)
    client.set_registered_model_alias(name, ALIAS, version)


def _version_at(client: "MlflowClient", name: str, place: str) -> str | None:
    """The version of a registered model whose files are at a place; another workspace may have others."""
    versions = client.search_model_versions(f"name = '{name}'")
    return next((str(version.version) for version in versions if version.source == place), None)


def _log(client: "MlflowClient", run: "Run", bundle: Bundle, names: str) -> str:
    """Log a model by an explicit client: `mlflow.pyfunc.log_model` takes the store from global state."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models.model import Model

    from adapert.prediction.served import BUNDLE_NAME, save_served

    quiet_mlflow()
    first, second = (str(name) for name in bundle.shared.node_names[:2])
    with TemporaryDirectory() as folder:
        write_bundle(bundle, Path(folder) / BUNDLE_NAME)
        logged = client.create_logged_model(
            run.info.experiment_id,
            name=MODEL_NAME,
            source_run_id=run.info.run_id,
            tags={Tag.PICKED_RUNS: names},
            model_type="adapert",
        )
        described = Model(
            artifact_path=logged.artifact_location, run_id=run.info.run_id, model_id=logged.model_id
        )
        save_served(
            Path(folder) / BUNDLE_NAME, [first, f"{first}+{second}"], Path(folder) / MODEL_NAME, described
        )
        client.log_model_artifacts(logged.model_id, str(Path(folder) / MODEL_NAME))
    # The output first: a model that is ready is never without its run.
    client.log_outputs(run.info.run_id, models=[LoggedModelOutput(logged.model_id, step=0)])
    client.finalize_logged_model(logged.model_id, _READY)
    return str(logged.model_id)
