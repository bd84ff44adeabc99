"""Carries a study's ledger to MLflow, in a thread, so that no trial waits for it.

The ledger is the spool. First the store is asked what it has of the study (`adapert.tracking.mirror`), and
what it lacks is delivered run by run; then new lines follow in order; at the end the store is asked again.
So a store that is slow, full or lost costs nothing but time, and what it took is not delivered again. The
number of lines that it has is kept in a file next to the ledger, for `adapert status`.
"""

import json
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from adapert.files import write_whole
from adapert.study.engine.events import Event, RunTracked, StudyDefined
from adapert.study.engine.ledger import Ledger, read_events
from adapert.study.engine.state import StudyState, fold
from adapert.study.plan.study import Study
from adapert.tracking.mirror import Delivery, Job, Mirror, Models
from adapert.tracking.runs import Connect, NotYetError, Runs, is_lasting

DELIVERED_FILE = "delivered.json"
"""Next to the ledger: how many of its lines, apart from `RunTracked`, MLflow has."""

RETRY_SECONDS = 1.0, 60.0
"""Wait before trying an unreachable store again: at first, and at most."""

PATIENCE_SECONDS = 20.0
"""How long the end of a study waits for a store that does not answer."""

MAX_LINES = 100
"""Lines per delivery; what was taken is counted before the next one."""

PAUSE_SECONDS = 0.5
"""Pause between two deliveries, so that the lines of a run go in one call."""


