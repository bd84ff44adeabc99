"""What MLflow should have of a study, as its ledger tells it: a run for the study, and one for each trial."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapert.records import EndReason, Tag, TrialRecord, TrialStatus
from adapert.study.engine.events import (
    EpochReported,
    Event,
    RunTracked,
    SessionClosed,
    SessionOpened,
    StudyDefined,
    TrialAsked,
    TrialEnded,
    TrialLine,
)
from adapert.study.engine.state import StudyState
from adapert.study.plan.study import Study
from adapert.tracking.summary import best_finished, describe_state, summarize_state

STUDY = ""
"""In place of a trial's id: the study's own run."""

NOTE = "mlflow.note.content"

Points = tuple[Mapping[str, float | None], int, float]
"""Values of metrics (None is NaN), their step, and their time."""


@dataclass
class ExpectedRun:
    """A run as it should be after the ledger's last line.

    Attributes:
        trial: Its id; `STUDY` for the study's own run.
        name: Shown by MLflow.
        at: Its start, seconds since 1970.
        tags: That it was created with.
        changes: Of the trial's config; of the study's own run those of its best trial. None where there is
            no config.
        status: How it ended, or that it runs.
        reason: Why it ended.
        end_tags: That its end gives it.
        ended_at: When; None while it runs.
        points: Its metrics, oldest first.
        n_lines: Of the ledger that are about it.
    """

    trial: str
    name: str
    at: float
    tags: dict[str, str]
    changes: Mapping[str, Any] | None = None
    status: TrialStatus = TrialStatus.RUNNING
    reason: EndReason | None = None
    end_tags: dict[str, str] = field(default_factory=dict)
    ended_at: float | None = None
    points: list[Points] = field(default_factory=list)
    n_lines: int = 0

    @property
    def latest(self) -> dict[str, float]:
        """Last value of each metric."""
        last = {name: value for values, *_ in self.points for name, value in values.items()}
        return {name: math.nan if value is None else value for name, value in last.items()}

    def end(
        self, status: TrialStatus, tags: dict[str, str], at: float, reason: EndReason | None = None
    ) -> None:
        """Note an end."""
        self.status, self.end_tags, self.ended_at, self.reason = status, tags, at, reason

    def reopen(self) -> None:
        """Forget an end: another process took the trial up."""
        self.end(TrialStatus.RUNNING, {}, self.at)
        self.ended_at = None


def expect_runs(study: Study, events: Iterable[Event]) -> dict[str, ExpectedRun]:
    """Follow a ledger; the study's own run comes first, then the trials in the order of asking."""
    state, runs = StudyState(), dict[str, ExpectedRun]()
    for event in events:
        state.see(event)
        match event:
            case StudyDefined():
                runs[STUDY] = ExpectedRun(STUDY, study.name, event.time, study_tags(study, event))
            case TrialAsked():
                _expect_asked(study, event, state, runs)
            case EpochReported():
                _expect_reported(event, state, runs)
            case TrialEnded():
                _expect_ended(event, state, runs)
            case SessionOpened():
                for trial in (STUDY, *(record.trial_id for record in state.running)):
                    runs[trial].reopen()
            case SessionClosed():
                _expect_closed(event, state, runs)
        if not isinstance(event, RunTracked):
            runs[event.trial if isinstance(event, TrialLine) else STUDY].n_lines += 1
    return runs


def study_tags(study: Study, definition: StudyDefined) -> dict[str, str]:
    """Tags that the study's own run is created with."""
    return _shared_tags(study, definition) | {
        Tag.KIND: "study",
        Tag.DESIGN: study.plan.kind,
        Tag.QUESTION: study.question,
        Tag.STATUS: TrialStatus.RUNNING,
        Tag.DATA_FINGERPRINT: study.base.data.fingerprint,
    }


def trial_tags(study: Study, state: StudyState, record: TrialRecord, config_digest: str) -> dict[str, str]:
    """Tags that a trial's run is created with."""
    return _shared_tags(study, state.definition) | {
        Tag.KIND: "trial",
        Tag.TRIAL: record.trial_id,
        Tag.STATUS: TrialStatus.RUNNING,
        Tag.VARIANT: record.variant,
        Tag.SEED: str(record.seed),
        Tag.CONFIG_DIGEST: config_digest,
        Tag.DATA_FINGERPRINT: str(record.changes.get("data.fingerprint", study.base.data.fingerprint)),
        **_machine_tags(state),
    }


def trial_name(study: Study, record: TrialRecord) -> str:
    """Name that MLflow shows of a trial's run."""
    is_search = study.plan.form == "search"
    return f"{study.name} {record.trial_id}" if is_search else f"{record.variant} seed {record.seed}"


def end_tags(record: TrialRecord) -> dict[str, str]:
    """Tags of an ended trial."""
    return {Tag.MESSAGE: record.message, Tag.REASON: str(record.reason), Tag.HOST: record.host}


def closing_tags(state: StudyState) -> dict[str, str]:
    """Tags of a study that a process has left."""
    assert state.closed is not None
    tags: dict[str, str] = {Tag.MESSAGE: state.closed.message, NOTE: describe_state(state)}
    best = best_finished(state)
    return tags if best is None else tags | {"best_trial": best.trial_id}


def _shared_tags(study: Study, definition: StudyDefined) -> dict[str, str]:
    return {
        Tag.STUDY: study.name,
        Tag.GIT_COMMIT: definition.git_commit,
        Tag.VERSIONS: definition.packages,
    }


def _machine_tags(state: StudyState) -> dict[str, str]:
    """What a trial's numbers may depend on beside config, data and code."""
    resources = state.resources
    named = {Tag.DEVICE: resources.get("device"), Tag.N_THREADS: resources.get("cpus_per_trial")}
    return {tag: str(value) for tag, value in named.items() if value is not None}


Runs = dict[str, ExpectedRun]


def _expect_asked(study: Study, event: TrialAsked, state: StudyState, runs: Runs) -> None:
    record = state.records[event.trial]
    runs[record.trial_id] = ExpectedRun(
        trial=record.trial_id,
        name=trial_name(study, record),
        at=event.time,
        tags=trial_tags(study, state, record, event.config_digest),
        changes=record.changes,
    )


def _expect_reported(event: EpochReported, state: StudyState, runs: Runs) -> None:
    points = runs[event.trial].points
    points.append((event.metrics, event.epoch, event.time))
    points.append((_cost(state.records[event.trial]), event.epoch, event.time))


def _expect_ended(event: TrialEnded, state: StudyState, runs: Runs) -> None:
    record, run = state.records[event.trial], runs[event.trial]
    run.points.append((_cost(record), record.n_epochs, event.time))
    run.end(record.status, end_tags(record), event.time, record.reason)


def _expect_closed(event: SessionClosed, state: StudyState, runs: Runs) -> None:
    for record in state.running:
        runs[record.trial_id].end(TrialStatus.INTERRUPTED, {}, event.time)
    run, best = runs[STUDY], best_finished(state)
    run.changes = None if best is None else best.changes
    run.points.append((summarize_state(state), 0, event.time))
    run.end(event.status, closing_tags(state), event.time)


def _cost(record: TrialRecord) -> dict[str, float | None]:
    return {"total_seconds": record.seconds}
