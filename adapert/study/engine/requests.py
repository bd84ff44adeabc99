"""What another terminal asks of a running study: a file each, taken up between two events."""

import json
import logging
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import PositiveInt, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from adapert.files import write_whole

REQUESTS_FOLDER = "requests"

RequestKind = Literal["stop", "extend"]

_LOGGER = logging.getLogger(__name__)


class _Stop(TypedDict):
    kind: Literal["stop"]
    trial: str | None


class _Extend(TypedDict):
    kind: Literal["extend"]
    n_trials: PositiveInt | None
    n_seeds: PositiveInt | None


_REQUEST: TypeAdapter[Any] = TypeAdapter(_Stop | _Extend)


def write_request(folder: Path, kind: RequestKind, **said: Any) -> Path:
    """Leave a request for the process that runs a study.

    Args:
        folder: The study's.
        kind: ``"stop"`` (``trial``: its id, None for all) or ``"extend"`` (``n_trials``, ``n_seeds``).
        said: What the kind needs.

    Returns:
        Its file, which is there until it was taken up.
    """
    file = folder / REQUESTS_FOLDER / f"{uuid.uuid4().hex}.json"
    write_whole(file, json.dumps({"kind": kind} | said))
    return file


def withdraw_request(file: Path) -> bool:
    """Take a request back; False where it was taken up before."""
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    return True


def has_requests(folder: Path) -> bool:
    """Whether requests wait."""
    return bool(_waiting(folder))


def read_requests(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Read the requests that wait, oldest first, each with its file: to be removed once the ledger has it.

    A file that is no request is set aside under another name, with a warning: it must not stop a study.
    """
    # Called many times a second; a study has the folder from its beginning.
    waiting, requests = [], []
    for file in _waiting(folder):
        with suppress(FileNotFoundError):  # the process that runs the study has taken it up meanwhile
            waiting.append((file.stat().st_mtime_ns, file))
    for _, file in sorted(waiting):
        try:
            requests.append((file, _REQUEST.validate_json(file.read_bytes())))
        except (OSError, ValidationError):
            with suppress(FileNotFoundError):  # another process was faster
                aside = file.replace(file.with_suffix(".unreadable"))
                _LOGGER.warning(
                    f"A request must be as 'adapert stop' or 'extend' writes it, but '{file}' is not. The "
                    f"study continues without it; it is now called '{aside.name}'."
                )
    return requests


def _waiting(folder: Path) -> list[Path]:
    # One that is still being written begins with a dot.
    return list((folder / REQUESTS_FOLDER).glob("[!.]*.json"))