class Tracker:
    """An observer of a study that brings every line to MLflow, in order and once."""

    def __init__(
        self,
        study: Study,
        ledger: Ledger,
        events: Sequence[Event],
        connect: Connect,
        models: Models | None = None,
    ) -> None:
        """Compare what MLflow has with a ledger that this process holds, and begin to write.

        The writing thread opens the store. Without `models` a picked model is left out.
        """
        self._ledger, self._folder = ledger, ledger.path.parent
        self._n_delivered, self._n_lines = read_delivered(self._folder), count_lines(events)
        is_new = all(isinstance(event, StudyDefined) for event in events)
        run_ids = {event.trial: event.run for event in events if isinstance(event, RunTracked)}
        self._runs = Runs(connect, ledger, run_ids, is_new)
        self._mirror = Mirror(study, self._runs, self._folder, models)
        self._jobs: deque[list[Job]] = deque()
        self._missing: deque[Delivery] | None = None
        """What runs lack; None where the store is to be asked."""
        self._events: Sequence[Event] = events
        self._is_asked = self._is_checked = self._is_left = False
        self._fewest, self._progressed_at = math.inf, 0.0
        self._came = threading.Condition()
        self._deadline: float | None = None
        self._patience = PATIENCE_SECONDS
        self.refused: list[str] = []
        self.trouble = ""
        if is_new:
            self._missing = deque()
            self._jobs.append(self._mirror.deliver_line(events[0], fold(events[:1])))
        # A daemon: a store that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._write, name="mlflow-writer", daemon=True)
        self._thread.start()

    def on_event(self, event: Event, state: StudyState) -> None:
        """Queue what a line means for MLflow."""
        with self._came:
            self._jobs.append(self._mirror.deliver_line(event, state))
            self._n_lines += 1
            self._came.notify()

    def close(self, patience_seconds: float = PATIENCE_SECONDS) -> int:
        """Deliver what waits, and ask the store whether it has all.

        A store that is only slow is waited for as long as it answers; one that does not, `patience_seconds`.

        Returns:
            Number of lines that still wait, at least 1 where the store could not be asked; then `trouble`
            says why.
        """
        with self._came:
            self._patience = patience_seconds
            self._deadline = time.monotonic() + patience_seconds
            self._came.notify()
        n_answered = -1
        while self._thread.is_alive() and n_answered < self._runs.n_answered:
            n_answered = self._runs.n_answered
            self._thread.join(patience_seconds + PATIENCE_SECONDS)
        with self._came:  # from here on, whatever the thread still does must not change the answer
            self._is_left = True
            if self._is_checked:
                return 0
            seconds = patience_seconds + PATIENCE_SECONDS
            self.trouble = self.trouble or f"The store did not answer within {seconds:g} s."
            return max(1, self._n_lines - self._n_delivered)

    def describe_trouble(self) -> str:
        """What keeps the store from having all, or what it refused for good; empty where it has all."""
        return self.trouble or "; ".join(self.refused[:3])

    # In the writing thread.

    def _write(self) -> None:
        wait = RETRY_SECONDS[0]
        while self._wait_for_work():
            try:
                is_live = self._work()
                self._set_trouble("")
                wait = RETRY_SECONDS[0]
                if is_live:
                    self._pause(PAUSE_SECONDS)
            except Exception as error:  # whatever the store does, trials go on
                self._set_trouble(_describe(error))
                given_up_at = max(self._deadline or math.inf, self._progressed_at + self._patience)
                if time.monotonic() >= given_up_at:
                    return
                self._pause(wait)
                wait = min(2 * wait, RETRY_SECONDS[1])

    def _set_trouble(self, trouble: str) -> None:
        with self._came:
            self.trouble = self.trouble if self._is_left else trouble

    def _wait_for_work(self) -> bool:
        """Wait until something is to be done; False where all is, and the study is closed."""
        with self._came:
            self._came.wait_for(
                lambda: self._missing is None or self._missing or self._jobs or self._deadline is not None
            )
            return not (self._is_checked and not self._jobs)

    def _pause(self, seconds: float) -> None:
        # Not a sleep: a wait lets the lock go, without which no trial's line could be queued meanwhile.
        with self._came:
            if self._deadline is None:
                self._came.wait_for(lambda: self._deadline is not None, timeout=seconds)
            elif self.trouble:
                left = max(self._deadline - time.monotonic(), RETRY_SECONDS[0])
                self._came.wait_for(lambda: False, timeout=max(0.0, min(seconds, left)))

    def _work(self) -> bool:
        """Do one piece of what is to be done, and count it; True where it was of new lines."""
        if self._missing is None:
            self._compare()
        elif self._missing:
            self._deliver_missing(self._missing)
        elif self._jobs:
            self._deliver_lines()
            return True
        elif not self._is_asked:  # lines came since
            self._events, self._missing = read_events(self._ledger.path), None
        else:
            self._is_checked = True
        return False

    def _compare(self) -> None:
        n_lines = count_lines(self._events)
        missing = deque(self._mirror.find_missing(self._events))
        self._runs.forget_metrics()
        self.refused.clear()
        self._count(n_lines - sum(delivery.n_lines for delivery in missing))
        self._missing, self._is_asked = missing, True
        n_jobs = sum(len(delivery.jobs) for delivery in missing)
        if n_jobs < self._fewest:  # a delivery that failed had brought something
            self._fewest, self._progressed_at = n_jobs, time.monotonic()

    def _deliver_missing(self, missing: deque[Delivery]) -> None:
        try:
            for job in missing[0].jobs:
                self._try(job)
            self._try(self._runs.flush)
        except Exception:
            self._missing = None  # a call that failed may have been taken: the store knows
            raise
        self._count(self._n_delivered + missing.popleft().n_lines)
        self._fewest, self._progressed_at = math.inf, time.monotonic()

    def _deliver_lines(self) -> None:
        n_lines = min(len(self._jobs), MAX_LINES)
        self._is_asked = self._is_checked = False
        self._runs.forget_metrics()  # of a delivery that failed
        # Removed only once all are delivered: a failed delivery is repeated as a whole.
        for jobs in [self._jobs[index] for index in range(n_lines)]:
            for job in jobs:
                self._try(job)
        self._try(self._runs.flush)
        self._count(self._n_delivered + n_lines)
        self._progressed_at = time.monotonic()
        for _ in range(n_lines):
            self._jobs.popleft()

    def _count(self, n_delivered: int) -> None:
        if n_delivered != self._n_delivered:
            write_whole(self._folder / DELIVERED_FILE, json.dumps({"lines": n_delivered}))
            self._n_delivered = n_delivered

    def _try(self, job: Job) -> None:
        try:
            job()
        except Exception as error:
            if not is_lasting(error):
                raise
            if (refusal := _describe(error)) not in self.refused:
                self.refused.append(refusal)


def _describe(error: Exception) -> str:
    said = str(error) if isinstance(error, NotYetError) else f"{type(error).__name__}: {error}"
    return next((line for line in said.splitlines() if line.strip()), type(error).__name__)


def read_delivered(folder: Path) -> int:
    """How many lines of a study's ledger MLflow has."""
    try:
        return int(json.loads((folder / DELIVERED_FILE).read_text(encoding="utf-8"))["lines"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def count_waiting(folder: Path, events: Sequence[Event]) -> int:
    """How many of a study's lines MLflow did not have when it was last asked."""
    return count_lines(events) - read_delivered(folder)


def count_lines(events: Sequence[Event]) -> int:
    """Lines that mean something for MLflow."""
    return sum(not isinstance(event, RunTracked) for event in events)
