"""Find the run that a user means: by MLflow's id, by study and trial, or by study alone."""

import math
import re
from typing import TYPE_CHECKING

from adapert.errors import InputError, name_some
from adapert.records import OBJECTIVE, Tag, TrialStatus
from adapert.tracking.read import open_client, tag_of, trial_runs

if TYPE_CHECKING:
    from mlflow.entities import Run

RUN_ID = re.compile(r"[0-9a-f]{32}")


def find_trial(tracking_uri: str, name: str) -> "Run":
    """Find the run of a trial.

    Args:
        tracking_uri: MLflow's.
        name: A run's id, ``"search/007"``, or a study's name, which stands for its best finished trial.

    Raises:
        InputError: No such store, run, study or trial, a run of something else, or no finished trial.
    """
    if is_study_name(name):
        return best_trial(tracking_uri, name)
    study, slash, trial = name.partition("/")
    if slash:
        return _numbered(trial_runs(tracking_uri, study), study, trial)
    run = _run_of_id(tracking_uri, name)
    kind = tag_of(run, Tag.KIND)
    if kind == "study":
        return best_trial(tracking_uri, tag_of(run, Tag.STUDY))
    if kind != "trial":
        original = tag_of(run, Tag.ORIGINAL)
        cure = f"It repeats {original}: give that one." if original else "Name a study's trial."
        raise InputError(f"A run must be of a study's trial, but '{name}' is not. {cure}")
    return run


def is_study_name(name: str) -> bool:
    """Whether a name means a study, and not one trial."""
    return "/" not in name and not RUN_ID.fullmatch(name)


def best_trial(tracking_uri: str, study: str) -> "Run":
    """Find a study's finished trial of best validation Pearson-delta.

    Raises:
        InputError: No such store or study, or no finished trial.
    """
    finished = [run for run in trial_runs(tracking_uri, study) if is_finished(run)]
    if not finished:
        raise InputError(
            f"A study's name stands for its best finished trial, but '{study}' has none. Name a trial, such "
            f"as '{study}/001', or launch the study again under another name."
        )
    return max(finished, key=lambda run: float(run.data.metrics[OBJECTIVE]))


def is_finished(run: "Run") -> bool:
    """Whether a run's trial ended by its own rules, with a Pearson-delta."""
    has_objective = not math.isnan(run.data.metrics.get(OBJECTIVE, math.nan))
    return tag_of(run, Tag.STATUS) == TrialStatus.FINISHED and has_objective


def name_of(run: "Run") -> str:
    """Name a trial as a user does: ``"search/007"``."""
    return f"{tag_of(run, Tag.STUDY)}/{tag_of(run, Tag.TRIAL)}"


def _numbered(runs: "list[Run]", study: str, trial: str) -> "Run":
    by_trial = {tag_of(run, Tag.TRIAL): run for run in runs}  # of several launches, the last
    by_number = {name.lstrip("0"): run for name, run in by_trial.items()}
    if trial.lstrip("0") not in by_number:
        raise InputError(
            f"Study '{study}' has no trial '{trial}'. It has {name_some(by_trial) or 'none yet'}."
        )
    return by_number[trial.lstrip("0")]


def _run_of_id(tracking_uri: str, run_id: str) -> "Run":
    from mlflow.exceptions import MlflowException

    try:
        return open_client(tracking_uri).get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InputError(
            f"The store has no run '{run_id}'. Give a run's id as MLflow shows it, or STUDY/TRIAL, such as "
            "search/007; 'adapert status' lists the studies."
        ) from error
