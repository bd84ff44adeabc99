"""Predictions from what MLflow tracks: a study's picked model, or one trial's weights."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd
from safetensors.torch import load_file

from adapert.config import Config
from adapert.data.prepared import SharedTable, read_prepared
from adapert.data.regroup import redraw
from adapert.errors import InputError
from adapert.prediction.bundle import BUNDLE_FILE, DEVICE, Bundle, Member, read_bundle, write_bundle
from adapert.prediction.genes import check_perturbations
from adapert.prediction.predictions import CONTEXT_COLUMNS, EDGE_COLUMNS, Predictions, predict_bundle
from adapert.prediction.served import BUNDLE_NAME, save_served
from adapert.records import WEIGHTS_FILE, Tag
from adapert.registry import build_model
from adapert.tracking.artifacts import artifact, downloaded
from adapert.tracking.find import find_trial, is_finished, is_study_name, name_of
from adapert.tracking.inputs import find_data, read_run_config
from adapert.tracking.read import open_client, study_run, tag_of
from adapert.tracking.store import quiet_mlflow, tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run

MODELS = "models:/"
"""Addresses of logged models begin so."""

MODEL_NAME = "model"
"""Of the picked model among its run's models: ``runs:/RUN/model``."""


def predict_run(
    workspace: Path, run: str, perturbations: Sequence[str], data: Path | None = None
) -> Predictions:
    """Predict perturbations by a tracked model; no split's observed expression is read.

    Args:
        workspace: Where the study lies.
        run: A trial's run id, ``"search/007"``, or a study's name: its picked model where `pick` logged one,
            else its best finished trial.
        perturbations: Genes, or genes joined by ``+``.
        data: Prepared data set of the trial, where it no longer lies where it was; a picked model needs none.

    Raises:
        InputError: No such store or run, a trial without a model, other data than the trial's, or
            perturbations that the model cannot be asked for.
    """
    uri = tracking_uri(workspace)
    if picked := picked_model(uri, run):
        with _logged_files(uri, picked) as folder:
            predictions = predict_bundle(_read_logged(folder), perturbations)
        return replace(predictions, source=f"the picked model of study '{run}'")
    trial = find_trial(uri, run)
    config = read_run_config(uri, trial)
    source = f"trial {name_of(trial)}"
    if config.model.name != "adapert":
        return replace(
            _refit(config, perturbations, data), source=f"{config.model.name} of {source}, fitted again"
        )
    return replace(predict_bundle(bundle_runs(uri, [trial], data), perturbations), source=source)


def picked_model(tracking_uri: str, study: str) -> str:
    """Address of a study's picked model; empty where none is logged, or the name is a trial's.

    Raises:
        InputError: No such store or study.
    """
    return tag_of(study_run(tracking_uri, study), Tag.PICKED_MODEL) if is_study_name(study) else ""


def log_picked_model(tracking_uri: str, run_ids: Sequence[str], data: Path | None = None) -> str:
    """Log the model of a picked config as an MLflow pyfunc of the first run; several seeds are an ensemble.

    The same runs logged again give the model that there is. MLflow's global state is left as it is.

    Args:
        tracking_uri: MLflow's.
        run_ids: All finished trials of the picked config, the best first.
        data: Prepared data set of the trials, where it no longer lies where it was.

    Returns:
        The model's address: ``mlflow.pyfunc.load_model`` takes it once the tracking address is set.

    Raises:
        InputError: No run, one without weights (such as a reference model's), runs of several configs, or
            other data than theirs.
    """
    client = open_client(tracking_uri)
    if not run_ids:
        raise InputError("A picked model is made of a config's finished trials, but no run was given.")
    runs = [client.get_run(run_id) for run_id in run_ids]
    study = study_run(tracking_uri, tag_of(runs[0], Tag.STUDY))
    joined = ",".join(sorted(run_ids))
    if tag_of(study, Tag.PICKED_RUNS) == joined:
        return tag_of(study, Tag.PICKED_MODEL)
    address = _log_bundle(tracking_uri, runs[0], bundle_runs(tracking_uri, runs, data))
    client.set_tag(study.info.run_id, Tag.PICKED_MODEL, address)
    client.set_tag(study.info.run_id, Tag.PICKED_RUNS, joined)
    return address


def keep_picked_model(tracking_uri: str, run_ids: Sequence[str], note: Callable[[str], None]) -> None:
    """Log a picked config's model where it has one; a reference model is fitted again in no time.

    Args:
        tracking_uri: MLflow's.
        run_ids: As `log_picked_model` takes them.
        note: Told where the model is, or why there is none.
    """
    try:
        address = log_picked_model(tracking_uri, run_ids)
        note(f"Logged the picked config's model, the mean of {len(run_ids)} fits: {address}")
    except Exception as error:  # the pick itself stands, whatever the store does
        with suppress(Exception):
            _forget_picked_model(tracking_uri, run_ids[0])
        note(f"No model is logged with MLflow: {error}")


