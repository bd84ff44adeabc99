"""What MLflow should have of a study by its ledger: a run for the study, and one for each trial."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapert.records import EndReason, Tag, TrialStatus
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
from adapert.tracking.summary import best_finished, describe_state, describe_trial, summarize_state

STUDY = ""
"""In place of a trial's id: the study's own run."""

NOTE = "mlflow.note.content"

Points = tuple[Mapping[str, float], int, float]
"""Values of metrics, their step, and their time."""


@dataclass
class ExpectedRun:
    """A run as it should be after the ledger's last line.

    Attributes:
        trial: Trial id; `STUDY` for the study's own run.
        name: Name that MLflow shows.
        at: Start, seconds since 1970.
        tags: Tags that it is created with.
        changes: Changes of the trial's config, or, for the study's own run, of its best trial's; None where
            there is no config.
        status: How it ended, or that it runs.
        reason: Why it ended.
        end_tags: Tags that its end adds.
        ended_at: When it ended; None while it runs.
        points: Metrics, oldest first.
        n_lines: Lines of the ledger that are about it.
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
        return {name: value for values, *_ in self.points for name, value in values.items()}

    def end(
        self, status: TrialStatus, tags: dict[str, str], at: float, reason: EndReason | None = None
    ) -> None:
        """Record how it ended."""
        self.status, self.end_tags, self.ended_at, self.reason = status, tags, at, reason

    def reopen(self) -> None:
        """Forget its end: another process continues the trial."""
        self.status, self.end_tags, self.ended_at, self.reason = TrialStatus.RUNNING, {}, None, None


def expect_runs(study: Study, events: Iterable[Event]) -> dict[str, ExpectedRun]:
    """Follow a ledger; the study's own run comes first, then the trials in the order of asking."""
    state, runs = StudyState(), ExpectedRuns()
    for event in events:
        state.see(event)
        _expect(study, event, state, runs)
        if not isinstance(event, RunTracked):
            runs[event.trial if isinstance(event, TrialLine) else STUDY].n_lines += 1
    return runs


def expect_changes(study: Study, event: Event, state: StudyState) -> list[ExpectedRun]:
    """Translate one line alone; the state includes it.

    Returns:
        What the line adds to each run that it is about: a run with a name begins with it, one with neither
        an end nor points is reopened by it.
    """
    runs = ExpectedRuns()
    _expect(study, event, state, runs)
    return list(runs.values())


def _expect(study: Study, event: Event, state: StudyState, runs: "ExpectedRuns") -> None:
    match event:
        case StudyDefined():
            _expect_study(study, event, runs)
        case TrialAsked():
            _expect_asked(study, event, state, runs)
        case EpochReported():
            values = event.metrics | {"total_seconds": state.records[event.trial].seconds}
            runs[event.trial].points.append((values, event.epoch, event.time))
        case TrialEnded():
            _expect_ended(event, state, runs)
        case SessionOpened():
            for trial in (STUDY, *(record.trial_id for record in state.running)):
                runs[trial].reopen()
        case SessionClosed():
            _expect_closed(event, state, runs)


def _shared_tags(study: Study, definition: StudyDefined) -> dict[str, str]:
    return {
        Tag.STUDY: study.name,
        Tag.GIT_COMMIT: definition.git_commit,
        Tag.VERSIONS: definition.packages,
    }


class ExpectedRuns(dict[str, ExpectedRun]):
    """Trial id to run; a run that began in an earlier line than those that are followed has no name."""

    def __missing__(self, trial: str) -> ExpectedRun:
        """Add what is known of the run: nothing."""
        return self.setdefault(trial, ExpectedRun(trial, "", 0.0, {}))


def _expect_study(study: Study, event: StudyDefined, runs: ExpectedRuns) -> None:
    tags = _shared_tags(study, event) | {
        Tag.KIND: "study",
        Tag.DESIGN: study.plan.kind,
        Tag.QUESTION: study.question,
        Tag.STATUS: TrialStatus.RUNNING,
        Tag.DATA_FINGERPRINT: study.base.data.fingerprint,
    }
    runs[STUDY] = ExpectedRun(STUDY, study.name, event.time, tags)


def _expect_asked(study: Study, event: TrialAsked, state: StudyState, runs: ExpectedRuns) -> None:
    record = state.records[event.trial]
    tags = _shared_tags(study, state.definition) | {
        Tag.KIND: "trial",
        Tag.TRIAL: record.trial_id,
        Tag.STATUS: TrialStatus.RUNNING,
        Tag.VARIANT: record.variant,
        Tag.SEED: str(record.seed),
        Tag.CONFIG_DIGEST: record.config_digest,
        Tag.DATA_FINGERPRINT: str(record.changes.get("data.fingerprint", study.base.data.fingerprint)),
    }
    # What a trial's numbers may depend on besides config, data and code.
    tags |= {Tag.DEVICE: record.device} if record.device else {}
    counts = {Tag.N_THREADS: record.n_threads, Tag.N_SLOTS: record.n_slots}
    tags |= {tag: str(count) for tag, count in counts.items() if count}
    is_search = study.plan.form == "search"
    runs[record.trial_id] = ExpectedRun(
        trial=record.trial_id,
        name=f"{study.name} {record.trial_id}" if is_search else f"{record.variant} seed {record.seed}",
        at=event.time,
        tags=tags,
        changes=record.changes,
    )


def _expect_ended(event: TrialEnded, state: StudyState, runs: ExpectedRuns) -> None:
    record, run = state.records[event.trial], runs[event.trial]
    run.points.append(({"total_seconds": record.seconds}, record.n_epochs, event.time))
    tags: dict[str, str] = {
        Tag.MESSAGE: record.message,
        Tag.REASON: str(record.reason),
        Tag.HOST: record.host,
        NOTE: describe_trial(record),
    }
    run.end(record.status, tags, event.time, record.reason)


def _expect_closed(event: SessionClosed, state: StudyState, runs: ExpectedRuns) -> None:
    for record in state.running:
        runs[record.trial_id].end(TrialStatus.INTERRUPTED, {}, event.time)
    run, best = runs[STUDY], best_finished(state)
    tags: dict[str, str] = {Tag.MESSAGE: event.message, NOTE: describe_state(state)}
    run.changes = None if best is None else best.changes
    run.points.append((summarize_state(state), 0, event.time))
    if best is not None:
        tags["best_trial"] = best.trial_id
    run.end(event.status, tags, event.time)
