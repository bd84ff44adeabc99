import os
import socket
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from adapert.errors import InputError
from adapert.study.execution.ray_head import (
    LONGEST_FOLDER,
    Processes,
    Watch,
    draw_token,
    private_folder,
    ray_environment,
    run_watched,
)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Address of something that answers until it is closed."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def ignore() -> None:
    pass


def test_each_start_has_a_token_of_its_own() -> None:
    assert draw_token()["RAY_AUTH_TOKEN"] != draw_token()["RAY_AUTH_TOKEN"]


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPERT_A", "mine")
    monkeypatch.delenv("ADAPERT_B", raising=False)
    with ray_environment({"ADAPERT_A": None, "ADAPERT_B": "theirs"}):
        assert "ADAPERT_A" not in os.environ
        assert os.environ["ADAPERT_B"] == "theirs"
    assert os.environ["ADAPERT_A"] == "mine"
    assert "ADAPERT_B" not in os.environ


def test_rays_folder_is_private_and_goes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    with private_folder() as folder:
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert not folder.parent.exists()


def test_a_temporary_directory_too_long_for_sockets_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("t" * 90)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    with private_folder() as folder:
        assert len(os.fsencode(folder.parent)) <= LONGEST_FOLDER
        assert folder.parent.parent == Path("/tmp")
    assert os.listdir(long) == []


def test_without_any_short_temporary_directory_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("t" * 90)))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=r"Set TMPDIR to a short path\."), private_folder():
        pass


def test_work_that_ends_is_waited_for(listening: socket.socket) -> None:
    done = []
    assert run_watched(lambda: done.append(1), Watch({"part": listening.getsockname()}, 0.0), ignore) == ""
    assert done == [1]


def test_an_error_of_the_work_is_raised_where_all_parts_answer(listening: socket.socket) -> None:
    def fail() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        run_watched(fail, Watch({"part": listening.getsockname()}, 0.0), ignore)


def test_work_that_waits_for_ever_is_left_where_a_part_is_silent(listening: socket.socket) -> None:
    address = listening.getsockname()
    listening.close()
    forever = threading.Event()
    assert run_watched(forever.wait, Watch({"part": address}, 0.0), ignore) == "part"
    forever.set()


def test_an_error_of_the_work_where_a_part_is_silent_is_the_loss(listening: socket.socket) -> None:
    address = listening.getsockname()
    listening.close()

    def fail() -> None:
        raise ValueError("Ray's")

    assert run_watched(fail, Watch({"part": address}, 0.0), ignore) == "part"


def test_children_of_a_parent_that_is_gone_are_ended_too() -> None:
    processes = Processes()
    words = ["sh", "-c", "sleep 1000 & echo $!; wait"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        processes.note()
        parent.kill()
    processes.kill()
    left = [each for each in psutil.process_iter() if each.pid == child]
    assert [each for each in left if each.status() != psutil.STATUS_ZOMBIE] == []
