"""Predictions from what studies left: a study's picked model, or one trial's weights."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from adapert.config import Config
from adapert.data.array_tables import SharedTable
from adapert.data.manifest import read_manifest
from adapert.data.prepared import read_prepared
from adapert.data.regroup import redraw
from adapert.data.units import describe_units
from adapert.errors import InputError, format_count
from adapert.files import remove_whole
from adapert.prediction.bundle import BUNDLE_FILE, Bundle, Member, read_bundle, read_weights, write_bundle
from adapert.prediction.genes import check_perturbations
from adapert.prediction.logged import log_model
from adapert.records import WEIGHTS_FILE, Tag
from adapert.results.find import find_trial, is_study_name, open_study
from adapert.results.inputs import find_data
from adapert.results.study import StudyResults
from adapert.results.trial import TrialResult
from adapert.study.engine.folders import PICK_FILE, PICKED_MODEL_FOLDER, study_folder
from adapert.study.engine.ledger import LEDGER_FILE
from adapert.tracking.runs import try_to_keep
from adapert.tracking.store import tracking_uri

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

    from adapert.prediction.predictions import Predictions

_LOGGER = logging.getLogger(__name__)

# What predicts needs torch, which takes seconds to import: `pick` keeps a model without it.


def predict_run(
    workspace: Path, run: str, perturbations: Sequence[str], data: Path | None = None
) -> "Predictions":
    """Predict perturbations by a tracked model; no split's observed expression is read.

    Args:
        workspace: Folder of the study.
        run: A trial's run id, ``"search/007"``, or a study's name: its picked model if `pick` logged one,
            else its best finished trial.
        perturbations: Genes, or genes joined by ``+``.
        data: Prepared data set of the trial, where it has been moved; a picked model needs none.

    Raises:
        InputError: No such store or run, a trial without a model, other data than the trial's, or
            perturbations that the model cannot be asked for.
    """
    from adapert.prediction.predictions import predict_bundle

    if is_study_name(run) and (logged := open_study(workspace, run).picked_model()):
        with logged as folder:
            # Wherever MLflow put the bundle in the model's folder.
            bundle_folder = next(folder.rglob(BUNDLE_FILE), folder / BUNDLE_FILE).parent
            predictions = predict_bundle(read_bundle(bundle_folder), perturbations)
        return replace(predictions, source=f"the picked model of study '{run}'")
    study, trial = find_trial(workspace, run)
    config = trial.build_config()
    if not config.has_weights:
        refitted = _refit(config, perturbations, workspace, data)
        return replace(refitted, source=f"{config.model.name} of trial {trial.name}, fitted again")
    predictions = predict_bundle(_bundle_trials([(study, trial)], workspace, data), perturbations)
    return replace(predictions, source=f"trial {trial.name}")


def keep_picked_model(workspace: Path, study: str, trials: Sequence[str], data: Path | None = None) -> None:
    """Keep the model of a picked config: in the study's folder, and as an MLflow pyfunc.

    Several seeds are an ensemble. A model without weights is not kept: it is fitted again in seconds.
    """
    folder = study_folder(workspace, study)
    kept = folder / PICKED_MODEL_FOLDER
    bundle = _read_kept(kept, trials)
    if bundle is None:
        # Those of an earlier pick belong to another config.
        (folder / PICK_FILE).unlink(missing_ok=True)
        remove_whole(kept)
        bundle = _bundle_picked(trials, workspace, data)
        if bundle is None:
            try_to_keep("that it has no picked model", tracking_uri(workspace), study, _untrack_model)
            return
        if (folder / LEDGER_FILE).is_file():
            write_bundle(bundle, kept)

    def track(client: "MlflowClient", run: "Run") -> None:
        address = log_model(client, run, bundle)
        _LOGGER.info(
            f"Logged the picked config's model, the mean of {format_count(len(trials), 'fit')}: {address}"
        )

    try_to_keep("the picked model", tracking_uri(workspace), study, track)


def _untrack_model(client: "MlflowClient", run: "Run") -> None:
    """Remove an earlier pick's model from a study's run."""
    for tag in (Tag.PICKED_RUNS, Tag.PICKED_MODEL):
        client.set_tag(run.info.run_id, tag, "")


def _read_kept(kept: Path, trials: Sequence[str]) -> Bundle | None:
    """Read a kept model; None where it is not the mean of these trials, or damaged."""
    with suppress(InputError):
        bundle = read_bundle(kept)
        if {member.run for member in bundle.members} == set(trials):
            return bundle
    return None


def _bundle_picked(trials: Sequence[str], workspace: Path, data: Path | None) -> Bundle | None:
    """Collect a picked config's model; None, and the log says why, where no weights are there."""
    try:
        found = [find_trial(workspace, trial) for trial in trials]
        for config in (trial.build_config() for _, trial in found):
            if not config.has_weights:
                again = f"'adapert predict' fits {trials[0]} again."
                _LOGGER.info(f"'{config.model.name}' has no weights to keep: {again}")
                return None
        return _bundle_trials(found, workspace, data)
    except InputError as error:
        _LOGGER.warning(f"No model is kept of the picked config: {error}")
        return None


def _bundle_trials(
    trials: Sequence[tuple[StudyResults, TrialResult]], workspace: Path, data: Path | None = None
) -> Bundle:
    """Collect what trained trials of one config need to predict, of a model with weights.

    Raises:
        InputError: No trial, one that did not finish, several configs, or other data than the trials'.
    """
    if not trials:
        raise InputError("A model is made of a config's finished trials, but none was given.")
    configs = {config.digest(): config for config in (trial.build_config() for _, trial in trials)}
    if len(configs) > 1:
        raise InputError(
            f"An ensemble needs seeds of one config, but the trials have {len(configs)} configs. Give trials "
            "of one."
        )
    (config,) = configs.values()
    for _, trial in trials:
        if not trial.is_finished:
            raise InputError(
                f"Predictions need the weights of a finished trial, but '{trial.name}' is {trial.status}. "
                "Name a finished one, or the study alone for its best."
            )
    folder = find_data(config, workspace, data)
    members = []
    for study, trial in trials:
        with study.file(trial, WEIGHTS_FILE) as path:
            members.append(Member(trial.name, trial.seed, read_weights(path)))
    return Bundle(config, SharedTable.read(folder / "shared"), members, describe_units(read_manifest(folder)))


def _refit(config: Config, perturbations: Sequence[str], workspace: Path, data: Path | None) -> "Predictions":
    """Fit a model without weights again, which takes seconds, on the splits that it may read."""
    from adapert.prediction.predictions import CONTEXT_COLUMNS, DEVICE, EDGE_COLUMNS, Predictions
    from adapert.registry import build_model

    dataset = redraw(read_prepared(find_data(config, workspace, data)), config.data.split_seed)
    asked = check_perturbations(perturbations, dataset.shared.node_names)
    model = build_model(config, 0, DEVICE)
    model.fit(dataset)
    index = pd.Index(asked, name="perturbation")
    return Predictions(
        deltas=pd.DataFrame(model.predict(asked), index, list(map(str, dataset.gene_names))),
        contexts=pd.DataFrame(columns=list(CONTEXT_COLUMNS)),
        edges=pd.DataFrame(columns=list(EDGE_COLUMNS)),
        units=describe_units(dataset.manifest),
    )
