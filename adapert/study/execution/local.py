"""Run a study's trials in this process, without Ray: one after the other, or several side by side."""

import time
from collections.abc import Callable

from adapert.records import FAILURE, EndReason
from adapert.study.engine.runner import StudyRunner
from adapert.study.execution.resources import Resources

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
    from adapert.study.execution.trial_slots import TrialSlots
    from adapert.training.threads import threads

    slots = TrialSlots(resources.slots)
    with threads(resources.cpus_per_trial):
        while not runner.should_close():
            while slots.n_free and (record := runner.next_trial()):
                slots.take(trial_settings(record, runner.study, runner.folder, resources))
                runner.started(record.trial_id)
            if not slots.n_taken:
                return
            is_short = False
            for trial_id, report in slots.train_epoch():
                if not runner.reported(trial_id, report):
                    slots.leave(trial_id)
                is_short |= report.get(FAILURE) == EndReason.WORKER
                if runner.should_close():
                    return
            if is_short:
                _wait(runner)


def _wait(runner: StudyRunner) -> None:
    """Give others time to free memory, unless the study is left."""
    until = time.monotonic() + RETRY_SECONDS
    while time.monotonic() < until and not runner.should_close():
        time.sleep(0.05)
