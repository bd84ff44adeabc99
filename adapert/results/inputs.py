"""What a trial was trained on: the data set, wherever it or the whole workspace has been moved."""

import logging
from collections.abc import Iterator
from pathlib import Path

from adapert.config import Config
from adapert.data.prepared import check_fingerprint, read_manifest
from adapert.errors import InputError

_LOGGER = logging.getLogger(__name__)


def find_data(config: Config, workspace: Path, data: Path | None = None) -> Path:
    """Find the prepared data set of a config.

    Args:
        config: Of a trial or study, or one that was picked.
        workspace: Of the study: the data may have been moved together with it.
        data: In place of where the config says it lies.

    Returns:
        Its directory, absolute.

    Raises:
        InputError: None is there, or one of another fingerprint.
    """
    path, fingerprint = Path(config.data.path), config.data.fingerprint
    if data is not None:
        cure = "Say where the trial's lies with --data DIR."
        check_fingerprint(data, read_manifest(data)["fingerprint"], fingerprint, "The trial", cure)
        return data.resolve()
    if located := locate_data(path, fingerprint, workspace):
        return located
    found = _fingerprint_of(path)
    raise InputError(
        f"A config needs its own data set, of fingerprint {fingerprint}, but '{path}' "
        f"{f'now has {found}' if found else 'is not there'}, and it was not moved together with "
        f"'{workspace}' either. Say where it lies with --data DIR."
    )


def locate_data(path: Path, fingerprint: str, workspace: Path) -> Path | None:
    """Look for a data set where it was, and where it is if it was moved together with the workspace.

    Data and workspace that are moved as parts of one folder keep their places in it: the data lie in the
    workspace, or in a folder above it, at the end of their former path. The fingerprint tells whether what is
    found there is the data set.

    Args:
        path: Where it was.
        fingerprint: That it must have.
        workspace: As it lies now.

    Returns:
        Its directory, absolute; None where it is not found.
    """
    for place in (path, *_moved_along(path, workspace.resolve())):
        if _fingerprint_of(place) == fingerprint:
            _LOGGER.debug(f"Data set {fingerprint} is in '{place}'")
            return place.resolve()
    return None


def _moved_along(path: Path, workspace: Path) -> Iterator[Path]:
    names = path.relative_to(path.anchor).parts
    for above in (workspace, *workspace.parents):
        for n_kept in range(len(names), 0, -1):
            yield above.joinpath(*names[-n_kept:])


def _fingerprint_of(path: Path) -> str:
    """Fingerprint of a prepared data set; empty where there is none that can be read."""
    try:
        return str(read_manifest(path)["fingerprint"])
    except (InputError, OSError):
        return ""
