"""Ray's head on a shared machine: nobody else speaks to it, and a study notices when a part of it dies."""

import os
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from fixtures.launched import SEARCH, SET_PLAIN, command
from fixtures.narrowed import of_kind

from adapert.records import TrialStatus
from adapert.study.engine.events import SessionClosed
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.state import fold
from adapert.study.execution.on_ray import started_ray

pytestmark = pytest.mark.slow
SLOW_ENOUGH = (
    "--max-epochs",
    "16",
    "--set",
    "data.control=cell",
    "--set",
    "training.minibatch_size=1",
    *SET_PLAIN,
)
DEADLINE_SECONDS = 50
"""Before Ray itself would give up."""

CONNECT = """
import sys, ray
try:
    ray.init(address=sys.argv[1], logging_level="CRITICAL")
except Exception as error:
    print("refused:", type(error).__name__)
else:
    print("in:", ray.get(ray.remote(lambda: 1).remote()))
"""

IMPORTED = "KMP_INIT_AT_FORK"
"""Set by scikit-learn when it is imported."""

NOBODY: dict[str, str] = {}
STRANGERS = {
    "without_a_token": NOBODY,
    "without_authentication": {"RAY_AUTH_MODE": "disabled"},
    "with_another_token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
}


@dataclass(frozen=True)
class Met:
    """What strangers and friends of a running head saw, and what it left."""

    said: dict[str, str]
    token_in_commands: bool
    folder_mode: int
    home: list[str]
    environment: tuple[dict[str, str], dict[str, str]]


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> Met:
    import ray

    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.delenv("RAY_AUTH_TOKEN", raising=False)
        before = dict(os.environ)
        with started_ray():
            address, token = ray.get_runtime_context().gcs_address, os.environ["RAY_AUTH_TOKEN"]
            plain = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
            known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
            clients = {
                name: subprocess.Popen(
                    [sys.executable, "-c", CONNECT, address],
                    env=plain | given,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                for name, given in (STRANGERS | {"with_the_token": known}).items()
            }
            said = {name: client.communicate(timeout=120)[0] for name, client in clients.items()}
            commands = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
            session = Path(ray._private.worker._global_node.get_session_dir_path())
            mode = stat.S_IMODE(session.parents[1].stat().st_mode)
        return Met(
            said,
            any(token in words for words in commands),
            mode,
            sorted(str(path) for path in home.rglob("*auth*")),
            (before, dict(os.environ)),
        )


@pytest.mark.parametrize("who", STRANGERS)
def test_a_process_without_the_token_is_refused(met: Met, who: str) -> None:
    assert met.said[who] == "refused: ConnectionError\n"


def test_a_process_with_the_token_is_let_in(met: Met) -> None:
    assert met.said["with_the_token"] == "in: 1\n"


def test_the_token_is_on_no_command_line_and_not_in_the_home_directory(met: Met) -> None:
    assert not met.token_in_commands
    assert met.home == []


def test_no_other_user_can_enter_rays_folder(met: Met) -> None:
    assert met.folder_mode == 0o700


def test_the_environment_is_left_as_it_was_found(met: Met) -> None:
    before, after = met.environment
    assert {name for name in before | after if before.get(name) != after.get(name)} <= {IMPORTED}


# a part of Ray dies


@dataclass(frozen=True)
class Lost:
    """A study whose Ray lost a process."""

    status: int
    out: str
    left: list[psutil.Process]
    ledger: Path
    resumed: subprocess.CompletedProcess[str]


def lose(directory: Path, part: str, prepared: Path) -> Lost:
    """Kill a process of Ray's amid a study, in a temporary directory that is too long for sockets."""
    long = directory / ("t" * 90)
    long.mkdir(exist_ok=True)
    environment = os.environ | {"TMPDIR": str(long)}
    process = subprocess.Popen(
        command(directory, part, SEARCH, prepared, *SLOW_ENOUGH),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    workspace = directory / f"{part} runs"
    ledger = workspace / "studies" / "tiny_search" / LEDGER_FILE
    tick = threading.Event()
    while not (ledger.is_file() and ledger.read_bytes().count(b'"reported"') > 2):
        assert process.poll() is None, process.communicate()[0]
        tick.wait(0.02)
    started = psutil.Process(process.pid).children(recursive=True)
    next(child for child in started if child.name() == part).kill()
    out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    _, left = psutil.wait_procs(started, timeout=5)
    for stray in left:
        stray.kill()
    adapert = str(Path(sys.executable).with_name("adapert"))
    words = [adapert, "resume", "tiny_search", "--workspace", str(workspace)]
    assert of_kind(SessionClosed, read_events(ledger)[-1]).status == TrialStatus.FAILED
    resumed = subprocess.run(words, capture_output=True, text=True, env=environment)
    return Lost(process.returncode, out, left, ledger, resumed)


PARTS = {"raylet": "node manager (raylet)", "gcs_server": "control service (GCS)"}


@pytest.fixture(scope="module", params=PARTS)
def lost(request: pytest.FixtureRequest, launchable: Path) -> tuple[str, Lost]:
    return request.param, lose(launchable.parent, request.param, launchable)


def test_a_lost_part_of_ray_ends_the_command_with_a_sentence_soon(lost: tuple[str, Lost]) -> None:
    part, ended = lost
    assert ended.status == 75, ended.out
    assert f"Ray's {PARTS[part]} no longer answers" in ended.out
    assert "adapert resume tiny_search" in ended.out
    assert "Traceback" not in ended.out


def test_a_lost_part_of_ray_leaves_no_process(lost: tuple[str, Lost]) -> None:
    _, ended = lost
    assert ended.left == []


def test_a_study_that_lost_ray_is_resumed_to_its_end(lost: tuple[str, Lost]) -> None:
    _, ended = lost
    assert ended.resumed.returncode == 0, ended.resumed.stdout + ended.resumed.stderr
    state = fold(read_events(ended.ledger))
    assert len(state.records) == 3
    assert not state.running
