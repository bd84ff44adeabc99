"""The one writer: a study's runs in MLflow, written by a thread so that no trial waits for it."""

import math
import queue
import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adapert.config import Config, write_config
from adapert.records import (
    CONFIG_FILE,
    PER_PERTURBATION_FILE,
    WEIGHTS_FILE,
    Tag,
    TrialRecord,
    TrialStatus,
)
from adapert.tracking.provenance import git_commit, package_versions

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

# MLflow has no status for a trial that a scheduler stopped; KILLED is shown apart from FINISHED and FAILED.
RUN_STATUS = {
    TrialStatus.FINISHED: "FINISHED",
    TrialStatus.STOPPED: "KILLED",
    TrialStatus.FAILED: "FAILED",
    TrialStatus.INTERRUPTED: "KILLED",
}

_NEVER_ENDED = TrialStatus.INTERRUPTED, ""

MAX_PARAM = 6000
"""Characters of a param that MLflow stores."""


class Tracker:
    """Write a study and its trials as a parent run and child runs."""

    def __init__(
        self, client: "MlflowClient", experiment_id: str, tags: dict[str, str], trial_folder: Path
    ) -> None:
        """Start the parent run and the writing thread.

        Args:
            client: Of the store.
            experiment_id: Where runs go.
            tags: Of the parent run; `Tag.STUDY` and `Tag.DESIGN` among them.
            trial_folder: Where trials leave their results, a folder a trial.
        """
        self.client, self.experiment_id = client, experiment_id
        self.study, self.design = tags[Tag.STUDY], tags[Tag.DESIGN]
        self.shared_tags = {
            Tag.STUDY: self.study,
            Tag.GIT_COMMIT: git_commit(),
            Tag.VERSIONS: package_versions(),
        }
        self.trial_folder = trial_folder
        self.run_ids: dict[str, str] = {}
        self.failures: list[str] = []
        self.best: TrialRecord | None = None
        parent = client.create_run(
            experiment_id, run_name=self.study, tags=self.shared_tags | tags | {Tag.KIND: "study"}
        )
        self.parent_id: str = parent.info.run_id
        self._ends: dict[str, tuple[TrialStatus, str]] = {}
        self._ended: set[str] = set()
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._write, name="mlflow-writer", daemon=True)
        self._thread.start()

    def trial_started(self, record: TrialRecord, config: Config) -> None:
        """Queue the child run with its params, tags and config file."""
        self._jobs.put(partial(self._create_run, record.trial_id, _trial_tags(record, config), config))

    def trial_reported(self, record: TrialRecord) -> None:
        """Queue an epoch's metrics as one batch."""
        metrics = to_metrics(record.metrics, record.n_epochs)
        self._jobs.put(partial(self._log_metrics, record.trial_id, metrics))

    def trial_ended(self, record: TrialRecord) -> None:
        """Queue the run's end and the files that the trial left."""
        best = -math.inf if self.best is None else self.best.objective
        if record.status == TrialStatus.FINISHED and record.objective > best:
            self.best = record
        self._ends[record.trial_id] = record.status, record.message
        self._jobs.put(partial(self._end_run, record.trial_id, record.status, record.message))

    def close(self, status: TrialStatus, summary: dict[str, float]) -> None:
        """Write what is queued, then end the parent run.

        Args:
            status: Of the study.
            summary: Metrics of the parent run.
        """
        self._jobs.put(None)
        self._thread.join()
        for trial_id in self.run_ids.keys() - self._ended:  # the store failed, or the study did
            self._try(partial(self._end_run, trial_id, *self._ends.get(trial_id, _NEVER_ENDED)))
        self._try(partial(self._summarize, summary))
        self._try(partial(self._terminate, self.parent_id, status))

    def _write(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._try(job)

    def _try(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # whatever the store does, trials go on
            self.failures.append(f"{type(error).__name__}: {error}")

    def _create_run(self, trial_id: str, tags: dict[str, str], config: Config) -> None:
        from mlflow.entities import Param

        parent = {"mlflow.parentRunId": self.parent_id}
        run = self.client.create_run(
            self.experiment_id,
            run_name=self._run_name(tags),
            tags=self.shared_tags | parent | tags,
        )
        run_id = run.info.run_id
        self.run_ids[trial_id] = run_id
        params = [Param(name, str(value)[:MAX_PARAM]) for name, value in config.flat().items()]
        self.client.log_batch(run_id, params=params)
        file = self.trial_folder / trial_id / CONFIG_FILE
        write_config(config, file)
        self.client.log_artifact(run_id, str(file))

    def _run_name(self, tags: dict[str, str]) -> str:
        if self.design == "search":
            return f"{self.study} {len(self.run_ids) + 1:03d}"
        return f"{tags[Tag.VARIANT]} seed {tags[Tag.SEED]}"

    def _log_metrics(self, trial_id: str, metrics: list["Metric"]) -> None:
        if trial_id in self.run_ids:  # else the failure to create it is listed
            self.client.log_batch(self.run_ids[trial_id], metrics=metrics)

    def _end_run(self, trial_id: str, status: TrialStatus, message: str) -> None:
        if trial_id not in self.run_ids:
            return
        run_id, folder = self.run_ids[trial_id], self.trial_folder / trial_id
        try:
            for name in (PER_PERTURBATION_FILE, WEIGHTS_FILE):
                if (folder / name).is_file():
                    self.client.log_artifact(run_id, str(folder / name))
        finally:  # an artifact that cannot be kept must not leave the run open
            if message:
                self.client.set_tag(run_id, Tag.MESSAGE, message)
            self._terminate(run_id, status)
            self._ended.add(trial_id)
        shutil.rmtree(folder, ignore_errors=True)

    def _summarize(self, summary: dict[str, float]) -> None:
        if self.best is not None:
            summary = summary | {
                name: value for name, value in self.best.metrics.items() if name.startswith("best_")
            }
            self.client.set_tag(self.parent_id, "best_trial", self.best.trial_id)
        self.client.log_batch(self.parent_id, metrics=to_metrics(summary, 0))

    def _terminate(self, run_id: str, status: TrialStatus) -> None:
        self.client.set_tag(run_id, Tag.STATUS, status)
        self.client.set_terminated(run_id, RUN_STATUS[status])


def to_metrics(values: dict[str, float], step: int) -> list["Metric"]:
    """Turn a report into MLflow's metrics; NaN stays NaN."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [Metric(name, float(value), now, step) for name, value in values.items()]


def _trial_tags(record: TrialRecord, config: Config) -> dict[str, Any]:
    return {
        Tag.KIND: "trial",
        Tag.TRIAL: record.trial_id,
        Tag.STATUS: record.status,
        Tag.VARIANT: record.variant,
        Tag.SEED: str(record.seed),
        Tag.CONFIG_DIGEST: config.digest(),
        Tag.DATA_FINGERPRINT: config.data.fingerprint,
    }
