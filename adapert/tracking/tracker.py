"""Carries a study's ledger to MLflow, in a thread, so that no trial waits for it.

The ledger is the spool. How many of its lines MLflow has is kept in a file beside it, so a store that is
slow, full or gone costs nothing but time: lines are delivered later, in order. One that is delivered twice,
since the process was killed before it could count, changes nothing.
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from adapert.files import write_whole
from adapert.records import Tag, TrialStatus
from adapert.study.ledger import Event, EventKind, Ledger
from adapert.study.state import StudyState
from adapert.study.study import Search, Study
from adapert.tracking.runs import STUDY, Connect, NotYetError, Runs, is_lasting
from adapert.tracking.summary import best_finished, config_of, describe_state, summarize_state

DELIVERED_FILE = "delivered.json"
"""Beside the ledger: how many of its lines, `EventKind.TRACKED` ones aside, MLflow has."""

RETRY_SECONDS = 1.0, 60.0
"""Wait before trying an unreachable store again: at first, and at most."""

PATIENCE_SECONDS = 20.0
"""How long the end of a study waits for a store that does not answer."""

MAX_LINES = 500
"""Of a delivery: what was taken is counted before the next one."""

PAUSE_SECONDS = 0.5
"""Between two deliveries: what comes meanwhile goes in one call a run."""

Job = Callable[[], Any]


class Tracker:
    """An observer of a study that brings every line to MLflow, in order and once."""

    def __init__(
        self, study: Study, ledger: Ledger, events: Sequence[Event], connect: Connect, trial_folders: Path
    ) -> None:
        """Take up what is not delivered yet, and begin to write.

        Args:
            study: As its ledger defines it.
            ledger: Held by this process.
            events: Its lines so far.
            connect: Opens the store, by the writing thread.
            trial_folders: Folder of the trials' folders.
        """
        self._study, self._folder, self._trial_folders = study, ledger.path.parent, trial_folders
        self._n_delivered = read_delivered(self._folder)
        is_new = all(event["event"] == EventKind.STUDY for event in events)
        run_ids = {event["trial"]: event["run"] for event in events if event["event"] == EventKind.TRACKED}
        self._runs = Runs(connect, ledger, run_ids, is_new)
        self._jobs: deque[list[Job]] = deque()
        self._came = threading.Condition()
        self._deadline: float | None = None
        self.refused: list[str] = []
        self.trouble = ""
        state = StudyState()
        for number, event in enumerate(line for line in events if line["event"] != EventKind.TRACKED):
            state.see(event)
            if number >= self._n_delivered:
                self._jobs.append(self._jobs_of(event, state))
        self._thread = threading.Thread(target=self._write, name="mlflow-writer", daemon=True)
        self._thread.start()

    def saw(self, event: Event, state: StudyState) -> None:
        """Queue what a line means for MLflow."""
        with self._came:
            self._jobs.append(self._jobs_of(event, state))
            self._came.notify()

    def close(self, patience_seconds: float = PATIENCE_SECONDS) -> int:
        """Deliver what waits.

        Args:
            patience_seconds: Wait for a store that does not answer.

        Returns:
            Number of lines that still wait; `trouble` says why.
        """
        with self._came:
            self._deadline = time.monotonic() + patience_seconds
            self._came.notify()
        n_waiting = len(self._jobs) + 1
        # A store that is only slow is waited for as long as it takes something.
        while self._thread.is_alive() and len(self._jobs) < n_waiting:
            n_waiting = len(self._jobs)
            self._thread.join(patience_seconds + PATIENCE_SECONDS)
        return len(self._jobs)

    # In the writing thread.

    def _write(self) -> None:
        wait = RETRY_SECONDS[0]
        while self._wait_for_jobs():
            try:
                self._deliver()
                self.trouble, wait = "", RETRY_SECONDS[0]
                self._pause(PAUSE_SECONDS)
            except Exception as error:  # whatever the store does, trials go on
                self.trouble = _describe(error)
                if self._deadline and time.monotonic() >= self._deadline:
                    return
                self._pause(wait)
                wait = min(2 * wait, RETRY_SECONDS[1])

    def _wait_for_jobs(self) -> bool:
        with self._came:
            self._came.wait_for(lambda: self._jobs or self._deadline)
            return bool(self._jobs)

    def _pause(self, seconds: float) -> None:
        with self._came:
            if self._deadline is None:
                self._came.wait_for(lambda: self._deadline is not None, timeout=seconds)
            elif self.trouble:
                left = self._deadline - time.monotonic()
                self._came.wait_for(lambda: False, timeout=max(0.0, min(seconds, left)))

    def _deliver(self) -> None:
        n_lines = min(len(self._jobs), MAX_LINES)
        self._runs.forget_metrics()  # of a delivery that failed
        for jobs in [self._jobs[index] for index in range(n_lines)]:
            for job in jobs:
                self._try(job)
        self._try(self._runs.flush)
        self._n_delivered += n_lines
        write_whole(self._folder / DELIVERED_FILE, json.dumps({"lines": self._n_delivered}))
        for _ in range(n_lines):
            self._jobs.popleft()

    def _try(self, job: Job) -> None:
        try:
            job()
        except Exception as error:
            if not is_lasting(error):
                raise
            if (refusal := _describe(error)) not in self.refused:
                self.refused.append(refusal)

    # What a line means.

    def _jobs_of(self, event: Event, state: StudyState) -> list[Job]:
        make = _JOBS.get(EventKind(event["event"]))
        return make(self, event, state) if make else []

    def _on_study(self, event: Event, state: StudyState) -> list[Job]:
        tags = self._shared_tags(event) | {
            Tag.KIND: "study",
            Tag.DESIGN: self._study.plan.kind,
            Tag.STATUS: TrialStatus.RUNNING,
            Tag.DATA_FINGERPRINT: self._study.base.data.fingerprint,
            "mlflow.note.content": self._study.question,
        }
        return [
            partial(self._runs.create, STUDY, self._study.name, tags, event["time"]),
            partial(self._runs.keep_origin, event.get("origin", {}), self._folder),
        ]

    def _on_opened(self, event: Event, state: StudyState) -> list[Job]:
        again = [STUDY, *(record.trial_id for record in state.running)]
        return [partial(self._runs.reopen, trial_id) for trial_id in again]

    def _on_asked(self, event: Event, state: StudyState) -> list[Job]:
        record = state.records[event["trial"]]
        config = self._study.base.with_changes(record.changes)
        tags = self._shared_tags(state.definition) | {
            Tag.KIND: "trial",
            Tag.TRIAL: record.trial_id,
            Tag.STATUS: TrialStatus.RUNNING,
            Tag.VARIANT: record.variant,
            Tag.SEED: str(record.seed),
            Tag.CONFIG_DIGEST: event["config_digest"],
            Tag.DATA_FINGERPRINT: config.data.fingerprint,
            **_machine_tags(state),
        }
        is_search = isinstance(self._study.plan, Search)
        in_search, in_design = f"{self._study.name} {record.trial_id}", f"{record.variant} seed {record.seed}"
        name = in_search if is_search else in_design
        return [
            partial(self._runs.create, record.trial_id, name, tags, event["time"]),
            partial(self._runs.log_config, record.trial_id, config),
        ]

    def _on_reported(self, event: Event, state: StudyState) -> list[Job]:
        values = dict(state.records[event["trial"]].metrics)
        return [partial(self._runs.log_metrics, event["trial"], values, event["epoch"], event["time"])]

    def _on_ended(self, event: Event, state: StudyState) -> list[Job]:
        record = state.records[event["trial"]]
        tags: dict[str, str] = {
            Tag.MESSAGE: record.message,
            Tag.REASON: str(record.reason),
            Tag.HOST: record.host,
        }
        cost = {"total_seconds": record.seconds}
        return [
            partial(self._runs.log_metrics, record.trial_id, cost, record.n_epochs, event["time"]),
            self._runs.flush,
            partial(self._runs.keep_files, record.trial_id, self._trial_folders / record.trial_id),
            partial(self._runs.end, record.trial_id, record.status, tags, event["time"]),
        ]

    def _on_closed(self, event: Event, state: StudyState) -> list[Job]:
        tags: dict[str, str] = {Tag.MESSAGE: event["message"], "mlflow.note.content": describe_state(state)}
        best = best_finished(state)
        jobs: list[Job] = [
            partial(self._runs.end, record.trial_id, TrialStatus.INTERRUPTED, {}, event["time"])
            for record in state.running
        ]
        if best is not None:
            tags["best_trial"] = best.trial_id
            jobs.append(partial(self._runs.log_best, config_of(state, best)))
        summary = partial(self._runs.log_metrics, STUDY, summarize_state(state), 0, event["time"])
        end = partial(self._runs.end, STUDY, TrialStatus(event["status"]), tags, event["time"])
        return [*jobs, summary, self._runs.flush, end]

    def _shared_tags(self, definition: Any) -> dict[str, str]:
        return {
            Tag.STUDY: self._study.name,
            Tag.GIT_COMMIT: definition["git_commit"],
            Tag.VERSIONS: definition["packages"],
        }


_JOBS: dict[EventKind, Callable[[Tracker, Event, StudyState], list[Job]]] = {
    EventKind.STUDY: Tracker._on_study,
    EventKind.OPENED: Tracker._on_opened,
    EventKind.ASKED: Tracker._on_asked,
    EventKind.REPORTED: Tracker._on_reported,
    EventKind.ENDED: Tracker._on_ended,
    EventKind.CLOSED: Tracker._on_closed,
}


def _machine_tags(state: StudyState) -> dict[str, str]:
    """What a trial's numbers may depend on beside config, data and code."""
    resources = state.session.get("resources", {})
    named = {Tag.DEVICE: resources.get("device"), Tag.N_THREADS: resources.get("cpus_per_trial")}
    return {tag: str(value) for tag, value in named.items() if value is not None}


def _describe(error: Exception) -> str:
    said = str(error) if isinstance(error, NotYetError) else f"{type(error).__name__}: {error}"
    return said.splitlines()[0]


def read_delivered(folder: Path) -> int:
    """How many lines of a study's ledger MLflow has."""
    try:
        return int(json.loads((folder / DELIVERED_FILE).read_text())["lines"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def count_waiting(folder: Path, events: Sequence[Event]) -> int:
    """How many of a study's lines MLflow does not have."""
    n_lines = len([event for event in events if event["event"] != EventKind.TRACKED])
    return n_lines - read_delivered(folder)
