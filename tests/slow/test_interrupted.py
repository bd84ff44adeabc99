"""A study that Ctrl-C or a supervisor ends, with the real command, Ray, Optuna and MLflow."""

import os
import signal
import sqlite3
import subprocess
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import optuna
import psutil
import pytest
from fixtures.killed import processes_with
from fixtures.launched import SEARCH, SET_PLAIN, command, runs_in
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from adapert.records import Tag
from adapert.tracking.store import DATABASE

pytestmark = pytest.mark.slow
DEADLINE_SECONDS = 120


def n_rows(database: Path, table: str) -> int:
    """Count without MLflow, which would take part in the writing."""
    if not database.is_file():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    except sqlite3.OperationalError:  # the table is not there yet
        return 0


def wait_for_row(database: Path, table: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    tick = threading.Event()
    while not n_rows(database, table):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, f"no row of {table} came"
        tick.wait(0.05)


@dataclass(frozen=True)
class Interrupted:
    """A study that was interrupted, how the command ended, and the processes of it that stayed."""

    workspace: Path
    status: int
    out: str
    left: list[psutil.Process]


def interrupt(
    directory: Path, name: str, prepared: Path, table: str, number: signal.Signals, executor: str
) -> Interrupted:
    """Launch an endless study and signal it once the store has a row of a table."""
    # No rung in reach: a trial that one stops would end before the signal.
    endless = ("--max-epochs", "100000", "--min-epochs", "50000", "--set", "training.patience=100000")
    slow = ("--set", "data.control=cell", "--set", "training.minibatch_size=1", *SET_PLAIN)
    mark = uuid.uuid4().hex
    process = subprocess.Popen(
        command(directory, name, SEARCH, prepared, *endless, *slow, "--executor", executor),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"ADAPERT_TEST_MARK": mark},
        start_new_session=True,
    )
    workspace = directory / f"{name} runs"
    try:
        wait_for_row(workspace / DATABASE, table, process)
        # A terminal sends Ctrl-C to the whole group, a supervisor SIGTERM to the process.
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        out, _ = process.communicate(timeout=DEADLINE_SECONDS)
        _, left = psutil.wait_procs(processes_with(mark), timeout=DEADLINE_SECONDS)
    finally:
        for stray in processes_with(mark):
            stray.kill()
    return Interrupted(workspace, process.returncode, out, left)


INTERRUPTIONS = {
    "ctrl_c_before_any_trial": ("runs", signal.SIGINT, "ray"),
    "ctrl_c_amid_trials": ("metrics", signal.SIGINT, "ray"),
    "terminated_amid_trials": ("metrics", signal.SIGTERM, "ray"),
    "hung_up_amid_trials": ("metrics", signal.SIGHUP, "ray"),
    "ctrl_c_without_ray": ("metrics", signal.SIGINT, "local"),
    "terminated_without_ray": ("metrics", signal.SIGTERM, "local"),
}


@pytest.fixture(scope="module")
def interrupted(launchable: Path) -> dict[str, Interrupted]:
    with ThreadPoolExecutor(2) as two_at_once:
        started = {
            name: two_at_once.submit(interrupt, launchable.parent, name, launchable, *how)
            for name, how in INTERRUPTIONS.items()
        }
    return {name: ended.result() for name, ended in started.items()}


@pytest.mark.parametrize("how", INTERRUPTIONS)
def test_an_interrupted_study_exits_130_and_leaves_no_process(
    interrupted: dict[str, Interrupted], how: str
) -> None:
    ended = interrupted[how]
    assert ended.status == 130, ended.out
    assert "Traceback" not in ended.out
    assert ended.left == []


@pytest.mark.parametrize("how", INTERRUPTIONS)
def test_an_interrupted_study_says_how_to_go_on(interrupted: dict[str, Interrupted], how: str) -> None:
    ended = interrupted[how]
    assert f"adapert resume tiny_search --workspace '{ended.workspace}'" in ended.out
    assert " running of 3 trials in " not in ended.out


@pytest.mark.parametrize("how", INTERRUPTIONS)
def test_an_interrupted_study_leaves_no_run_open(interrupted: dict[str, Interrupted], how: str) -> None:
    runs = runs_in(interrupted[how].workspace)
    assert {(run.info.status, run.data.tags[Tag.STATUS]) for run in runs} == {("KILLED", "interrupted")}
    kinds = {run.data.tags[Tag.KIND] for run in runs}
    # On a busy machine the first trial may begin before an early Ctrl-C arrives.
    assert kinds == {"study", "trial"} or (how == "ctrl_c_before_any_trial" and kinds == {"study"})


@pytest.mark.parametrize("how", ["ctrl_c_amid_trials", "terminated_amid_trials", "ctrl_c_without_ray"])
def test_optuna_is_told_that_interrupted_trials_failed(interrupted: dict[str, Interrupted], how: str) -> None:
    journal = interrupted[how].workspace / "studies" / "tiny_search" / "optuna_journal.log"
    storage = JournalStorage(JournalFileBackend(str(journal)))
    trials = optuna.load_study(study_name="tiny_search", storage=storage).trials
    assert {trial.state.name for trial in trials} == {"FAIL"}
