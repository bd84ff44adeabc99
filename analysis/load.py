"""Load from MLflow what figures of a study are made of: its long table, its trials, their learning curves."""

from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import pandas as pd

from adapert.config import Config
from adapert.errors import InputError, name_some
from adapert.records import LONG_COLUMNS, OBJECTIVE, PER_PERTURBATION_FILE, Tag, TrialStatus
from adapert.tracking.read import read_histories, read_trials, tag_of, trial_runs

if TYPE_CHECKING:
    from mlflow.entities import Run

_LAMBDA_NON = "loss.lambda_non"

CURVE_METRIC = "pearson_delta"
"""Reported at every epoch; its best epoch is the objective."""


class NothingToShowError(InputError):
    """A study that is sound, but has not (yet) what a figure shows."""


def load_per_perturbation(tracking_uri: str, study: str) -> pd.DataFrame:
    """Load the long table of a study's finished trials.

    Stopped trials are left out: their values are of another fidelity.

    Args:
        tracking_uri: MLflow's.
        study: Name of the study; all its launches count.

    Returns:
        `LONG_COLUMNS` and ``lambda_non``, the weight of Eq. 16 that the trial ran with (NaN if untracked);
        one row per trial, perturbation and metric.

    Raises:
        NothingToShowError: No finished trial.
        InputError: No such store or study, or a finished trial without a readable table.
    """
    runs = [run for run in trial_runs(tracking_uri, study) if tag_of(run, Tag.STATUS) == TrialStatus.FINISHED]
    if not runs:
        raise NothingToShowError(
            f"A study needs a finished trial to be analysed, but '{study}' has none. "
            "Launch it again under another name."
        )
    return pd.concat([_long_table(run, tracking_uri) for run in runs], ignore_index=True)


def load_search(tracking_uri: str, study: str) -> pd.DataFrame:
    """Load the trials of a search, one row each, whatever their end.

    Args:
        tracking_uri: MLflow's.
        study: Name of the study; all its launches count.

    Returns:
        study, number (from 1, in the order they began), run, name, seed, status, reason, epoch (the last that
        was reported), objective (validation Pearson-delta of the best epoch so far), then the config under
        its dotted names. NaN where a trial reported nothing.

    Raises:
        NothingToShowError: No trial has an objective.
        InputError: No such store or study.
    """
    trials = read_trials(tracking_uri, study)
    if OBJECTIVE not in trials or trials[OBJECTIVE].isna().all():
        raise NothingToShowError(
            f"A search is drawn from the objective of its trials, but study '{study}' has none yet. "
            "Wait for its first epochs, or look at its failures with `adapert ui`."
        )
    identity = trials[["run", "name", "seed", "status", "reason"]]
    reached = trials.reindex(columns=["epoch", OBJECTIVE]).set_axis(["epoch", "objective"], axis="columns")
    fields = trials[[name for name in Config().flat() if name in trials]]
    loaded = pd.concat([identity, reached, fields], axis="columns")
    loaded.insert(0, "study", study)
    loaded.insert(1, "number", range(1, len(loaded) + 1))
    return loaded


def load_curves(tracking_uri: str, study: str) -> pd.DataFrame:
    """Load the validation Pearson-delta of a search's trials epoch by epoch.

    Args:
        tracking_uri: MLflow's.
        study: Name of the study; all its launches count.

    Returns:
        study, number, status, reason and objective as `load_search`, epoch, value; one row an epoch.

    Raises:
        NothingToShowError: No trial has an objective.
        InputError: No such store or study.
    """
    trials = load_search(tracking_uri, study)[["study", "number", "run", "status", "reason", "objective"]]
    curves = read_histories(tracking_uri, study, [CURVE_METRIC]).drop(columns="metric")
    return trials.merge(curves, on="run").drop(columns="run")


def _long_table(run: "Run", tracking_uri: str) -> pd.DataFrame:
    table = _read_artifact(run, tracking_uri)
    missing = [column for column in LONG_COLUMNS if column not in table]
    if missing:
        raise InputError(
            f"'{PER_PERTURBATION_FILE}' must have the columns of the long table, but that of run "
            f"'{run.info.run_id}' lacks {name_some(missing)}. Run the trial again with this version."
        )
    return table[list(LONG_COLUMNS)].assign(lambda_non=float(run.data.params.get(_LAMBDA_NON, "nan")))


def _read_artifact(run: "Run", tracking_uri: str) -> pd.DataFrame:
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    uri = f"{run.info.artifact_uri}/{PER_PERTURBATION_FILE}"
    with TemporaryDirectory() as downloads:
        # Without a destination MLflow gives a local artifact's own path: no copy, no progress bar.
        destination = None if urlparse(uri).scheme in ("", "file") else downloads
        try:
            path = download_artifacts(artifact_uri=uri, dst_path=destination, tracking_uri=tracking_uri)
            return pd.read_parquet(path)
        except (MlflowException, OSError) as error:
            raise InputError(
                f"A finished trial must have the artifact '{PER_PERTURBATION_FILE}', but that of run "
                f"'{run.info.run_id}' cannot be read: {error}. Run the trial again, or delete the run."
            ) from error
