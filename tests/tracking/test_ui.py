import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from rich.console import Console

from adapert.errors import InputError
from adapert.tracking.store import DATABASE
from adapert.tracking.ui import serve
from adapert.tracking.views import VIEWS, view_address


def test_a_workspace_without_a_store_is_refused_and_left_as_it_is(tmp_path):
    with pytest.raises(InputError, match=rf"'{re.escape(str(tmp_path))}' has no {DATABASE}\. Launch a study"):
        serve(tmp_path, 5000, Console())
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_refused(workspace):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"needs a free port, but {port} is taken\. Give another"):
            serve(workspace, port, Console())


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_opens_the_run_table_and_not_the_pages_for_agents(view):
    address = view_address("1", 5000, view)
    assert address.startswith("http://127.0.0.1:5000/#/experiments/1/runs?")
    assert "workflowType=machine_learning" in address


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_served(port, process, deadline_seconds=90):
    tick, started = threading.Event(), time.monotonic()
    while time.monotonic() - started < deadline_seconds:
        assert process.poll() is None
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status
        tick.wait(0.1)
    raise AssertionError("the page never came")


SLOW_TOO = [pytest.param(number, marks=pytest.mark.slow) for number in (signal.SIGTERM, signal.SIGHUP)]


@pytest.mark.parametrize("number", [signal.SIGINT, *SLOW_TOO])
def test_pages_are_served_until_a_signal_ends_them_quietly(workspace, number):
    port = free_port()
    words = ["ui", "--workspace", str(workspace), "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from adapert.cli import main; main()", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert wait_until_served(port, process) == 200
        os.killpg(process.pid, number)
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "viewStateShareKey=leaderboard" in printed
    assert "Traceback" not in printed
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
