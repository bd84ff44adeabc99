"""The ledger of a study: an append-only file of JSON lines that everything else is rebuilt from.

A line is written, and is on the disk, before the searcher, the scheduler, MLflow or the user learns what it
says. A process that is killed leaves at most one line torn, which counts as never written.
"""

import fcntl
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic_core import PydanticSerializationError

from adapert.commands import in_workspace
from adapert.errors import InputError
from adapert.files import append_line, open_lines, parse_json, write_whole
from adapert.study.engine.events import Event, TrialAsked, check_order, parse_line

LEDGER_FILE = "ledger.jsonl"
LOCK_FILE = "lock"
HOLDER_FILE = "holder.json"

FORMAT = 5
"""Version of the lines, and of the files that trials leave; any other is refused."""

_PATIENCE_SECONDS = 0.5
"""For a process that only looks whether the study is held."""


class Ledger:
    """Appends lines; safe for the threads of one process. `held` keeps other processes out."""

    def __init__(self, path: Path) -> None:
        """Open a ledger for appending; a torn last line is cut off."""
        self.path = path
        self._file = open_lines(path)
        self._lock = threading.Lock()

    def append(self, event: Event) -> None:
        """Write a line and wait until it is on the disk.

        Raises:
            OSError: The disk is full or gone; what was written of the line is taken back.
            InputError: A name or path in it is no UTF-8.
        """
        try:
            line = event.model_dump_json()
        except PydanticSerializationError as error:
            raise InputError(
                "Names and paths of a study must be UTF-8, but its ledger cannot take those of a line "
                f"'{event.event}': {error}. Rename what has such a name."
            ) from error
        with self._lock:
            append_line(self._file, line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read_events(path: Path) -> list[Event]:
    """Read a ledger's whole lines, oldest first; also while another process appends to it.

    Lines of a kind that this version does not know are passed over: a later one may have written them.

    Raises:
        InputError: No ledger, one of another format, or one that is damaged before its last line.
    """
    if not path.is_file():
        raise InputError(f"A study's folder must have a ledger, but there is no file '{path}'.")
    # What follows the last newline is still being written, or was when its process was killed.
    *lines, _torn = path.read_bytes().split(b"\n")
    _check_format(lines[0] if lines else b"", path)
    events: list[Event] = []
    asked: set[str] = set()
    for number, line in enumerate(lines, start=1):
        try:
            event = parse_line(line)
            if event is None:
                continue
            check_order(event, asked)
        except ValueError as error:
            raise InputError(
                f"A ledger's lines must be as adapert wrote them, but in line {number} of '{path}' {error}"
            ) from error
        if isinstance(event, TrialAsked):
            asked.add(event.trial)
        events.append(event)
    return events


def read_identity(folder: Path) -> str:
    """Identify a study by its ledger's first line, which it keeps wherever its folder is moved or copied.

    Returns:
        A digest; empty where there is no ledger.
    """
    try:
        with (folder / LEDGER_FILE).open("rb") as file:
            return hashlib.blake2b(file.readline(), digest_size=16).hexdigest()
    except OSError:
        return ""


def _check_format(line: bytes, path: Path) -> None:
    try:
        first = parse_json(line)
    except ValueError:
        first = None
    if not isinstance(first, dict) or first.get("event") != "study" or "format" not in first:
        raise InputError(
            f"A ledger must begin with its study, but line 1 of '{path}' is damaged or missing. Put back a "
            "copy of the file, or launch the study under another name."
        )
    if first["format"] != FORMAT:
        raise InputError(
            f"A ledger must have format {FORMAT}, but '{path}' has {str(first['format'])[:20]}. Use the "
            "version of adapert that wrote it, or launch the study under another name."
        )


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep every other process out of a study while the block runs; a killed process lets go at once.

    Raises:
        InputError: Another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS)
    except Timeout as error:
        holder, named = read_holder(folder), in_workspace(folder.parents[1], folder.name)
        raise InputError(
            f"One process at a time runs a study, but '{folder.name}' is run by process {holder['pid']} on "
            f"{holder['host']}. Watch it with 'adapert watch {named}', end it with 'adapert stop {named}', "
            "or launch another under another name."
        ) from error
    try:
        write_whole(folder / HOLDER_FILE, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        lock.release()


def is_held(folder: Path) -> bool:
    """Whether a process runs the study now; also for those who may read its folder and not write to it."""
    try:
        with (folder / LOCK_FILE).open("rb") as file:
            # Shared: of two who look at once, neither takes the other for the process that runs the study.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        pass  # a file system without such locks, where `held` takes another kind, which only it knows
    lock = FileLock(folder / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def read_running(folder: Path) -> tuple[list[Event], bool]:
    """Read a study's lines, and whether a process runs it.

    Looked at before and after: a process that ends or begins meanwhile must not seem to have been killed.

    Raises:
        InputError: As `read_events`.
    """
    was_held = is_held(folder)
    events = read_events(folder / LEDGER_FILE)
    return events, was_held or is_held(folder)


def read_holder(folder: Path) -> Mapping[str, Any]:
    """Which process runs the study, or ran it last: pid and host."""
    try:
        holder = parse_json((folder / HOLDER_FILE).read_bytes())
        return {"pid": holder["pid"], "host": holder["host"]}
    except (OSError, ValueError, TypeError, KeyError):
        return {"pid": "unknown", "host": "unknown"}
