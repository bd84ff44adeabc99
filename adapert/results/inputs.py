"""What a trial was trained on: the data set, which is looked for where it lay."""

from pathlib import Path

from adapert.config import Config
from adapert.data.prepared import read_manifest
from adapert.errors import InputError


def find_data(config: Config, data: Path | None) -> Path:
    """Find the prepared data set of a trial.

    Args:
        config: The trial's.
        data: In place of where the config says it lies.

    Returns:
        Its directory, absolute.

    Raises:
        InputError: None is there, or one of another fingerprint.
    """
    path = data or Path(config.data.path)
    if data is None and not path.is_dir():
        raise InputError(
            f"The trial's data set was '{path}', but nothing is there now. Say where it lies with --data DIR."
        )
    found = read_manifest(path)["fingerprint"]
    if found != config.data.fingerprint:
        raise InputError(
            f"The trial's data set has fingerprint {config.data.fingerprint}, but '{path}' has {found}. Say "
            "where the trial's lies with --data DIR."
        )
    return path.resolve()
