"""Run a study's trials by the executor that it chose: on Ray, or in this process."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from adapert.process import set_handlers, signal_handlers
from adapert.study.engine.runner import StudyRunner
from adapert.study.execution.local import run_here
from adapert.study.execution.on_ray import run_on_ray
from adapert.study.execution.resources import Executor, Resources

RUN: Mapping[Executor, Callable[[StudyRunner, Resources, Callable[[], None]], None]] = {
    "ray": run_on_ray,
    "local": run_here,
}
"""Name to what runs the trials; the last argument sets the study's signal handlers again."""


def run_trials(runner: StudyRunner, resources: Resources) -> None:
    """Run what a runner hands out until it is done or a signal comes.

    Raises:
        InputError: There is no cluster at the address.
    """
    with _leaving_on_signals(runner) as take_signals:
        RUN[resources.executor](runner, resources, take_signals)


SAME_SECONDS = 1.0
"""Between two signals that are one request to end."""


@contextmanager
def _leaving_on_signals(runner: StudyRunner) -> Iterator[Callable[[], None]]:
    """Let Ctrl-C, SIGTERM and SIGHUP end the study between two events; a second one ends it at once.

    One that follows within `SAME_SECONDS` is the same: `timeout` signals the process, then its whole group.
    A handler that only sets a flag loses nothing: Python drops a KeyboardInterrupt that comes while a process
    is forked, and Ray would be half started.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None  # Python lets only the main thread set handlers: the caller's stay
        return
    first: list[float] = []

    def leave(number: int, frame: object) -> None:
        now = time.monotonic()
        if first and now - first[0] < SAME_SECONDS:
            return
        if runner.closing:
            raise KeyboardInterrupt
        first.append(now)
        runner.interrupt()

    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # Under nohup a study outlives its terminal.
    leaving = {number: leave if handler != signal.SIG_IGN else handler for number, handler in usual.items()}
    with signal_handlers(leaving):
        yield lambda: set_handlers(leaving)
