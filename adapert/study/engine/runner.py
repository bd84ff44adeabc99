"""Decides what a study does next: writes its ledger, and decides the same after any crash.

Nothing here knows of Ray. The executor asks `next_trial`, and calls `started`, `reported` and `failed`; each
is in the ledger before anything acts on it.
"""

import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from adapert.records import DISK, FAILURE, HOST, IS_OVER, MESSAGE, EndReason, TrialRecord, TrialStatus
from adapert.study.engine.comparisons import Comparisons
from adapert.study.engine.events import (
    EpochReported,
    Event,
    RungDecided,
    SessionClosed,
    SessionOpened,
    StopRequested,
    StudyExtended,
    TrialAsked,
    TrialEnded,
    TrialStarted,
    WorkerLost,
)
from adapert.study.engine.ledger import HOLDER_FILE, Ledger
from adapert.study.engine.limits import Limits
from adapert.study.engine.proposals import Proposal, TrialSource
from adapert.study.engine.reports import values_of
from adapert.study.engine.requests import read_requests
from adapert.study.engine.state import StudyState
from adapert.study.engine.trial_files import clear_trial, write_trial_config
from adapert.study.plan.study import Study

MAX_IDENTICAL_FAILURES = 3
"""Number of trials that fail for the same reason, while none succeeds, before a study gives up."""

LOOK_EVERY = 0.2
"""Seconds between two looks at limits and at requests from other terminals."""

ASKED_TO_STOP = "It was asked to stop."


class StudyObserver(Protocol):
    """Is called with every line of the ledger, after it was written."""

    def on_event(self, event: Event, state: StudyState) -> None:
        """Take a line in; `state` includes it."""


@dataclass(frozen=True)
class Closing:
    """Why a process leaves a study.

    Attributes:
        status: FINISHED where every trial that was asked for has ended and none failed, STOPPED by a limit or
            request, INTERRUPTED, or FAILED.
        reason: Why running trials end; None leaves them to be resumed.
        message: A sentence.
        is_ray_lost: Whether it FAILED because a part of Ray no longer answers; it can be resumed at once.
    """

    status: TrialStatus
    reason: EndReason | None = None
    message: str = ""
    is_ray_lost: bool = False

    @property
    def is_left(self) -> bool:
        """Whether the study was left before its end, and the next process can resume what runs."""
        return self.reason is None and bool(self.message)


INTERRUPTED = Closing(TrialStatus.INTERRUPTED, message="It was interrupted.")


class LeftError(Exception):
    """A study that something needs was left before its end.

    Attributes:
        closing: Why it was left.
    """

    def __init__(self, message: str, closing: Closing) -> None:
        super().__init__(message)
        self.closing = closing


