import fcntl
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixtures.narrowed import of_kind, present

from adapert.errors import InputError
from adapert.records import TrialStatus
from adapert.study.engine.events import (
    ConfigCompleted,
    EpochReported,
    RungDecided,
    RunTracked,
    SessionClosed,
    SessionOpened,
    StudyDefined,
    TrialAsked,
)
from adapert.study.engine.ledger import (
    FORMAT,
    LEDGER_FILE,
    LOCK_FILE,
    Ledger,
    held,
    is_held,
    read_events,
    read_holder,
)

STUDY = StudyDefined(
    format=FORMAT, study={}, origin={}, recipe="", optuna_storage="", git_commit="", packages=""
)
ASKED = TrialAsked(
    trial="001", number=0, variant="full", seed=0, changes={"model.tau": 0.5}, suggested={}, config_digest="d"
)
CLOSED = SessionClosed(status=TrialStatus.FINISHED, message="")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "try" / LEDGER_FILE


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path)
    ledger.append(STUDY)
    yield ledger
    ledger.close()


def python(code: str, *arguments: Path, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def test_a_line_is_json_of_an_event_and_its_time(ledger: Ledger, path: Path) -> None:
    ledger.append(ASKED)
    line = json.loads(path.read_text().splitlines()[1])
    assert list(line)[:3] == ["event", "time", "trial"]
    assert (line["event"], line["trial"], line["changes"]) == ("asked", "001", {"model.tau": 0.5})
    assert isinstance(line["time"], float)


def test_lines_are_read_as_they_were_appended(ledger: Ledger, path: Path) -> None:
    appended = [ASKED.model_copy(update={"trial": f"{n:03d}"}) for n in range(3)]
    for event in appended:
        ledger.append(event)
    assert read_events(path)[1:] == appended


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_does_not_have_survive_the_way_to_disk_and_back(
    ledger: Ledger, path: Path, value: float
) -> None:
    ledger.append(ASKED)
    ledger.append(
        EpochReported(trial="001", epoch=1, host="h", is_over=False, metrics={"mse": value, "pds": 0.5})
    )
    ledger.append(RungDecided(trial="001", rung=1, value=value, cutoff=value, is_stopped=False))
    ledger.append(ConfigCompleted(number=0, state="COMPLETE", value=value, epoch=0, is_infeasible=False))
    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)
    reported, decided, completed = read_events(path)[2:]
    assert isinstance(reported, EpochReported)
    assert isinstance(decided, RungDecided)
    assert isinstance(completed, ConfigCompleted)
    read = [reported.metrics["mse"], decided.value, decided.cutoff, completed.value]
    assert list(map(repr, read)) == [repr(value)] * 4
    assert reported.metrics["pds"] == 0.5


def test_a_message_that_quotes_bytes_is_written_and_read_back(ledger: Ledger, path: Path) -> None:
    told = SessionClosed(status=TrialStatus.FAILED, message="No such file: '/data/\udcff'")
    assert told.message == r"No such file: '/data/\udcff'"
    ledger.append(told)
    assert read_events(path)[1] == told


def test_a_name_or_path_of_bytes_is_refused_and_nothing_written(ledger: Ledger, path: Path) -> None:
    with pytest.raises(
        InputError, match="must be UTF-8, but its ledger cannot take those of a line 'opened'"
    ):
        ledger.append(SessionOpened(pid=1, host="h", data="/data/\udcff"))
    assert len(read_events(path)) == 1


def test_a_line_that_is_torn_anywhere_is_as_if_never_written(ledger: Ledger, path: Path) -> None:
    before = path.read_bytes()
    ledger.append(ASKED.model_copy(update={"variant": "größer\n"}))
    whole = path.read_bytes()
    for size in range(len(before), len(whole)):
        path.write_bytes(whole[:size])
        assert [event.event for event in read_events(path)] == ["study"]
        again = Ledger(path)
        assert path.read_bytes() == before
        again.append(SessionOpened(pid=1, host="h"))
        again.close()
        assert [event.event for event in read_events(path)] == ["study", "opened"]


def test_a_whole_ledger_is_opened_as_it_is(ledger: Ledger, path: Path) -> None:
    before = path.read_bytes()
    Ledger(path).close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("damaged", ['{"event": "as', "", "\0\0", "\xff\xfe", "null", "[" * 100_000, "NaN"])
def test_a_line_that_is_no_json_is_refused_by_its_number(ledger: Ledger, path: Path, damaged: str) -> None:
    with path.open("ab") as file:
        file.write(damaged.encode("latin-1") + b"\n")
    ledger.append(CLOSED)
    with pytest.raises(
        InputError, match=r"but in line 2 of '.*ledger\.jsonl' (there is no JSON|no event is named)"
    ):
        read_events(path)


