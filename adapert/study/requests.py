"""What another terminal asks of a running study: a file each, taken up between two events."""

import json
import uuid
from pathlib import Path
from typing import Any, Literal

from adapert.files import write_whole

REQUESTS_FOLDER = "requests"

RequestKind = Literal["stop", "extend"]


def write_request(folder: Path, kind: RequestKind, **said: Any) -> None:
    """Leave a request for the process that runs a study.

    Args:
        folder: The study's.
        kind: ``"stop"`` (``trial``: its id, None for all) or ``"extend"`` (``n_trials``, ``n_seeds``).
        said: What the kind needs.
    """
    write_whole(folder / REQUESTS_FOLDER / f"{uuid.uuid4().hex}.json", json.dumps({"kind": kind} | said))


def has_requests(folder: Path) -> bool:
    """Whether requests wait."""
    return bool(_waiting(folder))


def read_requests(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Read the requests that wait, oldest first, each with its file: to be removed once the ledger has it."""
    # Called many times a second; a study has the folder from its beginning.
    files = sorted(_waiting(folder), key=lambda file: file.stat().st_mtime_ns)
    return [(file, json.loads(file.read_text())) for file in files]


def _waiting(folder: Path) -> list[Path]:
    # One that is still being written begins with a dot.
    return list((folder / REQUESTS_FOLDER).glob("[!.]*.json"))
