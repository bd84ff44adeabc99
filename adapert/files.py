"""Files and directories that appear whole or not at all: written beside, then renamed."""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from adapert.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path to write beside `path`, renamed to it when the block ends without an error.

    Raises:
        InputError: `path` cannot be written.
    """
    beside = path.with_name(f".{path.stem}.{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
        beside.write_text(text)


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
    """Give a directory to fill beside `path`, renamed to it when the block ends without an error.

    Raises:
        InputError: `path` exists, or cannot be written.
    """
    check_new_directory(path)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
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
        InputError: `path` exists, or lies where nothing can be made.
    """
    if path.exists():
        raise InputError(
            f"The output directory must be new, but '{path}' exists. Name another, or remove it first."
        )
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise InputError(f"'{path}' must be writable, but: '{above}' is no directory. Name another place.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"'{path}' must be writable, but: '{above}' is not. Name another place.")


def _unwritable(path: Path, error: OSError) -> InputError:
    # numpy's own error of a full disk has no errno, only "N requested and M written".
    is_full = error.errno is None and " requested and " in str(error)
    reason = os.strerror(errno.ENOSPC) if is_full else error.strerror or str(error)
    return InputError(
        f"'{path}' must be writable, but: {reason}. "
        "Nothing was written; free some space or name another place."
    )
