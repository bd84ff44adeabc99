"""Finds the data set of a trial, even if it or the whole workspace has been moved."""

import logging
from collections.abc import Iterator
from pathlib import Path

from adapert.config import Config
from adapert.data.manifest import check_fingerprint, read_manifest
from adapert.errors import InputError

_LOGGER = logging.getLogger(__name__)


def find_data(config: Config, workspace: Path, data: Path | None = None) -> Path:
    """Find the prepared data set of a config.

    Args:
        config: Config of a trial or study.
        workspace: Workspace of the study; the data may have been moved together with it.
        data: Directory to use instead of the config's.

    Returns:
        Its directory, absolute.

    Raises:
        InputError: There is no data set, or it has another fingerprint.
    """
    path, fingerprint = Path(config.data.path), config.data.fingerprint
    if data is not None:
        cure = "Name the trial's with --data DIR."
        check_fingerprint(data, read_manifest(data).fingerprint, fingerprint, "The trial", cure)
        return data.resolve()
    if located := locate_data(path, fingerprint, workspace):
        return located
    found = _fingerprint_of(path)
    raise InputError(
        f"A config needs its own data set, of fingerprint {fingerprint}, but '{path}' "
        f"{f'now has {found}' if found else 'is not there'}, and it was not moved together with "
        f"'{workspace}' either. Name it with --data DIR."
    )


def locate_data(path: Path, fingerprint: str, workspace: Path) -> Path | None:
    """Look for a data set where it was, and where it is if it was moved together with the workspace.

    Data and workspace that were moved as parts of one folder keep their places in it: the data are in the
    workspace, or in a folder above it, at the end of their former path. The fingerprint confirms it.

    Args:
        path: Directory where it was.
        fingerprint: Fingerprint that it must have.
        workspace: Workspace as it is now.

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
        return read_manifest(path).fingerprint
    except (InputError, OSError):
        return ""
