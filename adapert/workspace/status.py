"""What runs, what ran, and what it cost: read from ledgers alone, while studies run or long after."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

from adapert.errors import InputError, format_count
from adapert.records import OBJECTIVE, TrialRecord, TrialStatus, best_record
from adapert.study.engine.folders import find_study, study_names
from adapert.study.engine.ledger import LEDGER_FILE, is_held, read_events, read_holder
from adapert.study.engine.state import StudyState, fold
from adapert.tracking.tracker import count_waiting
from adapert.workspace.progress import empty_table, format_seconds, format_value


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands.

    Attributes:
        name: The study's name.
        state: Its ledger, folded.
        is_running: Whether a process runs it now.
        holder: That process, or the last one: ``"pid 12 on host"``.
        n_asked: Trials asked for, at most.
        n_waiting: Lines that MLflow does not have.
    """

    name: str
    state: StudyState
    is_running: bool
    holder: str
    n_asked: int
    n_waiting: int

    @property
    def word(self) -> str:
        """One word for where it stands."""
        if self.is_running:
            return "running"
        return "killed" if self.state.closed is None else str(self.state.closed.status)


def read_status(workspace: Path, name: str) -> StudyStatus:
    """Read where a study stands.

    Raises:
        InputError: No such study, or a damaged ledger.
    """
    folder = find_study(workspace, name)
    events = read_events(folder / LEDGER_FILE)
    state, holder = fold(events), read_holder(folder)
    return StudyStatus(
        name=name,
        state=state,
        is_running=is_held(folder),
        holder=f"pid {holder['pid']} on {holder['host']}",
        n_asked=state.n_asked,
        n_waiting=count_waiting(folder, events),
    )


def read_statuses(workspace: Path) -> tuple[list[StudyStatus], list[str]]:
    """Read where all studies of a workspace stand, by name.

    Returns:
        Those that can be read, and a sentence for each that cannot.
    """
    statuses: list[StudyStatus] = []
    faults: list[str] = []
    for name in study_names(workspace):
        try:
            statuses.append(read_status(workspace, name))
        except InputError as error:
            faults.append(str(error))
    return statuses, faults


def build_studies_table(statuses: list[StudyStatus]) -> Table:
    """Table of studies, a line each."""
    columns = ("study", "state", "trials", "ends", "best", "trial-hours")
    table = empty_table(columns, ("trials", "best", "trial-hours"))
    for status in statuses:
        records = list(status.state.records.values())
        ended = [record for record in records if record.status != TrialStatus.RUNNING]
        counts = Counter(_word(record, status.is_running) for record in records)
        best = best_record(ended)
        table.add_row(
            Text(status.name),
            status.word,
            f"{len(ended)}/{status.n_asked}",
            ", ".join(f"{count} {word}" for word, count in sorted(counts.items())),
            format_value(None if best is None else best.objective),
            f"{status.state.trial_hours:.2f}",
        )
    return table


def build_trials_table(status: StudyStatus) -> Table:
    """Table of a study's trials, a line each."""
    columns = ("trial", "variant", "seed", "state", "epoch", "best", "seconds", "host", "why")
    table = empty_table(columns, ("seed", "epoch", "best", "seconds"))
    for record in status.state.records.values():
        table.add_row(
            record.trial_id,
            Text(record.variant),
            str(record.seed),
            _word(record, status.is_running),
            str(record.n_epochs),
            format_value(record.metrics.get(OBJECTIVE)),
            f"{record.seconds:.1f}",
            Text(record.host),
            Text(record.message),
        )
    return table


def describe_status(status: StudyStatus) -> list[str]:
    """Say where a study stands, in a few lines."""
    records = status.state.records.values()
    n_ended = sum(record.status != TrialStatus.RUNNING for record in records)
    now = f"by {status.holder}" if status.is_running else f"last by {status.holder}"
    lines = [
        f"{status.name}: {status.word} ({now}), {n_ended} of {format_count(status.n_asked, 'trial')}, "
        f"{status.state.trial_hours:.2f} trial-hours, {format_seconds(status.state.seconds)} at work"
    ]
    if status.state.closed and status.state.closed.message:
        lines.append(status.state.closed.message)
    if status.n_waiting and not status.is_running:
        lines.append(f"MLflow lacks {format_count(status.n_waiting, 'line')}: adapert sync {status.name}")
    return lines


def _word(record: TrialRecord, is_running: bool) -> str:
    if record.status != TrialStatus.RUNNING:
        return str(record.status)
    return "running" if is_running else "interrupted"
