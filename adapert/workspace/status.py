"""What runs, what ran, and what it cost: read from ledgers alone, while studies run or long after."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from adapert.commands import in_workspace
from adapert.errors import InputError, format_count
from adapert.records import OBJECTIVE, EndReason, TrialRecord, TrialStatus, best_record
from adapert.study.engine.first_rung import describe_first_rung
from adapert.study.engine.folders import find_study, study_names
from adapert.study.engine.ledger import read_holder, read_running
from adapert.study.engine.state import StudyState, fold
from adapert.tracking.tracker import count_waiting
from adapert.workspace.progress import Tried, empty_table, format_seconds, format_value

N_LEVELS = 3
"""Levels of folders below one in which workspaces are looked for."""


@dataclass(frozen=True)
class StudyStatus:
    """Where a study stands.

    Attributes:
        workspace: Its workspace.
        name: The study's name.
        state: Its ledger, folded.
        is_running: Whether a process runs it now.
        holder: That process, or the last one: ``"pid 12 on host"``.
        n_asked: Trials asked for, at most.
        n_waiting: Lines that MLflow does not have.
    """

    workspace: Path
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

    @property
    def kind(self) -> str:
        """What it was made for, such as ``"search"``."""
        return str(self.state.definition.study["plan"]["kind"])

    @property
    def ended(self) -> list[TrialRecord]:
        """Trials that have ended, in the order of asking."""
        return [record for record in self.state.records.values() if record.status != TrialStatus.RUNNING]

    @property
    def best(self) -> float | None:
        """Best value of the objective among trials that have ended; None where none has one."""
        best = best_record(self.ended)
        return None if best is None else best.objective

    def end_of(self, record: TrialRecord) -> str:
        """One word for where a trial stands: ``"interrupted"`` where its process is gone."""
        if record.status != TrialStatus.RUNNING:
            return str(record.status)
        return "running" if self.is_running else "interrupted"


def read_status(workspace: Path, name: str) -> StudyStatus:
    """Read where a study stands.

    Raises:
        InputError: No such study, or a damaged ledger.
    """
    folder = find_study(workspace, name)
    events, is_running = read_running(folder)
    state, holder = fold(events), read_holder(folder)
    return StudyStatus(
        workspace=workspace,
        name=name,
        state=state,
        is_running=is_running,
        holder=f"pid {holder['pid']} on {holder['host']}",
        n_asked=state.n_asked,
        n_waiting=count_waiting(folder, events),
    )


def read_statuses(workspace: Path) -> tuple[list[StudyStatus], list[str]]:
    """Read where all studies stand of a workspace, or of the workspaces in a folder that is none, by name.

    Returns:
        Those that can be read, and a sentence for each that cannot.

    Raises:
        InputError: There is no such folder.
    """
    if not workspace.is_dir():
        raise InputError(
            f"There is no folder '{workspace}', and no study in it. Launch one, or name its workspace with "
            "--workspace."
        )
    statuses: list[StudyStatus] = []
    faults: list[str] = []
    for found in find_workspaces(workspace):
        for name in study_names(found):
            try:
                statuses.append(read_status(found, name))
            except InputError as error:
                faults.append(str(error))
    return statuses, faults


def find_workspaces(folder: Path, n_levels: int = N_LEVELS) -> list[Path]:
    """Find the workspaces with studies in a folder: itself if it is one, else those a few levels below it.

    Folders that are hidden or that may not be read are passed over.
    """
    if study_names(folder):
        return [folder]
    below = _subfolders(folder) if n_levels else []
    return [found for each in below for found in find_workspaces(each, n_levels - 1)]


def _subfolders(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    return []


def build_studies_table(statuses: list[StudyStatus]) -> Group:
    """Table of studies, a line each; of several workspaces a table each, under its name."""
    of_workspace: dict[Path, list[StudyStatus]] = {}
    for status in statuses:
        of_workspace.setdefault(status.workspace, []).append(status)
    if len(of_workspace) == 1:
        return Group(_studies_of_one(statuses))
    parts = [(Text(f"{workspace}:"), _studies_of_one(own)) for workspace, own in of_workspace.items()]
    return Group(*(part for pair in parts for part in pair))


def _studies_of_one(statuses: list[StudyStatus]) -> Table:
    columns = ("study", "kind", "state", "trials", "ends", "best", "trial-hours")
    table = empty_table(columns, ("trials", "best", "trial-hours"))
    for status in statuses:
        counts = Counter(status.end_of(record) for record in status.state.records.values())
        table.add_row(
            Text(status.name),
            status.kind,
            status.word,
            f"{len(status.ended)}/{status.n_asked}",
            ", ".join(f"{count} {word}" for word, count in sorted(counts.items())),
            format_value(status.best),
            f"{status.state.trial_hours:.2f}",
        )
    return table


def build_trials_table(status: StudyStatus) -> Table:
    """Table of a study's trials, a line each; without columns that say nothing."""
    records = list(status.state.records.values())
    tried, has_hosts = Tried(records), len({record.host for record in records}) > 1
    # That a trial was stopped after an epoch says as much as where the others stood.
    has_reasons = any(record.message and record.reason != EndReason.RUNG for record in records)
    columns = ["trial", "seed", "state", "epoch", "best", "seconds", tried.head]
    columns += ["host"] * has_hosts + ["why"] * has_reasons
    table = empty_table(columns, ("seed", "epoch", "best", "seconds"))
    for record in records:
        optional = [record.host] * has_hosts + [record.message] * has_reasons
        table.add_row(
            record.trial_id,
            str(record.seed),
            status.end_of(record),
            str(record.n_epochs),
            format_value(record.metrics.get(OBJECTIVE)),
            f"{record.seconds:.1f}",
            *map(Text, (tried.describe(record), *optional)),
        )
    return table


def describe_status(status: StudyStatus) -> list[str]:
    """Say where a study stands, in a few lines."""
    now = f"by {status.holder}" if status.is_running else f"last by {status.holder}"
    trials = f"{len(status.ended)} of {format_count(status.n_asked, 'trial')}"
    lines = [
        f"{status.name}: {status.word} ({now}), {trials}, "
        f"{status.state.trial_hours:.2f} trial-hours, {format_seconds(status.state.seconds)} at work"
    ]
    if status.state.closed and status.state.closed.message:
        lines.append(status.state.closed.message)
    if first_rung := describe_first_rung(status.state):
        lines.append(first_rung)
    if status.n_waiting and not status.is_running:
        named = in_workspace(status.workspace, status.name)
        lines.append(f"MLflow lacks {format_count(status.n_waiting, 'line')}: adapert sync {named}")
    return lines