def _forget_picked_model(tracking_uri: str, run_id: str) -> None:
    """Take an earlier pick's model away from a study: it is not of the config that is picked now."""
    client = open_client(tracking_uri)
    study = study_run(tracking_uri, tag_of(client.get_run(run_id), Tag.STUDY))
    for tag in (Tag.PICKED_RUNS, Tag.PICKED_MODEL):
        client.set_tag(study.info.run_id, tag, "")


def bundle_runs(tracking_uri: str, runs: "Sequence[Run]", data: Path | None = None) -> Bundle:
    """Collect what trained trials of one config need to predict.

    Raises:
        InputError: A trial that has no weights, several configs, or other data than the trials'.
    """
    configs = [read_run_config(tracking_uri, run) for run in runs]
    config = configs[0]
    digests = {other.digest() for other in configs}
    if len(digests) > 1:
        raise InputError(
            f"An ensemble is of one config's seeds, but the runs are of {len(digests)} configs. Give runs "
            "of one."
        )
    for run in runs:
        _check_has_weights(config, run)
    shared = SharedTable.read(find_data(config, data) / "shared")
    return Bundle(config, shared, [_read_member(tracking_uri, run) for run in runs])


def _check_has_weights(config: Config, run: "Run") -> None:
    if config.model.name != "adapert":
        raise InputError(
            f"A logged model needs weights, but trial '{name_of(run)}' is of the reference model "
            f"'{config.model.name}', which has none: 'adapert predict' fits it again."
        )
    if not is_finished(run):
        raise InputError(
            f"Predictions need the weights of a finished trial, but '{name_of(run)}' is "
            f"{tag_of(run, Tag.STATUS) or 'unfinished'}. Name a finished one, or the study alone for its "
            "best."
        )


def _read_member(tracking_uri: str, run: "Run") -> Member:
    with artifact(run, tracking_uri, WEIGHTS_FILE) as path:
        return Member(run.info.run_id, int(tag_of(run, Tag.SEED)), load_file(path))


def _refit(config: Config, perturbations: Sequence[str], data: Path | None) -> Predictions:
    """Fit a reference model again, which takes seconds, on the splits that it may read."""
    dataset = redraw(read_prepared(find_data(config, data)), config.data.split_seed)
    asked = check_perturbations(perturbations, dataset.shared.node_names)
    model = build_model(config, 0, DEVICE)
    model.fit(dataset)
    return Predictions(
        deltas=pd.DataFrame(
            model.predict(asked),
            index=pd.Index(asked, name="perturbation"),
            columns=list(map(str, dataset.gene_names)),
        ),
        contexts=pd.DataFrame(columns=list(CONTEXT_COLUMNS)),
        edges=pd.DataFrame(columns=list(EDGE_COLUMNS)),
    )


@contextmanager
def _logged_files(tracking_uri: str, address: str) -> Iterator[Path]:
    """Give a logged model's folder; MLflow would look its address up in the global store alone."""
    from mlflow.exceptions import MlflowException

    try:
        logged = open_client(tracking_uri).get_logged_model(address.removeprefix(MODELS))
    except MlflowException as error:
        raise InputError(
            f"The study's picked model is '{address}', but the store cannot give it: {error.message} Pick "
            "again."
        ) from error
    with downloaded(logged.artifact_location, tracking_uri) as folder:
        yield folder


def _read_logged(folder: Path) -> Bundle:
    """Read the bundle within a logged model, wherever MLflow put it there."""
    found = next(folder.rglob(BUNDLE_FILE), folder / BUNDLE_FILE)
    return read_bundle(found.parent)


def _log_bundle(tracking_uri: str, run: "Run", bundle: Bundle) -> str:
    """Log a model by an explicit client: `mlflow.pyfunc.log_model` takes the store from global state."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models.model import Model

    quiet_mlflow()
    client = open_client(tracking_uri)
    first, second = (str(name) for name in bundle.shared.node_names[:2])
    with TemporaryDirectory() as folder:
        write_bundle(bundle, Path(folder) / BUNDLE_NAME)
        logged = client.create_logged_model(
            run.info.experiment_id, name=MODEL_NAME, source_run_id=run.info.run_id, model_type="adapert"
        )
        described = Model(
            artifact_path=logged.artifact_location, run_id=run.info.run_id, model_id=logged.model_id
        )
        save_served(
            Path(folder) / BUNDLE_NAME, [first, f"{first}+{second}"], Path(folder) / MODEL_NAME, described
        )
        client.log_model_artifacts(logged.model_id, str(Path(folder) / MODEL_NAME))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run.info.run_id, models=[LoggedModelOutput(logged.model_id, step=0)])
    return f"{MODELS}{logged.model_id}"
