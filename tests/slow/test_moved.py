import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlparse

import optuna
import pytest
from fixtures.command import RunCommand
from fixtures.launched import LOCAL, SEARCH, command, runs_in
from fixtures.narrowed import present
from fixtures.servers import START_SECONDS, free_port

from adapert.records import CONFIG_FILE, Tag
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.state import fold
from adapert.tracking.store import ARTIFACTS

pytestmark = pytest.mark.slow

ADAPERT = str(Path(sys.executable).with_name("adapert"))


@pytest.fixture
def run(adapert: RunCommand) -> Callable[..., str]:
    """Run a command that must succeed, and give what it printed."""

    def succeed(*words: object) -> str:
        ended = adapert(*words)
        assert ended.status == 0, ended.out + ended.err
        return ended.out

    return succeed


@pytest.fixture
def launch(run: Callable[..., str], launchable: Path) -> Callable[[Path], Path]:
    """Run a study in a workspace below a folder."""

    def begin(folder: Path) -> Path:
        run(*command(folder, "first", SEARCH, launchable, "--max-epochs", "3", *LOCAL)[1:])
        return folder / "first runs"

    return begin


@pytest.mark.parametrize("name", ["a?b#c", "50 % of 'ü'%20"])
def test_a_study_in_an_awkward_place_is_moved_and_extended_there(
    launch: Callable[[Path], Path], run: Callable[..., str], tmp_path: Path, name: str
) -> None:
    place = tmp_path / name
    place.mkdir()
    workspace = launch(place)
    assert {path.name for path in tmp_path.iterdir()} == {name}
    moved = workspace.rename(tmp_path / f"moved {name}")
    run("extend", "tiny_search", "--trials", 1, "--workspace", moved)
    assert not workspace.exists()
    state = fold(read_events(moved / "studies" / "tiny_search" / LEDGER_FILE))
    assert len(state.records) == 4
    runs = {run.data.tags.get(Tag.TRIAL, ""): run for run in runs_in(moved)}
    assert sorted(runs) == ["", "001", "002", "003", "004"]
    for trial, kept in runs.items():
        folder = Path(unquote(urlparse(kept.info.artifact_uri).path))
        assert folder == moved / ARTIFACTS / kept.info.run_id / "artifacts"
        assert (folder / CONFIG_FILE).is_file() == bool(trial)
    assert run("sync", "tiny_search", "--workspace", moved) == "MLflow has all of 'tiny_search'.\n"


def optuna_trials(address: str) -> int:
    return len(optuna.load_study(study_name="tiny_search", storage=address).trials)


def test_a_project_moves_with_its_data_and_keeps_its_database_and_a_copy_leaves_that_alone(
    launchable: Path, run: Callable[..., str], tmp_path: Path
) -> None:
    project = tmp_path / "project"
    shutil.copytree(launchable, project / "data" / "prepared")
    address = f"sqlite:///{tmp_path}/optuna.db"
    options = ("--max-epochs", "3", "--optuna-storage", address, *LOCAL)
    run(*command(project, "first", SEARCH, project / "data" / "prepared", *options)[1:])
    moved = project.rename(tmp_path / "moved")
    copied = shutil.copytree(moved, tmp_path / "copied")
    extend = ("extend", "tiny_search", "--trials", 1, "--workspace")
    assert "Optuna's database" not in run(*extend, moved / "first runs")
    assert optuna_trials(address) == 4
    assert "continues with a file of its own" in run(*extend, copied / "first runs")
    assert optuna_trials(address) == 4
    for place in (moved, copied):
        events = read_events(place / "first runs" / "studies" / "tiny_search" / LEDGER_FILE)
        assert present(fold(events).session).data == str(place / "data" / "prepared")
        assert len(fold(events).records) == 4
        run("rerun", "tiny_search", "--workspace", place / "first runs")
    away = (moved / "data" / "prepared").rename(tmp_path / "away")
    run(*extend, moved / "first runs", "--data", away)
    run(*extend, moved / "first runs")  # which remembers
    assert not project.exists()


def test_a_moved_workspace_s_pages_show_its_artifacts(launch: Callable[[Path], Path], tmp_path: Path) -> None:
    workspace = launch(tmp_path)
    moved = workspace.rename(tmp_path / "moved ?#%")
    port = free_port()
    words = [ADAPERT, "ui", "--workspace", str(moved), "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        assert any("Ctrl-C" in line for line in process.stdout)
        (trial, *_) = [one for one in runs_in(moved) if one.data.tags.get(Tag.TRIAL) == "001"]
        address = f"http://127.0.0.1:{port}/get-artifact?path={CONFIG_FILE}&run_uuid={trial.info.run_id}"
        page = wait_for(address, process)
        assert page == (moved / "studies" / "tiny_search" / "trials" / "001" / CONFIG_FILE).read_text()
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


def wait_for(address: str, process: subprocess.Popen[str]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return str(answer.read().decode())
        except OSError:
            threading.Event().wait(0.2)
    raise AssertionError("the page never came")
