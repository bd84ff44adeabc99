"""A study as its ledger records it: every record, count and cost, folded line by line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from adapert.records import TrialRecord, TrialStatus
from adapert.study.engine.events import (
    ChangesAccepted,
    ConfigCompleted,
    EpochReported,
    Event,
    FirstRungDecided,
    RungDecided,
    RunTracked,
    SessionClosed,
    SessionOpened,
    StopRequested,
    StudyDefined,
    StudyExtended,
    TrialAsked,
    TrialEnded,
    TrialLine,
    TrialStarted,
    UsedResources,
    WorkerLost,
)
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.limits import Limits
from adapert.study.plan.definition import restore_study
from adapert.study.plan.study import Study


@dataclass
class StudyState:
    """What is known of a study after the lines seen so far.

    Attributes:
        first: The ledger's first line; None before any.
        records: Trial id to record, in the order of asking.
        decided: Lines of comparisons at rungs.
        curves: Trial id to epoch to objective, minus infinity where it is NaN.
        first_rung: The last line about a learned first rung; None before any.
        uncompared: Trials that were asked for while no first rung was known.
        completed: Number of a config to what Optuna was told about it.
        n_more_trials: Configs asked for beyond the definition's.
        n_more_seeds: Seeds of each variant asked for beyond the definition's.
        requests: Requests of other terminals that were taken up, by id.
        to_stop: Trials that are to end after their epoch.
        run_ids: Trial id to run of MLflow; the empty id is the study's own.
        session: The last process's first line; None before any.
        accepted: Origin that was accepted in place of the definition's, if any.
        closed: The last process's last line; None while it runs the study, or since it was killed.
        seconds: Wall time with a process at work.
    """

    first: Event | None = None
    records: dict[str, TrialRecord] = field(default_factory=dict)
    decided: list[RungDecided] = field(default_factory=list)
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    first_rung: FirstRungDecided | None = None
    uncompared: set[str] = field(default_factory=set)
    completed: dict[int, ConfigCompleted] = field(default_factory=dict)
    n_more_trials: int = 0
    n_more_seeds: int = 0
    requests: set[str] = field(default_factory=set)
    to_stop: set[str] = field(default_factory=set)
    run_ids: dict[str, str] = field(default_factory=dict)
    session: SessionOpened | None = None
    accepted: Mapping[str, Any] | None = None
    closed: SessionClosed | None = None
    seconds: float = 0.0
    _last_time: float = 0.0
    _last_seen: dict[str, float] = field(default_factory=dict)

    @property
    def definition(self) -> StudyDefined:
        """What was asked, of which data and code."""
        assert isinstance(self.first, StudyDefined)  # else `read_events` refuses the ledger
        return self.first

    @cached_property
    def study(self) -> Study:
        """The study that the ledger defines, without what was asked for beyond it.

        Raises:
            InputError: Its first line describes none.
        """
        return restore_study(self.definition.study)

    @property
    def n_asked(self) -> int:
        """Trials that are asked for; with several seeds a config, at most."""
        return self.study.plan.extended(self.n_more_trials, self.n_more_seeds).size

    @property
    def resources(self) -> UsedResources:
        """Resources of the last process, as far as they are known."""
        return self.session.resources if self.session else {}

    @property
    def limits(self) -> Limits:
        """Limits of the last process, as far as they are known."""
        return self.session.limits if self.session else Limits()

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that have not ended, in the order of asking."""
        return [record for record in self.records.values() if record.status == TrialStatus.RUNNING]

    @property
    def trial_hours(self) -> float:
        """Cost: hours of work, summed over trials and attempts."""
        return sum(record.seconds for record in self.records.values()) / 3600

    def objective_at(self, trial: str, epoch: int) -> float:
        """Objective of a trial's first report at an epoch or after it, of which there must be one."""
        reported = self.curves[trial]
        return reported[epoch] if epoch in reported else reported[min(e for e in reported if e > epoch)]

    def see(self, event: Event) -> None:
        """Take a line in."""
        # These are written also while no process works on the study, and none did before one opens it.
        if not isinstance(event, RunTracked | ChangesAccepted):
            if not isinstance(event, SessionOpened):
                self.seconds += max(0.0, event.time - self._last_time) if self._last_time else 0.0
            self._last_time = event.time
        self.first = self.first or event
        if isinstance(event, TrialLine):
            self._see_trial(event)
        else:
            self._see_study(event)

    def _see_study(self, event: Event) -> None:
        match event:
            case SessionOpened():
                self.session, self.closed = event, None
                self._last_seen.clear()
            case SessionClosed():
                self.closed = event
            case ChangesAccepted():
                self.accepted = event.origin
            case StudyExtended():
                self.n_more_trials += event.n_trials or 0
                self.n_more_seeds += event.n_seeds or 0
                self.requests.add(event.request)
            case FirstRungDecided():
                self.first_rung = event
            case RunTracked():
                self.run_ids[event.trial] = event.run
            case ConfigCompleted():
                self.completed[event.number] = event

    def _see_trial(self, event: Event) -> None:
        match event:
            case TrialAsked():
                self.records[event.trial] = TrialRecord(
                    trial_id=event.trial,
                    number=event.number,
                    variant=event.variant,
                    seed=event.seed,
                    changes=event.changes,
                    suggested=event.suggested,
                    config_digest=event.config_digest,
                    device=self.resources.get("device", ""),
                    n_threads=self.resources.get("cpus_per_trial", 0),
                    n_slots=slots if isinstance(slots := self.resources.get("slots"), int) else 0,
                )
                self.curves[event.trial] = {}
                if self.first_rung is None or self.first_rung.epoch is None:
                    self.uncompared.add(event.trial)
            case TrialStarted():
                self._last_seen[event.trial] = event.time
            case EpochReported():
                record = self._spend(event)
                record.n_epochs, record.host, record.is_over = event.epoch, event.host, event.is_over
                record.metrics |= event.metrics | {"total_seconds": record.seconds}
                self.curves[event.trial][event.epoch] = record.objective
            case WorkerLost():
                self._spend(event).n_lost += 1
                self._last_seen.pop(event.trial, None)
            case TrialEnded():
                record = self._spend(event)
                record.status, record.reason, record.message = event.status, event.reason, event.message
                self._last_seen.pop(event.trial, None)
            case RungDecided():
                self.decided.append(event)
            case StopRequested():
                self.to_stop.add(event.trial)
                self.requests.add(event.request)

    def _spend(self, event: TrialLine) -> TrialRecord:
        """Count the time since a trial's last line as its work."""
        record = self.records[event.trial]
        before = self._last_seen.get(event.trial)
        if before is not None:
            record.seconds += max(0.0, event.time - before)
            record.metrics["total_seconds"] = record.seconds
        self._last_seen[event.trial] = event.time
        return record


def fold(events: Iterable[Event]) -> StudyState:
    """Take all lines in, oldest first."""
    state = StudyState()
    for event in events:
        state.see(event)
    return state


def read_state(folder: Path) -> StudyState:
    """Fold the ledger in a study's folder.

    Raises:
        InputError: No ledger, or a damaged one.
    """
    return fold(read_events(folder / LEDGER_FILE))
