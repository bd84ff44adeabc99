import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest

from adapert.study.engine.runner import StudyRunner
from adapert.study.execution import run


class Interrupted:
    """Counts how often a study is asked to end."""

    closing = None
    n_times = 0

    def interrupt(self) -> None:
        self.n_times += 1
        self.closing = "interrupted"


def signal_twice(number: signal.Signals) -> Interrupted:
    runner = Interrupted()
    with run._leaving_on_signals(cast(StudyRunner, runner)):
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
    return runner


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_two_signals_at_once_are_one_request_to_end(number: signal.Signals) -> None:
    assert signal_twice(number).n_times == 1


def test_a_study_in_another_thread_leaves_signal_handlers_as_they_are() -> None:
    usual = signal.getsignal(signal.SIGTERM)

    def work() -> Any:
        runner: Any = Interrupted()
        with run._leaving_on_signals(runner) as take_signals:
            take_signals()
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result() is usual


def test_a_later_signal_ends_a_study_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "SAME_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        signal_twice(signal.SIGTERM)