REPORTED = {
    "event": "reported",
    "time": 1,
    "trial": "001",
    "epoch": 1,
    "host": "h",
    "is_over": False,
    "metrics": {},
}
ENDED = {"event": "ended", "time": 1, "trial": "001", "status": "finished", "reason": "epochs", "message": ""}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ([1, 2], "no event is named"),
        ("asked", "no event is named"),
        ({"time": 1.0}, "no event is named"),
        ({"event": None, "time": 1.0}, "no event is named"),
        (ASKED.model_dump(), "trial '001' is asked for a second time"),
        (ENDED | {"trial": "009"}, "'ended' is about trial '009', which no line before it asks for"),
        ({key: value for key, value in ENDED.items() if key != "reason"}, "'ended' has no 'reason'"),
        ({key: value for key, value in ENDED.items() if key != "time"}, "'ended' has no 'time'"),
        (ENDED | {"time": None}, "'ended' has a wrong 'time': input should be a valid number"),
        (ENDED | {"time": "now"}, "'ended' has a wrong 'time'"),
        (ENDED | {"trial": 1}, "'ended' has a wrong 'trial'"),
        (ENDED | {"status": "done"}, "'ended' has a wrong 'status'"),
        (REPORTED | {"epoch": "2"}, "'reported' has a wrong 'epoch'"),
        (
            REPORTED | {"metrics": {"mse": "0"}},
            "'reported' has a wrong 'metrics.mse'",
        ),
        ({"event": "opened", "time": 1, "pid": 1}, "'opened' has no 'host'"),
        (
            {"event": "opened", "time": 1, "pid": 1, "host": "h", "resources": {"cpus_per_trial": "all"}},
            "'opened' has a wrong 'resources.cpus_per_trial'",
        ),
    ],
)
def test_a_line_that_makes_no_sense_is_refused_by_its_number(
    ledger: Ledger, path: Path, line: dict[str, Any] | list[int] | str, fault: str
) -> None:
    ledger.append(ASKED)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(InputError, match=re.escape(f"but in line 3 of '{path}' {fault}")):
        read_events(path)


def test_what_a_later_version_adds_to_a_ledger_is_passed_over(ledger: Ledger, path: Path) -> None:
    with path.open("a") as file:
        file.write(json.dumps({"event": "weighed", "by": "a later version"}) + "\n")
        file.write(json.dumps(CLOSED.model_dump() | {"more": [1]}) + "\n")
    assert [event.event for event in read_events(path)] == ["study", "closed"]


DAMAGED = (
    b"",
    b'{"event": "stu',
    b"[]\n",
    b'{"event": "opened", "time": 1.0}\n',
    b'{"event": "study", "time": 1.0}\n',
)


@pytest.mark.parametrize(
    ("first", "says"),
    [
        *((first, "line 1 of .* is damaged or missing. Put back a copy") for first in DAMAGED),
        (
            b'{"event": "study", "time": 1.0, "format": 2}\n',
            "must have format 5, but .* has 2. Use the version",
        ),
    ],
)
def test_a_file_that_does_not_begin_with_a_study_of_this_format_is_refused(
    path: Path, first: bytes, says: str
) -> None:
    path.parent.mkdir()
    path.write_bytes(first)
    with pytest.raises(InputError, match=says):
        read_events(path)


def test_a_folder_without_a_ledger_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"must have a ledger, but there is no file '.*ledger\.jsonl'"):
        read_events(path)


def test_lines_of_several_threads_never_mix(ledger: Ledger, path: Path) -> None:
    def append(number: int) -> None:
        for _ in range(20):
            ledger.append(RunTracked(trial=str(number) * 50, run="r"))

    threads = [threading.Thread(target=append, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(of_kind(RunTracked, event).trial[:1] for event in read_events(path)[1:]) == sorted(
        "0123" * 20
    )


def test_a_full_device_refuses_a_line() -> None:
    ledger = Ledger(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left on device"):
        ledger.append(CLOSED)
    ledger.close()


FULL = """
import resource, sys
from pathlib import Path
from adapert.study.engine.events import RunTracked
from adapert.study.engine.ledger import Ledger

path = Path(sys.argv[1])
ledger = Ledger(path)
before = path.read_bytes()
for room in (0, 1, 40):
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room, resource.RLIM_INFINITY))
    try:
        ledger.append(RunTracked(trial="001" * 50, run="r"))
    except OSError as error:
        print(room, type(error).__name__, path.read_bytes() == before)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ledger.append(RunTracked(trial="002", run="r"))
"""


def test_a_line_that_does_not_fit_on_the_disk_leaves_the_ledger_as_it_was(ledger: Ledger, path: Path) -> None:
    output, _ = python(FULL, path).communicate()
    assert output.splitlines() == ["0 OSError True", "1 OSError True", "40 OSError True"]
    assert [event.event for event in read_events(path)] == ["study", "tracked"]


HOLD = """
import sys
from pathlib import Path
from adapert.study.engine.ledger import held

with held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    holder = python(HOLD, tmp_path / "try")
    assert present(holder.stdout).readline() == "held\n"
    yield holder
    holder.kill()
    holder.communicate()


def test_a_second_process_is_refused_by_the_first_one_s_pid_and_host(
    holder: subprocess.Popen[str], tmp_path: Path
) -> None:
    sentence = f"'try' is run by process {holder.pid} on {socket.gethostname()}. Watch it with"
    with pytest.raises(InputError, match=sentence), held(tmp_path / "try"):
        pass
    assert is_held(tmp_path / "try")
    assert read_holder(tmp_path / "try") == {"pid": holder.pid, "host": socket.gethostname()}


def test_a_process_that_is_killed_lets_go(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not is_held(tmp_path / "try")
    with held(tmp_path / "try"):
        assert read_holder(tmp_path / "try")["pid"] == os.getpid()


def test_a_study_is_held_until_the_block_ends_also_by_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with held(tmp_path):
            assert is_held(tmp_path)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert not is_held(tmp_path)


def test_a_holder_that_left_no_name_is_unknown(tmp_path: Path) -> None:
    assert read_holder(tmp_path) == {"pid": "unknown", "host": "unknown"}


def test_who_looks_is_not_taken_for_the_process_that_runs_a_study(tmp_path: Path) -> None:
    with held(tmp_path):
        pass
    with (tmp_path / LOCK_FILE).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_held(tmp_path)


def test_looking_whether_a_study_is_held_writes_nothing(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert list(tmp_path.iterdir()) == []
