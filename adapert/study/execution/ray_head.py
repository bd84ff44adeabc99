"""Ray's own processes: the token and folder of a local head, and whether its parts still answer.

Ray's head listens on all interfaces, and whoever speaks to it can run code as its user. Ray draws a token by
itself where there is none, but writes it into HOME; here each start has its own, in the environment of this
process while Ray runs, which Ray's processes inherit.
"""

import atexit
import os
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from adapert.errors import InputError
from adapert.files import mark_temporary, sweep
from adapert.process import environment

FOLDER_PREFIX = "ray-"

INNER = "r"
"""In the private folder, since Ray opens the one that it is given to all."""

LONGEST_FOLDER = 107 - len(f"/{INNER}/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store")
"""Bytes; Linux bounds the path of a socket to 107."""

TOKEN = "RAY_AUTH_TOKEN"

LOOK_SECONDS = 1.0
CONNECT_SECONDS = 2.0

LOCAL_PATIENCE = 3.0
"""Seconds of silence after which a part of a local Ray is given up."""

CLUSTER_PATIENCE = 45.0
"""The same on a cluster, whose network may falter; below the 60 s after which Ray ends the process."""

SHUTDOWN_SECONDS = 5.0

Address: TypeAlias = tuple[str, int]


def draw_token() -> dict[str, str | None]:
    """Settings with which a local Ray takes and gives a new token."""
    return {"RAY_AUTH_MODE": "token", TOKEN: secrets.token_hex(32), "RAY_AUTH_TOKEN_PATH": None}


@contextmanager
def ray_environment(settings: Mapping[str, str | None]) -> Iterator[None]:
    """Change environment variables while the block runs, also for Ray, which remembers its token.

    A value of None unsets its variable.
    """
    try:
        with environment(settings):
            _read_again()
            yield
    finally:
        _read_again()


def _read_again() -> None:
    """Let Ray read its settings and its token from the environment again."""
    raylet: Any = import_module("ray._raylet")
    # In this order: a thread of Ray's that is still at work reads the token while the mode asks for one.
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def private_folder() -> Iterator[Path]:
    """Make a folder that no other user can enter, and remove it with all that Ray wrote there.

    Ray's own is open to all, and its sockets ask for no token. What killed studies left is swept.

    Raises:
        InputError: No temporary directory has a path that is short enough for sockets.
    """
    name = FOLDER_PREFIX + mark_temporary()
    parent = _temporary_directory(len(name) + 1)
    sweep(parent, FOLDER_PREFIX)
    folder = parent / name
    folder.mkdir(mode=0o700)
    try:
        yield folder / INNER
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_directory(n_bytes: int) -> Path:
    candidates = [Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()).absolute(), Path("/tmp")]
    for candidate in candidates:
        is_short = len(os.fsencode(candidate)) + n_bytes <= LONGEST_FOLDER
        if is_short and candidate.is_dir() and os.access(candidate, os.W_OK | os.X_OK):
            return candidate
    raise InputError(
        f"Ray's sockets need a temporary directory whose path has at most {LONGEST_FOLDER - n_bytes} bytes, "
        f"but '{candidates[0]}' is longer, or cannot be written, and so is '/tmp'. Set TMPDIR to a short "
        "path."
    )


class Watch:
    """Looks whether Ray's parts answer; to be asked now and then."""

    def __init__(self, parts: Mapping[str, Address], patience: float) -> None:
        """Begin to watch parts, by name and address; `patience`: seconds of silence before one is lost."""
        self._patience = patience
        self._parts, self._answered = parts, dict.fromkeys(parts, time.monotonic())

    @property
    def is_silent(self) -> bool:
        """Whether a part does not answer now."""
        return not all(map(answers, self._parts.values()))

    def find_lost(self) -> str:
        """Look again; return the name of a part that was silent for too long, or nothing."""
        for name, address in self._parts.items():
            if answers(address):
                self._answered[name] = time.monotonic()
            elif time.monotonic() - self._answered[name] >= self._patience:
                return name
        return ""


def run_watched(work: Callable[[], object], watch: Watch, look: Callable[[], None]) -> str:
    """Run what waits for Ray, in a thread of its own, and leave it there where a part of Ray is lost.

    Ray's driver waits indefinitely for a node manager that is gone, and for a minute for the control service,
    where no signal wakes it; then it ends the process. So `watch` is asked, and `look` called, each second.

    Returns:
        Name of the lost part; empty where the work ended.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="ray-tune", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            look()
            thread.join(LOOK_SECONDS)
            if thread.is_alive() and (lost := watch.find_lost()):
                return lost
    except KeyboardInterrupt:  # the second one: Ray must not be shut down while it is still at work
        thread.join(SHUTDOWN_SECONDS)
        raise
    if raised:
        # What broke since a part is gone is not the work's own fault.
        if lost := wait_for_parts(watch):
            return lost
        raise raised[0]
    return ""


def wait_for_parts(watch: Watch) -> str:
    """Wait until all parts answer, or one is lost; return its name, or nothing."""
    lost = watch.find_lost()
    while not lost and watch.is_silent:
        time.sleep(LOOK_SECONDS)
        lost = watch.find_lost()
    return lost


def answers(address: Address) -> bool:
    """Whether anything listens at an address."""
    with suppress(OSError):
        socket.create_connection(address, CONNECT_SECONDS).close()
        return True
    return False


def find_parts() -> dict[str, Address]:
    """Find where the parts of the connected Ray answer that this process cannot do without."""
    import ray

    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    parts = {"control service (GCS)": (host.strip("[]"), int(port))}
    for node in ray.nodes():
        if node["NodeID"] == context.get_node_id():
            parts["node manager (raylet)"] = (node["NodeManagerAddress"], int(node["NodeManagerPort"]))
    return parts


class Processes:
    """What this process has started, and what those have: Ray's head, its workers and agents.

    Once a parent is gone its children are nobody's, so they are noted while it lives.
    """

    def __init__(self) -> None:
        """Note what was there before Ray."""
        self._before = set(psutil.Process().children())
        self._started: set[psutil.Process] = set()

    def note(self) -> None:
        """Note what was started since."""
        heads = set(psutil.Process().children()) - self._before if not self._started else self._started
        for process in list(heads):
            with suppress(psutil.Error):
                heads |= set(process.children(recursive=True))
        self._started = heads

    def kill(self) -> None:
        """End all of them that still run."""
        for process in self._started:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(self._started, timeout=1)


def abandon() -> None:
    """Leave a Ray of which a part is lost."""
    import ray

    def shut_down() -> None:
        with suppress(Exception):  # of a Ray that is not whole
            ray.shutdown()

    thread = threading.Thread(target=shut_down, daemon=True)
    thread.start()
    thread.join(SHUTDOWN_SECONDS)
    # Else the interpreter would wait for it once more when it ends.
    atexit.unregister(ray.shutdown)
