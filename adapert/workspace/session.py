"""One process at work on a study: it holds the ledger, runs trials, tracks them and shows progress."""

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

from optuna.storages import BaseStorage
from rich.console import Console

from adapert.errors import InputError, first_line, format_count
from adapert.html import MOST_ROWS, build_card, build_sentences
from adapert.process import log_levels
from adapert.records import TrialRecord, TrialStatus
from adapert.study.engine.events import SessionOpened, UsedResources
from adapert.study.engine.ledger import LEDGER_FILE, Ledger, read_events, read_identity
from adapert.study.engine.limits import Limits
from adapert.study.engine.runner import Closing, StudyRunner
from adapert.study.engine.search import Owner, Suggestions, check_owner, open_storage
from adapert.study.engine.sources import build_source
from adapert.study.engine.state import fold
from adapert.study.execution.on_ray import clear_scratch
from adapert.study.execution.resources import Executor, Resources
from adapert.study.execution.run import run_trials
from adapert.study.execution.slots import useful_slots
from adapert.study.plan.plans import Search
from adapert.study.plan.study import Study
from adapert.tracking.runs import Connect
from adapert.tracking.tracker import Tracker
from adapert.workspace.progress import CONTINUE, Progress, build_leading, describe_ends, format_seconds

_LOGGER = logging.getLogger(__name__)

WAITED_FOR: Mapping[Executor, str] = {"ray": "starting Ray", "local": ""}
"""What a study's first trial waits for, where that takes seconds."""


@dataclass(frozen=True)
class StudyResult:
    """How a process left a study.

    Attributes:
        study: As its ledger defines it.
        records: Every trial that was asked for.
        n_asked: Trials that the study asks for, at most.
        closing: Why the process left.
        seconds: The process's wall time.
        trial_hours: The study's cost, over all processes.
        n_undelivered: Lines that MLflow does not have yet.
        trouble: What kept MLflow from taking them, or what it refused.
        had_ended: Whether the study was done before, so that the process ran no trial.
    """

    study: Study
    records: Sequence[TrialRecord]
    n_asked: int
    closing: Closing
    seconds: float
    trial_hours: float
    n_undelivered: int = 0
    trouble: str = ""
    had_ended: bool = False

    def _repr_html_(self) -> str:
        """Show a notebook how the study ended, and its best trials."""
        said = f"{self.describe_ends()} in {format_seconds(self.seconds)}."
        how = CONTINUE if self.closing.status == TrialStatus.INTERRUPTED else ""
        return build_card(
            f"{self.study.name}: {self.study.question}",
            build_sentences([said, self.closing.message, how, self.trouble]),
            build_leading(self.records, MOST_ROWS, is_left=True),
        )

    def describe_ends(self) -> str:
        """Count how the trials ended: ``"3 finished, 1 interrupted of 8 trials"``."""
        ends = ", ".join(describe_ends(self.records, is_left=True))
        return f"{ends or 'none'} of {format_count(self.n_asked, 'trial')}"

    def count(self, status: TrialStatus) -> int:
        """Number of trials that ended so."""
        return sum(record.status == status for record in self.records)


# Optuna's notes of every trial would go between the lines of progress.
@log_levels({"optuna": logging.ERROR})
def operate(
    folder: Path,
    resources: Resources,
    limits: Limits,
    console: Console,
    connect: Connect,
    data: Path | None = None,
) -> StudyResult:
    """Run a study until it is done, or something ends the process's work.

    Args:
        folder: The study's, absolute, held by this process; its ledger has its first line.
        resources: What the study may use.
        limits: The study's limits.
        console: Where progress is shown.
        connect: Opens the store.
        data: Where its data set is now; where its ledger says if None.

    Raises:
        InputError: Ray, or the searcher's storage, cannot be had.
    """
    started = time.monotonic()
    clear_scratch(folder)
    events = read_events(folder / LEDGER_FILE)
    state = fold(events)
    ledger = Ledger(folder / LEDGER_FILE)
    _LOGGER.debug(f"{len(events)} events in '{folder / LEDGER_FILE}'")
    study = state.study

    def suggest(plan: Search) -> Suggestions:
        owner = Owner(str(folder), read_identity(folder))
        storage = _open_storage(state.definition.optuna_storage, folder, study.name, owner)
        return Suggestions(plan, study.name, storage, owner)

    source = build_source(study.plan, state, suggest)
    tracker = Tracker(study, ledger, events, connect)
    placed = study
    if data is not None:
        placed = replace(study, base=study.base.with_changes({"data.path": str(data)}))
    resources = useful_slots(placed, resources)
    progress = Progress(console, state, WAITED_FOR[resources.executor])
    try:
        runner = StudyRunner(
            placed, ledger, state, source, limits, [tracker, progress], resources.max_failures
        )
        runner.open(
            SessionOpened(
                pid=os.getpid(),
                host=socket.gethostname(),
                resources=cast("UsedResources", asdict(resources)),
                limits=limits,
                data=placed.base.data.path,
            )
        )
        had_ended = runner.is_done
        try:
            if not had_ended:
                with progress:
                    run_trials(runner, resources)
        finally:
            closing = runner.close()
    finally:
        n_undelivered = tracker.close()
        ledger.close()
    return StudyResult(
        study=study,
        records=list(state.records.values()),
        n_asked=state.n_asked,
        closing=closing,
        seconds=time.monotonic() - started,
        trial_hours=state.trial_hours,
        n_undelivered=n_undelivered,
        trouble=tracker.describe_trouble(),
        had_ended=had_ended,
    )


def _open_storage(address: str, folder: Path, name: str, owner: Owner) -> BaseStorage:
    """Open Optuna's database; without it a file does, since the ledger rebuilds what Optuna knows."""
    try:
        storage = open_storage(address, folder)
        check_owner(name, storage, owner)
        return storage
    except InputError:
        _LOGGER.warning(
            f"'{name}' in Optuna's database is another study's, such as the one that this is a copy of, and "
            "stays as it is. This study continues with a file of its own, rebuilt from its ledger."
        )
        return open_storage("", folder)
    except Exception as error:  # whatever SQLAlchemy or a driver raises
        _LOGGER.warning(
            f"Optuna's database cannot be opened: {first_line(error)} The study continues with a file, "
            "rebuilt from its ledger. To have it in the database again, start that (its password in "
            "PGPASSWORD or ~/.pgpass) and resume."
        )
        return open_storage("", folder)
