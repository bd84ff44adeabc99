"""Run a study on Ray Tune."""

import gc
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from adapert.records import TrialRecord, TrialStatus
from adapert.study.events import TrialEvents, TrialObserver
from adapert.study.resources import Resources, count_cpus
from adapert.study.scheduler import build_scheduler
from adapert.study.search import build_search, fail_rest
from adapert.study.study import Search, Study

RAY_SETTINGS = {
    # A local head needs no token, and a token would be written into HOME.
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Relative paths of the user's stay true in workers.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Tune's own CSV, JSON and TensorBoard loggers halve the speed of a report.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

JOURNAL_FILE = "optuna_journal.log"
"""What a search asked Optuna and told it."""

CHECKPOINT_EVERY = 10
"""Epochs between a running trial's checkpoints."""


@dataclass(frozen=True)
class StudyResult:
    """How a study ended.

    Attributes:
        records: Every trial that began.
        is_interrupted: Whether the user ended it before all trials had.
        seconds: Wall time.
    """

    records: Sequence[TrialRecord]
    is_interrupted: bool
    seconds: float

    def count(self, status: TrialStatus) -> int:
        """Number of trials that ended so."""
        return sum(record.status == status for record in self.records)


def run_study(
    study: Study, folder: Path, resources: Resources, observers: Sequence[TrialObserver]
) -> StudyResult:
    """Run all trials of a study, each in a worker process.

    Args:
        study: What to run; its base config names the prepared data.
        folder: The study's own, absolute: searcher's journal, Ray's state, results of trials.
        resources: What it may use.
        observers: Told of every trial, in this process.

    Returns:
        What became of the trials; interrupted where Ctrl-C came first.
    """
    events = TrialEvents(study.base, observers)
    started = time.monotonic()
    # Tune takes Ctrl-C itself once it runs; one that comes before or after means the same.
    with suppress(KeyboardInterrupt), local_ray():
        _build_tuner(study, folder, resources, events).fit()
    if is_sampled(study) and (folder / JOURNAL_FILE).is_file():
        fail_rest(study.name, folder / JOURNAL_FILE)
    seconds = time.monotonic() - started
    is_out_of_time = resources.time_budget_seconds is not None and seconds >= resources.time_budget_seconds
    n_ended = sum(record.status != TrialStatus.RUNNING for record in events.records.values())
    is_interrupted = n_ended < study.n_trials and not is_out_of_time
    events.end_rest(TrialStatus.STOPPED if is_out_of_time else TrialStatus.INTERRUPTED)
    return StudyResult(list(events.records.values()), is_interrupted, seconds)


@contextmanager
def local_ray() -> Iterator[None]:
    """Start Ray on this machine, and leave no process of it behind.

    SIGTERM is taken as Ctrl-C: Tune ends its trials and returns.
    """
    os.environ.update(RAY_SETTINGS)
    import ray

    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        with deferred_interrupt():
            ray.init(
                address="local",
                num_cpus=count_cpus(),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        # Ray's own handler, which it has just set, would exit at once.
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
        # A failed trial is recorded with its message; Tune would print its traceback as well.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        yield
    finally:
        with _garbage_collected_before():
            ray.shutdown()
        signal.signal(signal.SIGTERM, on_terminate)


@contextmanager
def _garbage_collected_before() -> Iterator[None]:
    """Collect garbage before the block and none within it.

    Ray ends the process where another thread's collection frees a reference of it while it shuts down.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Let Ctrl-C wait for the block's end; a second one does not.

    Python drops a KeyboardInterrupt that comes while a process is forked, and Ray would be half started.
    """
    came = []

    def remember(*_: object) -> None:
        came.append(True)
        signal.signal(signal.SIGINT, usual)

    usual = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        raise KeyboardInterrupt


def is_sampled(study: Study) -> bool:
    """Whether a sampler chooses the configs, rather than a list of them."""
    return isinstance(study.plan, Search) and study.plan.sampler != "grid"


def _build_tuner(study: Study, folder: Path, resources: Resources, events: TrialEvents) -> Any:
    from ray import tune

    from adapert.trainable import TrialTrainable

    return tune.Tuner(
        tune.with_resources(
            TrialTrainable, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}
        ),
        param_space=_param_space(study, folder, resources),
        tune_config=tune.TuneConfig(
            num_samples=study.n_trials if is_sampled(study) else 1,
            search_alg=_build_search(study, folder) if is_sampled(study) else None,
            scheduler=build_scheduler(study),
            max_concurrent_trials=resources.max_concurrent,
            time_budget_s=resources.time_budget_seconds,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(folder),
            callbacks=[events],
            checkpoint_config=tune.CheckpointConfig(
                num_to_keep=2, checkpoint_frequency=CHECKPOINT_EVERY, checkpoint_at_end=False
            ),
            verbose=0,
        ),
    )


def _build_search(study: Study, folder: Path) -> Any:
    assert isinstance(study.plan, Search)
    return build_search(study.plan, study.name, folder / JOURNAL_FILE)


def _param_space(study: Study, folder: Path, resources: Resources) -> dict[str, Any]:
    from ray import tune

    space: dict[str, Any] = {
        "base": study.base.flat(),
        "study": study.name,
        "trial_folder": str(folder / "trials"),
        "device": resources.device,
        "n_threads": resources.cpus_per_trial,
    }
    if study.assignments:
        space["assignment"] = tune.grid_search([asdict(assignment) for assignment in study.assignments])
    else:
        assert isinstance(study.plan, Search)
        space["assignment"] = {"variant": "search", "seed": study.plan.seed, "changes": {}}
    return space
