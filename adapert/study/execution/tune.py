"""Ray Tune as the executor: its searcher, scheduler, stopper and callback all ask the conductor."""

from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.exceptions import OutOfMemoryError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from adapert.records import EndReason, TrialRecord
from adapert.study.engine.runner import Conductor
from adapert.study.engine.trial_files import trial_folder
from adapert.study.execution.memory import NoMemoryError
from adapert.study.execution.resources import Resources
from adapert.study.execution.trainable import TrialSettings
from adapert.study.plan.study import Study


class OfThisProcess:
    """What Tune pickles beside its own state, and nobody reads: files and threads must stay here."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class ConductedSearch(OfThisProcess, Searcher):  # type: ignore[misc]
    """Hands the conductor's trials to Tune."""

    def __init__(self, conductor: Conductor, resources: Resources) -> None:
        super().__init__(metric=None, mode=None)
        self._conductor, self._resources = conductor, resources

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's settings; None where Tune is to ask again later."""
        conductor = self._conductor
        if conductor.n_running >= self._n_places():
            return None
        record = conductor.next_trial()
        if record is not None:
            settings = trial_settings(record, conductor.study, conductor.folder, self._resources)
            return {"trial": record.trial_id, "settings": settings.to_text()}
        # Tune waits for an answer where nothing runs, and takes FINISHED as for ever.
        return None if conductor.n_running else Searcher.FINISHED

    def _n_places(self) -> int:
        """Trials that find a place now; on a cluster one more, so that it knows to grow."""
        if not self._resources.address:
            return self._resources.n_at_once
        n_fitting = self._resources.count_fitting(ray.cluster_resources()) + 1
        return min(n_fitting, self._resources.max_concurrent or n_fitting)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The conductor knows."""

    def save(self, checkpoint_path: str) -> None:
        """The ledger has it."""

    def restore(self, checkpoint_path: str) -> None:
        """The ledger has it."""


class ConductedSchedule(OfThisProcess, FIFOScheduler):  # type: ignore[misc]
    """Lets the conductor decide after each epoch."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop or go on, as the conductor says."""
        goes_on = self._conductor.reported(trial.config["trial"], result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)


class ConductedStop(OfThisProcess, tune.Stopper):  # type: ignore[misc]
    """Ends everything when the conductor wants to leave."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Asked between any two events."""
        return self._conductor.should_close()


class WorkerEvents(OfThisProcess, tune.Callback):  # type: ignore[misc]
    """Tells the conductor when workers take trials up, and when they are lost."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker took a trial up."""
        self._conductor.started(trial.config["trial"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost, or could not be had; the conductor hands the trial out again."""
        self._conductor.failed(trial.config["trial"], *_failure_of(trial))


def trial_settings(record: TrialRecord, study: Study, folder: Path, resources: Resources) -> TrialSettings:
    """What a trial needs to know.

    Args:
        record: Of the trial.
        study: Whose base config it changes.
        folder: The study's, absolute.
        resources: Of each trial.
    """
    return TrialSettings(
        trial_id=record.trial_id,
        study=study.name,
        variant=record.variant,
        seed=record.seed,
        config=study.base.with_changes(record.changes).flat(),
        folder=str(trial_folder(folder, record.trial_id)),
        device=resources.device,
        n_threads=resources.cpus_per_trial,
        gpu_share=resources.gpus_per_trial,
    )


def _failure_of(trial: Any) -> tuple[EndReason, str]:
    # Trial.get_error() reads the storage, where Ray copies this file only after the callback.
    file = trial.pickled_error_file
    if not file or not Path(file).is_file():
        return EndReason.WORKER, "Its worker was lost."
    error = cloudpickle.loads(Path(file).read_bytes())
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, OutOfMemoryError):
        return EndReason.MEMORY, "The machine ran out of memory, and Ray ended its worker."
    if isinstance(cause, NoMemoryError):
        return EndReason.WORKER, str(cause)
    if type(cause).__module__.startswith("ray."):
        return EndReason.WORKER, "Its worker was lost."
    return EndReason.ERROR, f"{type(cause).__name__}: {cause}".strip().splitlines()[0]
