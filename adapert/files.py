"""Files and directories that appear whole or not at all: written under a temporary name, then renamed.

Temporary names contain the process, so that the next writer sweeps what a killed one left.
"""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

from adapert.errors import InputError

MARK = re.compile(r"(?P<host>[0-9a-f]{6})-(?P<pid>\d+)-(?P<started>[0-9a-f]+)-[0-9a-f]{4}")
"""Part of a temporary name: host, process, and its start in hundredths of a second, truncated."""


MAX_NAME = 200
"""Bytes of a file's name; file systems take 255, of which the mark needs some."""


def mark_temporary() -> str:
    """Build the part of a temporary name that identifies this process, with a random number."""
    pid = os.getpid()
    return f"{_host()}-{pid}-{_started(pid):x}-{secrets.token_hex(2)}"


def sweep(folder: Path, before: str, after: str = "") -> None:
    """Remove what killed processes left in a folder; what a running one writes, or one elsewhere, stays.

    Args:
        folder: Directory, which may be missing.
        before: Part of the names before the mark of `mark_temporary`.
        after: Part of the names after it.
    """
    with suppress(OSError):  # not there, or not to be read: then nothing of ours is in it
        for entry in list(os.scandir(folder)):
            inner = entry.name.removeprefix(before).removesuffix(after)
            found = MARK.fullmatch(inner)
            if not found or entry.name != before + inner + after or found["host"] != _host():
                continue
            # The number of a process that is gone may be another's by now, which began later.
            if _started(int(found["pid"])) != int(found["started"], 16):
                _remove(Path(entry.path))


def _started(pid: int) -> int:
    """When a process began, short enough for the names of sockets; -1 where none has this number."""
    import psutil

    try:
        return round(psutil.Process(pid).create_time() * 100) % 16**6
    except psutil.NoSuchProcess:
        return -1


@cache
def _host() -> str:
    """Tell apart machines and containers, whose processes are not seen here."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/etc/machine-id").read_text(encoding="utf-8"))
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=3).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_whole(path: Path) -> None:
    """Remove a directory, if it is there, at once for whoever looks; the next writer sweeps what is left."""
    beside = path.with_name(f".{path.name}.{mark_temporary()}")
    with suppress(FileNotFoundError):
        path.rename(beside)
    _remove(beside)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path next to `path`, renamed to it when the block ends without an error.

    Raises:
        InputError: `path` cannot be written.
    """
    _check_name(path)
    beside = path.with_name(f".{path.stem}.{mark_temporary()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent, f".{path.stem}.", path.suffix)
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):  # not there, or no place where anything could be
            beside.unlink()


def write_whole(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def append_line(file: FileIO, text: str) -> None:
    """Append a line and wait until it is on the disk.

    Args:
        file: Opened by `open_lines`.
        text: Without a line end.

    Raises:
        OSError: The disk is full or gone; what was written of the line is taken back.
    """
    line = f"{text}\n".encode()
    end = file.seek(0, os.SEEK_END)
    try:
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fdatasync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(file.fileno(), end)
        raise OSError(error.errno, error.strerror, str(file.name)) from error


def open_lines(path: Path) -> FileIO:
    """Open a file of lines for `append_line`; a last line that a killed process left torn is cut off."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Unbuffered: a line is in the file as a whole, or the error comes where it is written.
    file = FileIO(path, "a+")
    file.seek(0)
    # A device such as /dev/full has no end.
    whole = file.readall() if path.is_file() else b""
    if whole and not whole.endswith(b"\n"):
        file.truncate(whole.rfind(b"\n") + 1)
    return file


def parse_json(text: str | bytes) -> Any:
    """Parse JSON that may be anybody's.

    Raises:
        ValueError: Not JSON, no text, or nested deeper than this process could read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """Give a temporary directory next to `path`, renamed to it when the block ends without an error.

    Raises:
        InputError: `path` exists, or cannot be written.
    """
    check_new_directory(path)
    beside = path.with_name(f".{path.name}.{mark_temporary()}")
    sweep(path.parent, f".{path.name}.")
    new_parents = [parent for parent in path.parents if not parent.exists()]
    try:
        beside.mkdir(parents=True)
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        with suppress(OSError):  # filled, or never made
            for parent in new_parents:
                parent.rmdir()


def check_new_directory(path: Path) -> None:
    """Refuse an output directory that exists or cannot be made, before the work for it begins.

    Raises:
        InputError: `path` exists, or is where nothing can be made.
    """
    _check_name(path)
    if path.exists():
        raise InputError(
            f"The output directory must be new, but '{path}' exists. Name another, or remove it first."
        )
    check_writable(path)


def check_writable(path: Path) -> None:
    """Refuse a path where nothing can be made, before the work for it begins.

    Raises:
        InputError: The nearest folder above it that exists cannot be written to.
    """
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise InputError(
            f"'{path}' must be writable, but: '{above}' is not a directory that can be written to. "
            "Name another place."
        )


def _check_name(path: Path) -> None:
    """Refuse a name that leaves no room for the mark of a temporary name."""
    if len(os.fsencode(path.name)) > MAX_NAME:
        raise InputError(
            f"A file's name must have at most {MAX_NAME} bytes, but '{path.name[:20]}...' has "
            f"{len(os.fsencode(path.name))}. Give a shorter one."
        )


def _unwritable(path: Path, error: OSError) -> InputError:
    # numpy's own error of a full disk has no errno, only "N requested and M written".
    is_full = error.errno is None and " requested and " in str(error)
    reason = os.strerror(errno.ENOSPC) if is_full else error.strerror or str(error)
    return InputError(
        f"'{path}' must be writable, but: {reason}. "
        "Nothing was written; free some space or name another place."
    )
