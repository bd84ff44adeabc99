"""Run a study's trials in this process, without Ray: one after the other, or several side by side."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from adapert.records import EndReason
from adapert.study.engine.runner import StudyRunner
from adapert.study.execution.resources import Resources

if TYPE_CHECKING:
    from adapert.study.execution.trainer import TrialTrainer
    from adapert.training.side_by_side import SideBySide

RETRY_SECONDS = 1.0
"""Wait before a trial that found no memory is tried again."""


def run_here(runner: StudyRunner, resources: Resources, take_signals: Callable[[], None]) -> None:
    """Run what a runner hands out, an epoch of each trial in turn, as many at once as there are slots.

    Signals, requests and limits are obeyed between two epochs.

    Args:
        runner: Says what is run, and when to leave.
        resources: What the study may use.
        take_signals: Not needed: nothing here sets signal handlers.
    """
    from adapert.study.execution.settings import trial_settings
    from adapert.study.execution.trainer import TrialTrainer
    from adapert.training.side_by_side import SideBySide
    from adapert.training.threads import threads

    free = [TrialTrainer() for _ in range(resources.slots)]
    running: dict[str, TrialTrainer] = {}
    together = SideBySide()
    with threads(resources.cpus_per_trial):
        while not runner.should_close():
            while free and (record := runner.next_trial()):
                trainer = running[record.trial_id] = free.pop()
                trainer.take(trial_settings(record, runner.study, runner.folder, resources))
                runner.started(record.trial_id)
            if not running:
                return
            _share_epoch(together, running.values() if len(running) > 1 else ())
            for trial_id in list(running):
                if not _train(running[trial_id], runner, trial_id):
                    free.append(running.pop(trial_id))
                if runner.should_close():
                    return


def _share_epoch(together: "SideBySide", trainers: Iterable["TrialTrainer"]) -> None:
    """Let the trials that can share their next epoch."""
    ready = []
    for trainer in trainers:
        with suppress(Exception):  # which its step will report
            ready.append(trainer.get_ready())
    together.share(ready)


def _train(trainer: "TrialTrainer", runner: StudyRunner, trial_id: str) -> bool:
    """Train a trial's next epoch; whether the trial goes on."""
    from adapert.study.execution.memory import NoMemoryError

    try:
        return runner.reported(trial_id, trainer.step())
    except NoMemoryError as error:
        runner.failed(trial_id, EndReason.WORKER, str(error))
        _wait(runner)
        return False


def _wait(runner: StudyRunner) -> None:
    """Give others time to free memory, unless the study is left."""
    until = time.monotonic() + RETRY_SECONDS
    while time.monotonic() < until and not runner.should_close():
        time.sleep(0.05)
