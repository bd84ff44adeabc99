"""Serve Optuna's dashboard over the searches of a workspace.

It may rename, annotate and delete what it shows, so it gets a storage of its own, in memory, filled from the
ledgers: neither a study nor the storage of a running search can come to harm.
"""

import logging
import signal
import warnings
from contextlib import suppress
from importlib import util
from math import isfinite
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState
from rich.console import Console

from adapert.commands import in_workspace
from adapert.errors import InputError
from adapert.process import log_levels, signal_handlers
from adapert.records import TrialRecord
from adapert.study.engine.folders import study_folder, study_names
from adapert.study.engine.ledger import read_running
from adapert.study.engine.search import ConfigEnd, build_trial
from adapert.study.engine.sources import by_config
from adapert.study.engine.state import StudyState, fold
from adapert.study.plan.plans import Search
from adapert.tracking.ui import check_port

VALUE = "validation Pearson-delta"


def serve_optuna(workspace: Path, port: int, console: Console) -> None:
    """Run Optuna's dashboard on 127.0.0.1 until Ctrl-C, SIGTERM or the terminal's end.

    Raises:
        InputError: It is not installed, the workspace has no search, or the port is taken.
    """
    if util.find_spec("optuna_dashboard") is None:
        raise InputError(
            "--optuna needs the package optuna-dashboard, but it is not installed. Run: pip install "
            "'optuna-dashboard>=0.21,<0.22'."
        )
    from optuna_dashboard import wsgi

    storage = fill_storage(workspace)
    check_port(port)
    ending = dict.fromkeys((signal.SIGTERM, signal.SIGHUP), signal.default_int_handler)
    with (
        signal_handlers(ending),
        make_server("127.0.0.1", port, wsgi(storage), _Server, _Quiet) as server,
        suppress(KeyboardInterrupt),
    ):
        for study in storage.get_all_studies():
            number = storage.get_study_id_from_name(study.study_name)
            address = f"http://127.0.0.1:{port}/dashboard/studies/{number}"
            console.print(f"{study.study_name}: {address}", soft_wrap=True, markup=False)
        console.print("Searches as they are now; start it again to see later trials. Ctrl-C ends it.")
        server.serve_forever()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print no line for each request."""


@log_levels({"optuna": logging.WARNING})
def fill_storage(workspace: Path) -> BaseStorage:
    """Put the searches of a workspace into a storage in memory, by name.

    Raises:
        InputError: It has none, or a damaged ledger.
    """
    storage = InMemoryStorage()
    for name in study_names(workspace):
        events, is_running = read_running(study_folder(workspace, name))
        state = fold(events)
        if isinstance(state.study.plan, Search):
            _add_search(storage, name, state, state.study.plan, is_running)
    if not storage.get_all_studies():
        raise InputError(
            f"Optuna's dashboard shows searches, but '{workspace}' has none. Launch one first by 'adapert "
            f"launch {in_workspace(workspace, 'search')}', or leave out --optuna to see every kind of study."
        )
    return storage


def _add_search(storage: BaseStorage, name: str, state: StudyState, plan: Search, is_running: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of naming what is maximized
        study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        study.set_metric_names([VALUE])
    study.set_user_attr("question", state.study.question)
    still = ConfigEnd(TrialState.RUNNING if is_running else TrialState.FAIL)
    for number, records in by_config(state).items():
        line = state.completed.get(number)
        end = ConfigEnd.from_line(line) if line else still
        study.add_trial(
            build_trial(plan, records[0].suggested, end, _curve(records[0], state), _describe(records))
        )


def _curve(record: TrialRecord, state: StudyState) -> dict[int, float]:
    """Objective of a config's first trial by epoch."""
    return {epoch: value for epoch, value in state.curves[record.trial_id].items() if isfinite(value)}


def _describe(records: list[TrialRecord]) -> dict[str, Any]:
    """What a config's trials are called, how they ended, and why."""
    return {
        "trials": ", ".join(record.trial_id for record in records),
        "ends": ", ".join(record.reason or record.status for record in records),
        "message": "; ".join(record.message for record in records if record.message),
    }
