"""A study as MLflow has it: of a workspace that is elsewhere, such as a colleague's on a server."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from adapert.config import Config
from adapert.errors import InputError, name_some
from adapert.records import CODE_DIFF_FILE, ORIGIN_FILE, Tag, TrialStatus
from adapert.results.study import PickRecord, StudyResults
from adapert.results.trial import TrialResult
from adapert.tracking.read import (
    downloaded,
    open_client,
    read_text,
    reading_store,
    study_runs,
    tag_of,
    trial_runs,
)

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

MODELS = "models:/"
"""Addresses of logged models begin so."""


class TrackedResults(StudyResults):
    """A study of an MLflow store; all its launches count, and of two trials of one number the later."""

    def __init__(self, tracking_uri: str, name: str) -> None:
        """Find a study's own runs.

        Raises:
            InputError: No such store or study.
        """
        self.tracking_uri, self.name = tracking_uri, name
        self._launches = study_runs(tracking_uri, name)
        self._run = self._launches[-1]
        self.question = tag_of(self._run, Tag.QUESTION)
        self.started_at = float(self._run.info.start_time) / 1000
        self.wall_seconds = 3600 * float(self._run.data.metrics.get("wall_hours", math.nan))
        self.fingerprint = tag_of(self._run, Tag.DATA_FINGERPRINT)
        self.git_commit = tag_of(self._run, Tag.GIT_COMMIT)
        self.packages = tag_of(self._run, Tag.VERSIONS)
        self.run_id = str(self._run.info.run_id)

    @property
    def design(self) -> str:
        """What it was made for."""
        designs = {tag_of(run, Tag.DESIGN) for run in self._launches}
        if len(designs) > 1:
            raise InputError(
                f"A study has one design, but the launches of '{self.name}' have "
                f"{name_some(sorted(designs))}. Launch one of them under another name."
            )
        return designs.pop()

    @property
    def status(self) -> str:
        """Where it stands."""
        return tag_of(self._run, Tag.STATUS) or "unknown"

    @property
    def how_to_finish(self) -> str:
        """Advice on how to get a finished trial, in a sentence."""
        return "Only MLflow has it here: it is continued in the workspace in which it was launched."

    @cached_property
    def origin(self) -> Mapping[str, Any]:
        """Fingerprints of its code and packages."""
        text = read_text(self._run, self.tracking_uri, ORIGIN_FILE)
        origin: Mapping[str, Any] = json.loads(text) if text else {}
        return origin

    @cached_property
    def code_diff(self) -> str:
        """How its code differed from the commit."""
        return read_text(self._run, self.tracking_uri, CODE_DIFF_FILE)

    @property
    def picked(self) -> PickRecord | None:
        """How its config was last picked."""
        objective, _, reevaluation = tag_of(self._run, Tag.PICKED_BY).partition(" ")
        return PickRecord(objective, reevaluation) if objective else None

    @cached_property
    def trials(self) -> Sequence[TrialResult]:
        """Every trial."""
        return [_result_of(run) for run in self._trial_runs.values()]

    def read_histories(self, metrics: Sequence[str]) -> pd.DataFrame:
        """Read what trials reported epoch by epoch."""

        def latest(reports: "Iterable[Metric]") -> dict[int, float]:
            return {report.step: report.value for report in sorted(reports, key=lambda each: each.timestamp)}

        client = open_client(self.tracking_uri)
        with reading_store():
            # One query a run and metric costs 2 ms; MLflow's public interface has none for several runs.
            rows = [
                (trial.name, metric, epoch, value)
                for trial in self.trials
                for metric in metrics
                if metric in trial.metrics
                for epoch, value in sorted(latest(client.get_metric_history(trial.run_id, metric)).items())
            ]
        return pd.DataFrame(rows, columns=["run", "metric", "epoch", "value"])

    def file(self, trial: TrialResult, name: str) -> AbstractContextManager[Path]:
        """Give the path of a file that a trial left."""
        run = self._trial_runs[trial.trial_id]
        return downloaded(f"{run.info.artifact_uri}/{name}", self.tracking_uri)

    def picked_model(self) -> AbstractContextManager[Path] | None:
        """Give the folder of its picked config's model, somewhere in which its bundle lies."""
        address = tag_of(self._run, Tag.PICKED_MODEL)
        if not address:
            return None
        from mlflow.exceptions import MlflowException

        try:
            logged = open_client(self.tracking_uri).get_logged_model(address.removeprefix(MODELS))
        except MlflowException as error:
            raise InputError(
                f"The study's picked model is '{address}', but the store cannot give it: {error.message} "
                "Run 'adapert pick' again."
            ) from error
        # MLflow itself would look the model's address up in the global store alone.
        return downloaded(logged.artifact_location, self.tracking_uri)

    @cached_property
    def _trial_runs(self) -> "dict[str, Run]":
        """Trial id to run."""
        # Oldest first, so that the later of two runs of a number stays.
        return {tag_of(run, Tag.TRIAL): run for run in trial_runs(self.tracking_uri, self.name)}


def _result_of(run: "Run") -> TrialResult:
    return TrialResult(
        study=tag_of(run, Tag.STUDY),
        trial_id=tag_of(run, Tag.TRIAL),
        variant=tag_of(run, Tag.VARIANT),
        seed=int(tag_of(run, Tag.SEED)),
        status=TrialStatus(tag_of(run, Tag.STATUS)),
        reason=tag_of(run, Tag.REASON),
        message=tag_of(run, Tag.MESSAGE),
        host=tag_of(run, Tag.HOST),
        config_digest=tag_of(run, Tag.CONFIG_DIGEST),
        config=_typed(run.data.params),
        metrics=dict(run.data.metrics),
        device=tag_of(run, Tag.DEVICE),
        n_threads=int(tag_of(run, Tag.N_THREADS) or 0),
        n_slots=int(tag_of(run, Tag.N_SLOTS) or 0),
        git_commit=tag_of(run, Tag.GIT_COMMIT),
        packages=tag_of(run, Tag.VERSIONS),
        run_id=str(run.info.run_id),
    )


def _typed(params: Mapping[str, str]) -> dict[str, Any]:
    """Give MLflow's strings the types of the config's fields; a fingerprint of digits stays a string.

    What the model does not read has no param, and its default here.
    """
    defaults = Config().flat()
    typed: dict[str, Any] = dict(defaults) if params else {}
    for name in (*defaults, *params):
        if name in params:
            text, like = params[name], defaults.get(name)
            if isinstance(like, bool):
                typed[name] = text == "True"  # bool("False") is True
            else:
                typed[name] = type(like)(text) if isinstance(like, int | float) else text
    return typed