class StudyRunner:
    """A study at work."""

    def __init__(
        self,
        study: Study,
        ledger: Ledger,
        state: StudyState,
        source: TrialSource,
        limits: Limits | None = None,
        observers: Sequence[StudyObserver] = (),
        max_failures: int = 0,
    ) -> None:
        """Take a study up where its ledger leaves it.

        Args:
            study: As its ledger defines it.
            ledger: Held by this process.
            state: The ledger's lines so far, folded.
            source: Source of trials; in the same state.
            limits: The study's limits.
            observers: Called with each new line.
            max_failures: Number of workers that a trial may lose before it fails.
        """
        self.study, self.ledger, self.state, self.source = study, ledger, state, source
        self.limits, self.observers = limits or Limits(), observers
        self.max_failures = max_failures
        self.closing: Closing | None = None
        self._writing = threading.RLock()
        self._waiting: deque[TrialRecord] = deque()
        self._comparisons = Comparisons(study.plan, state, study.base.training.max_epochs)
        self._opened, self._looked = time.monotonic(), 0.0
        self._seconds_before = state.seconds

    def open(self, session: SessionOpened) -> None:
        """Take the study up, put its rungs back, and end what had ended when the last process was killed."""
        self._write(session)
        self._learn_first_rung()
        for record in self.state.records.values():
            if record.status != TrialStatus.RUNNING:
                clear_trial(self.folder, record.trial_id)
        stopped = {line.trial: line for line in self.state.decided if line.is_stopped}
        for record in self.state.running:
            if record.is_over:
                self._end(record, TrialStatus.FINISHED, EndReason.EPOCHS)
            elif record.trial_id in self.state.to_stop:
                self._end(record, TrialStatus.STOPPED, EndReason.REQUEST, ASKED_TO_STOP)
            elif record.trial_id in stopped:
                self._end(record, TrialStatus.STOPPED, EndReason.RUNG, _describe(stopped[record.trial_id]))
            elif not record.n_epochs or self._decide_rung(record):
                self._waiting.append(record)
        self._complete_configs()
        # A study that is done never looks again.
        self._take_requests()

    def interrupt(self) -> None:
        """Leave the study; the next process resumes what runs."""
        self.closing = self.closing or INTERRUPTED

    def lose_ray(self, part: str) -> None:
        """Leave the study since a part of Ray no longer answers; what runs is left to be resumed."""
        message = (
            f"Ray's {part} no longer answers, without which no trial runs. Nothing is lost: resume the study."
        )
        self.closing = self.closing or Closing(TrialStatus.FAILED, message=message, is_ray_lost=True)

    def next_trial(self) -> TrialRecord | None:
        """Hand out the next trial to run; None where there is none now."""
        if self.closing:
            return None
        with self._closing_where_unwritable():
            if not self._waiting:
                for proposal in self.source.propose(self.state):
                    self._ask(proposal)
        return self._waiting.popleft() if self._waiting and not self.closing else None

    @property
    def folder(self) -> Path:
        """The study's."""
        return self.ledger.path.parent

    @property
    def n_running(self) -> int:
        """Trials that were handed out and have not ended."""
        return len(self.state.running) - len(self._waiting)

    @property
    def is_done(self) -> bool:
        """Whether nothing runs and nothing is left to hand out."""
        return not self.state.running and not self.source.has_more(self.state)

    def started(self, trial_id: str) -> None:
        """A worker took a trial up."""
        with self._closing_where_unwritable():
            self._write(TrialStarted(trial=trial_id))

    def reported(self, trial_id: str, report: Mapping[str, Any]) -> bool:
        """A trial finished an epoch, or failed.

        Args:
            trial_id: As `next_trial` handed it out.
            report: What `TrialTrainer.step` returned.

        Returns:
            Whether the trial continues.
        """
        record = self.state.records[trial_id]
        if self.closing or record.status != TrialStatus.RUNNING:
            return False
        with self._closing_where_unwritable():
            return self._take_report(record, report)
        return False

    def failed(self, trial_id: str, reason: EndReason, message: str) -> None:
        """A trial's attempt came to nothing: it is handed out again where its worker was lost, or it ends."""
        record = self.state.records[trial_id]
        if self.closing or record.status != TrialStatus.RUNNING:
            return
        with self._closing_where_unwritable():
            self._fail(record, reason, message)

    def should_close(self) -> bool:
        """Look for requests and limits; called many times a second.

        Returns:
            Whether the process leaves the study now, whatever runs.
        """
        now = time.monotonic()
        if not self.closing and now - self._looked >= LOOK_EVERY:
            self._looked = now
            with self._closing_where_unwritable():
                self._take_requests()
            records, hours = self.state.records.values(), self.state.trial_hours
            reached = self.limits.reached(records, hours, self._seconds_before + now - self._opened)
            if reached and not self.closing:
                self.closing = Closing(TrialStatus.STOPPED, EndReason.LIMIT, reached)
        return self.closing is not None

    def close(self) -> Closing:
        """End what still runs, or leave it to be resumed, and write the process's last line."""
        closing = self.closing or INTERRUPTED
        if not self.closing and self.is_done:
            is_whole = all(record.status != TrialStatus.FAILED for record in self.state.records.values())
            closing = Closing(TrialStatus.FINISHED if is_whole else TrialStatus.FAILED)
        self.closing = closing
        with suppress(OSError):  # a full disk that ended the study takes no more lines either
            if closing.reason:
                for record in self.state.running:
                    self._end(record, TrialStatus.STOPPED, closing.reason, closing.message)
            self._write(SessionClosed(status=closing.status, message=closing.message))
        with suppress(OSError):  # the next process puts back what Optuna's journal could not take
            self.source.close()
        return closing

    @contextmanager
    def _closing_where_unwritable(self) -> Iterator[None]:
        """Leave the study where the block cannot write: what the ledger has not, has not happened."""
        try:
            yield
        except OSError as error:
            message = (
                f"The study's ledger must be writable, but: {error.strerror or error}. Nothing is lost: free "
                "some space and resume the study."
            )
            self.closing = self.closing or Closing(TrialStatus.FAILED, message=message)

    def _take_report(self, record: TrialRecord, report: Mapping[str, Any]) -> bool:
        if FAILURE in report:
            if report[FAILURE] == DISK:
                self.closing = Closing(TrialStatus.FAILED, message=report[MESSAGE])
            else:
                self._fail(record, EndReason(report[FAILURE]), report[MESSAGE])
            return False
        epoch = int(report["epoch"])
        if epoch > record.n_epochs:  # else it was reported before a worker was lost
            self._write(
                EpochReported(
                    trial=record.trial_id,
                    epoch=epoch,
                    host=report.get(HOST, ""),
                    is_over=bool(report[IS_OVER]),
                    metrics=values_of(report),
                )
            )
        if report[IS_OVER]:
            self._end(record, TrialStatus.FINISHED, EndReason.EPOCHS)
            return False
        if record.trial_id in self.state.to_stop:
            self._end(record, TrialStatus.STOPPED, EndReason.REQUEST, ASKED_TO_STOP)
            return False
        return self._decide_rung(record)

    def _fail(self, record: TrialRecord, reason: EndReason, message: str) -> None:
        if reason == EndReason.WORKER and record.n_lost < self.max_failures:
            self._write(WorkerLost(trial=record.trial_id, message=message))
            self._waiting.appendleft(record)
        else:
            self._end(record, TrialStatus.FAILED, reason, message)

    def _decide_rung(self, record: TrialRecord) -> bool:
        """Compare a trial at its rung, if it reached one; return whether it continues."""
        line = self._comparisons.compare(record)
        if line is None:
            return True
        self._write(line)
        if line.is_stopped:
            self._end(record, TrialStatus.STOPPED, EndReason.RUNG, _describe(line))
        return not line.is_stopped

    def _learn_first_rung(self) -> None:
        line = self._comparisons.learn()
        if line is not None:
            self._write(line)
            self._comparisons.place()

    def _end(self, record: TrialRecord, status: TrialStatus, reason: EndReason, message: str = "") -> None:
        self._write(TrialEnded(trial=record.trial_id, status=status, reason=reason, message=message))
        clear_trial(self.folder, record.trial_id)
        if record in self._waiting:
            self._waiting.remove(record)
        self._complete_configs()
        self._learn_first_rung()
        self._check_failures()

    def _complete_configs(self) -> None:
        # Again, since a config that is completed may leave another one behind.
        while ends := self.source.complete(self.state):
            for number, end in ends:
                self._write(end.to_line(number))
                self.source.tell(number, end)

    def _check_failures(self) -> None:
        ended = [record for record in self.state.records.values() if record.status != TrialStatus.RUNNING]
        if len(ended) < MAX_IDENTICAL_FAILURES or any(
            record.status != TrialStatus.FAILED for record in ended
        ):
            return
        kinds = {(record.reason, re.sub(r"[0-9.]+", "#", record.message)) for record in ended}
        if len(kinds) == 1 and not self.is_done:
            message = f"The first {len(ended)} trials all failed for the same reason: {ended[0].message}"
            self.closing = self.closing or Closing(TrialStatus.FAILED, EndReason.LIMIT, message)

    def _take_requests(self) -> None:
        for file, request in read_requests(self.folder):
            # One that a killed process had taken up, but not removed, is in the ledger.
            if file.stem not in self.state.requests:
                self._take_request(file, request)
            file.unlink(missing_ok=True)  # who asked may have withdrawn it meanwhile

    def _take_request(self, file: Path, request: Mapping[str, Any]) -> None:
        if request["kind"] == "extend":
            more = StudyExtended(request=file.stem, n_trials=request["n_trials"], n_seeds=request["n_seeds"])
            self._write(more)
        elif request["trial"] is not None:
            record = self.state.records.get(request["trial"])
            if record and record in self._waiting:
                self._end(record, TrialStatus.STOPPED, EndReason.REQUEST, ASKED_TO_STOP)
            elif record and record in self.state.running:
                self._write(StopRequested(trial=record.trial_id, request=file.stem))
        elif not _is_of_the_past(file):
            self.closing = Closing(TrialStatus.STOPPED, EndReason.REQUEST, ASKED_TO_STOP)

    def _ask(self, proposal: Proposal) -> None:
        trial_id = f"{len(self.state.records) + 1:03d}"
        assignment = proposal.assignment
        config = self.study.base.with_changes(assignment.changes)
        # Before its line: a trial that the ledger names has its config, whatever happens next.
        write_trial_config(self.folder, trial_id, config)
        self._write(
            TrialAsked(
                trial=trial_id,
                number=proposal.number,
                variant=assignment.variant,
                seed=assignment.seed,
                changes=dict(assignment.changes),
                suggested=dict(proposal.suggested),
                config_digest=config.digest(),
            )
        )
        self._waiting.append(self.state.records[trial_id])

    def _write(self, event: Event) -> None:
        # A thread that is left behind with a lost Ray may come with a result behind the session's end.
        with self._writing:
            if self.state.closed and not isinstance(event, SessionOpened):
                return
            self.ledger.append(event)
            self.state.see(event)
            for observer in self.observers:
                observer.on_event(event, self.state)


def _is_of_the_past(request: Path) -> bool:
    """Whether a request to stop all was for a process that is gone."""
    holder = request.parents[1] / HOLDER_FILE
    return holder.is_file() and request.stat().st_mtime_ns < holder.stat().st_mtime_ns


def _describe(line: RungDecided) -> str:
    return f"It was below {line.cutoff:.4g} at epoch {line.rung}."
