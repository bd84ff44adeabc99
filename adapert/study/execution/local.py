"""Run a study's trials in this process, one after the other, without Ray."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from adapert.records import EndReason
from adapert.study.engine.runner import StudyRunner
from adapert.study.execution.resources import Resources

if TYPE_CHECKING:
    from adapert.study.execution.trainer import TrialTrainer

RETRY_SECONDS = 1.0
"""Wait before a trial that found no memory is tried again."""


def run_here(runner: StudyRunner, resources: Resources, take_signals: Callable[[], None]) -> None:
    """Run what a runner hands out, each trial to its end before the next.

    Signals, requests and limits are obeyed between two epochs.

    Args:
        runner: Says what is run, and when to leave.
        resources: What the study may use.
        take_signals: Not needed: nothing here sets signal handlers.
    """
    from adapert.study.execution.settings import trial_settings
    from adapert.study.execution.trainer import TrialTrainer
    from adapert.training.threads import threads

    trainer = TrialTrainer()
    with threads(resources.cpus_per_trial):
        while not runner.should_close() and (record := runner.next_trial()):
            trainer.take(trial_settings(record, runner.study, runner.folder, resources))
            runner.started(record.trial_id)
            _train(trainer, runner, record.trial_id)


def _train(trainer: "TrialTrainer", runner: StudyRunner, trial_id: str) -> None:
    """Train a trial until the runner has enough of it, or memory is missing."""
    from adapert.study.execution.memory import NoMemoryError

    try:
        while runner.reported(trial_id, trainer.step()) and not runner.should_close():
            pass
    except NoMemoryError as error:
        runner.failed(trial_id, EndReason.WORKER, str(error))
        _wait(runner)


def _wait(runner: StudyRunner) -> None:
    """Give others time to free memory, unless the study is left."""
    until = time.monotonic() + RETRY_SECONDS
    while time.monotonic() < until and not runner.should_close():
        time.sleep(0.05)
