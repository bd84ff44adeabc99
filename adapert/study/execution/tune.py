"""Ray Tune as the executor: its searcher, scheduler, stopper and callback all ask the runner."""

from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from adapert.records import EndReason
from adapert.study.engine.runner import StudyRunner
from adapert.study.execution.lost_workers import LOST, describe_loss
from adapert.study.execution.resources import Resources
from adapert.study.execution.settings import trial_settings
from adapert.study.execution.trainable import read_report


class NotPickled:
    """What Tune pickles with its own state, and nobody reads: files and threads must stay here."""

    def __getstate__(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class RunnerSearcher(NotPickled, Searcher):  # type: ignore[misc]
    """Hands the runner's trials to Tune."""

    def __init__(self, runner: StudyRunner, resources: Resources) -> None:
        super().__init__(metric=None, mode=None)
        self._runner, self._resources = runner, resources

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's settings; None where Tune is to ask again later."""
        runner = self._runner
        if runner.n_running >= self._n_places():
            return None
        record = runner.next_trial()
        if record is not None:
            settings = trial_settings(record, runner.study, runner.folder, self._resources)
            return {"trial": record.trial_id, "settings": settings.to_text()}
        # Tune waits for an answer where nothing runs, and takes FINISHED as final.
        return None if runner.n_running else Searcher.FINISHED

    def _n_places(self) -> int:
        """Trials that find a place now; on a cluster one more, so that it knows to grow."""
        if not self._resources.address:
            return self._resources.n_workers
        n_fitting = self._resources.count_fitting(ray.cluster_resources()) + 1
        return min(n_fitting, self._resources.max_concurrent or n_fitting)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The runner knows."""

    def save(self, checkpoint_path: str) -> None:
        """The ledger has it."""

    def restore(self, checkpoint_path: str) -> None:
        """The ledger has it."""


class RunnerScheduler(NotPickled, FIFOScheduler):  # type: ignore[misc]
    """Lets the runner decide after each epoch."""

    def __init__(self, runner: StudyRunner) -> None:
        super().__init__()
        self._runner = runner

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Stop or continue, as the runner says."""
        is_continued = self._runner.reported(trial.config["trial"], read_report(result))
        return str(TrialScheduler.CONTINUE if is_continued else TrialScheduler.STOP)


class RunnerStopper(NotPickled, tune.Stopper):  # type: ignore[misc]
    """Ends all trials at once when the runner leaves the study."""

    def __init__(self, runner: StudyRunner) -> None:
        self._runner = runner

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Single trials are the scheduler's."""
        return False

    def stop_all(self) -> bool:
        """Asked between any two events."""
        return self._runner.should_close()


class RunnerCallback(NotPickled, tune.Callback):  # type: ignore[misc]
    """Notifies the runner when workers take trials up, and when they are lost."""

    def __init__(self, runner: StudyRunner) -> None:
        self._runner = runner

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker took a trial up."""
        self._runner.started(trial.config["trial"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost, or could not be had; the runner hands the trial out again."""
        self._runner.failed(trial.config["trial"], *_failure_of(trial))


def _failure_of(trial: Any) -> tuple[EndReason, str]:
    # Trial.get_error() reads the storage, where Ray copies this file only after the callback.
    file = trial.pickled_error_file
    if not file or not Path(file).is_file():
        return EndReason.WORKER, LOST
    return describe_loss(cloudpickle.loads(Path(file).read_bytes()))
