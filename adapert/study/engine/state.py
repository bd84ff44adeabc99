"""A study as its ledger tells it: every record, count and cost, folded line by line."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapert.records import EndReason, TrialRecord, TrialStatus
from adapert.study.engine.ledger import Event, EventKind
from adapert.study.plan.study import Search, Study


@dataclass
class StudyState:
    """What is known of a study after the lines seen so far.

    Attributes:
        definition: The first line: what was asked, of which data and code.
        records: Trial id to record, in the order of asking.
        judged: Lines of comparisons at rungs.
        settled: Number of a config to what Optuna was told of it.
        n_more_trials: Configs asked for beyond the definition's.
        n_more_seeds: Seeds of each variant asked for beyond the definition's.
        requests: Requests of other terminals that were taken up, by id.
        to_stop: Trials that are to end after their epoch.
        run_ids: Trial id to run of MLflow; the empty id is the study's own.
        session: The last `EventKind.OPENED` line.
        accepted: Origin that was accepted in place of the definition's, if any.
        closed: The last `EventKind.CLOSED` line; None while a process runs the study, or since it was killed.
        seconds: Wall time with a process at work.
        n_events: Lines seen.
    """

    definition: Mapping[str, Any] = field(default_factory=dict)
    records: dict[str, TrialRecord] = field(default_factory=dict)
    judged: list[Event] = field(default_factory=list)
    settled: dict[int, Event] = field(default_factory=dict)
    n_more_trials: int = 0
    n_more_seeds: int = 0
    requests: set[str] = field(default_factory=set)
    to_stop: set[str] = field(default_factory=set)
    run_ids: dict[str, str] = field(default_factory=dict)
    session: Mapping[str, Any] = field(default_factory=dict)
    accepted: Mapping[str, Any] | None = None
    closed: Mapping[str, Any] | None = None
    seconds: float = 0.0
    n_events: int = 0
    _last_time: float = 0.0
    _last_seen: dict[str, float] = field(default_factory=dict)

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that have not ended, in the order of asking."""
        return [record for record in self.records.values() if record.status == TrialStatus.RUNNING]

    @property
    def trial_hours(self) -> float:
        """Cost: hours of work, summed over trials and attempts."""
        return sum(record.seconds for record in self.records.values()) / 3600

    def see(self, event: Event) -> None:
        """Take a line in."""
        kind = EventKind(event["event"])
        if kind not in _WRITTEN_ANY_TIME:
            if kind != EventKind.OPENED:  # between a process and the next one nobody worked
                self.seconds += max(0.0, event["time"] - self._last_time) if self._last_time else 0.0
            self._last_time = event["time"]
        self.n_events += 1
        _FOLDS.get(kind, _ignore)(self, event)

    def _spend(self, event: Event) -> TrialRecord:
        """Count the time since a trial's last line as its work."""
        record = self.records[event["trial"]]
        before = self._last_seen.get(record.trial_id)
        if before is not None:
            record.seconds += max(0.0, event["time"] - before)
            record.metrics["total_seconds"] = record.seconds
        self._last_seen[record.trial_id] = event["time"]
        return record


def fold(events: Iterable[Event]) -> StudyState:
    """Take all lines in, oldest first."""
    state = StudyState()
    for event in events:
        state.see(event)
    return state


def count_asked(study: Study, state: StudyState) -> int:
    """Trials that are asked for; with several seeds a config, at most."""
    if isinstance(study.plan, Search):
        return study.n_trials + state.n_more_trials * study.plan.seeds_per_config
    return study.with_more_seeds(state.n_more_seeds).n_trials


def _see_study(state: StudyState, event: Event) -> None:
    state.definition = event


def _see_opened(state: StudyState, event: Event) -> None:
    state.session, state.closed = event, None
    state._last_seen.clear()


def _see_closed(state: StudyState, event: Event) -> None:
    state.closed = event


def _see_accepted(state: StudyState, event: Event) -> None:
    state.accepted = event["origin"]


def _see_extended(state: StudyState, event: Event) -> None:
    state.n_more_trials += event.get("n_trials") or 0
    state.n_more_seeds += event.get("n_seeds") or 0
    state.requests.add(event["request"])


def _see_stopping(state: StudyState, event: Event) -> None:
    state.to_stop.add(event["trial"])
    state.requests.add(event["request"])


def _see_tracked(state: StudyState, event: Event) -> None:
    state.run_ids[event["trial"]] = event["run"]


def _see_asked(state: StudyState, event: Event) -> None:
    state.records[event["trial"]] = TrialRecord(
        trial_id=event["trial"],
        number=event["number"],
        variant=event["variant"],
        seed=event["seed"],
        changes=event["changes"],
        suggested=event["suggested"],
    )


def _see_started(state: StudyState, event: Event) -> None:
    record = state.records[event["trial"]]
    state._last_seen[record.trial_id] = event["time"]


def _see_reported(state: StudyState, event: Event) -> None:
    record = state._spend(event)
    record.n_epochs = event["epoch"]
    seconds = record.seconds
    record.metrics |= {
        name: math.nan if value is None else float(value) for name, value in event["metrics"].items()
    }
    record.metrics["total_seconds"] = seconds
    record.host = event["host"]
    record.is_over = event["is_over"]


def _see_lost(state: StudyState, event: Event) -> None:
    record = state._spend(event)
    record.n_lost += 1
    state._last_seen.pop(record.trial_id, None)


def _see_ended(state: StudyState, event: Event) -> None:
    record = state._spend(event)
    record.status = TrialStatus(event["status"])
    record.reason = EndReason(event["reason"])
    record.message = event["message"]
    state._last_seen.pop(record.trial_id, None)


def _see_judged(state: StudyState, event: Event) -> None:
    state.judged.append(event)


def _see_settled(state: StudyState, event: Event) -> None:
    state.settled[event["number"]] = event


def _ignore(state: StudyState, event: Event) -> None:
    """Lines that only people and trackers read."""


_WRITTEN_ANY_TIME = (EventKind.TRACKED, EventKind.ACCEPTED)
"""Also while nobody works on the study."""

_FOLDS = {
    EventKind.STUDY: _see_study,
    EventKind.OPENED: _see_opened,
    EventKind.CLOSED: _see_closed,
    EventKind.EXTENDED: _see_extended,
    EventKind.STOPPING: _see_stopping,
    EventKind.ACCEPTED: _see_accepted,
    EventKind.TRACKED: _see_tracked,
    EventKind.ASKED: _see_asked,
    EventKind.STARTED: _see_started,
    EventKind.REPORTED: _see_reported,
    EventKind.LOST: _see_lost,
    EventKind.ENDED: _see_ended,
    EventKind.JUDGED: _see_judged,
    EventKind.SETTLED: _see_settled,
}
