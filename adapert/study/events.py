"""From Ray Tune's callbacks to trial records, and to whoever observes them."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ray import cloudpickle, tune

from adapert.config import Config
from adapert.records import EVALUATED, IS_OVER, TrialRecord, TrialStatus
from adapert.trainable import trial_config


class TrialObserver(Protocol):
    """Hears of every trial of a study, in the driver."""

    def trial_started(self, record: TrialRecord, config: Config) -> None:
        """A trial got its config and began."""

    def trial_reported(self, record: TrialRecord) -> None:
        """A trial finished an epoch; `record.metrics` are its report."""

    def trial_ended(self, record: TrialRecord) -> None:
        """A trial ended as `record.status` says."""


class TrialEvents(tune.Callback):  # type: ignore[misc]
    """Keep a record of every trial and tell the observers."""

    def __init__(self, base: Config, observers: Sequence[TrialObserver]) -> None:
        self.base = base.flat()
        self.observers = observers
        self.records: dict[str, TrialRecord] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles callbacks beside its own state; clients, threads and terminals must stay here.
        return {"base": self.base, "observers": (), "records": {}}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Make the record of a trial that starts; one that starts again goes on under its own."""
        if trial.trial_id in self.records:
            return
        config, variant, seed = trial_config(trial.config)
        changes = {name: value for name, value in config.flat().items() if value != self.base[name]}
        record = TrialRecord(trial.trial_id, variant, seed, changes)
        self.records[trial.trial_id] = record
        for observer in self.observers:
            observer.trial_started(record, config)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Record an epoch."""
        record = self.records[trial.trial_id]
        record.n_epochs = int(result["epoch"])
        record.metrics = {name: float(result[name]) for name in REPORTED if name in result}
        record.metrics["total_seconds"] = float(result["time_total_s"])
        record.status = TrialStatus.FINISHED if result[IS_OVER] else TrialStatus.RUNNING
        for observer in self.observers:
            observer.trial_reported(record)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record that a trial ended by its own rules or by the scheduler's."""
        record = self.records[trial.trial_id]
        if record.status != TrialStatus.FINISHED:
            record.status = TrialStatus.STOPPED
        self._end(record, trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record that a trial failed, and why; one that could not be set up never started."""
        self.on_trial_start(iteration, trials, trial)
        record = self.records[trial.trial_id]
        record.status, record.message = TrialStatus.FAILED, _reason(trial)
        self._end(record, trial)

    def end_rest(self, status: TrialStatus) -> None:
        """Record the same end for every trial that still runs."""
        for record in self.records.values():
            if record.status == TrialStatus.RUNNING:
                record.status = status
                for observer in self.observers:
                    observer.trial_ended(record)

    def _end(self, record: TrialRecord, trial: Any) -> None:
        for observer in self.observers:
            observer.trial_ended(record)
        # An ended trial is never gone on with, and a hundred trials' checkpoints fill a disk.
        for checkpoint in Path(trial.path).glob("checkpoint_*"):
            shutil.rmtree(checkpoint, ignore_errors=True)


REPORTED = (
    "epoch",
    "loss_total",
    "loss_recon",
    "loss_non",
    "loss_align",
    "pearson_delta",
    "pds",
    "rank_overlap_at_50",
    "mse",
    "n_selected",
    "context_effective_rank",
    "learning_rate",
    "seconds",
    "best_epoch",
    "best_pearson_delta",
    "best_pds",
    "resolved_huber_delta",
    "non_deg_shrinkage",
    "n_parameters",
    *(f"best_{metric}" for metric in EVALUATED),
)
"""What of a report is kept; the rest of Ray's result is its own bookkeeping."""


def _reason(trial: Any) -> str:
    # Trial.get_error() reads the storage, where Ray copies this file only after the callback.
    file = trial.pickled_error_file
    if not file or not Path(file).is_file():
        return "The worker was lost."
    error = cloudpickle.loads(Path(file).read_bytes())
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {cause}".strip().splitlines()[0]
