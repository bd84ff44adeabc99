"""What a tracked trial was trained with: its config, and the data set that is looked for where it lay."""

from pathlib import Path
from typing import TYPE_CHECKING

from adapert.config import Config, read_config
from adapert.data.prepared import read_manifest
from adapert.errors import InputError
from adapert.records import CONFIG_FILE
from adapert.tracking.artifacts import artifact

if TYPE_CHECKING:
    from mlflow.entities import Run


def read_run_config(tracking_uri: str, run: "Run") -> Config:
    """Read the config that a trial ran with.

    Raises:
        InputError: The run has none, or one of fields that this version does not know.
    """
    with artifact(run, tracking_uri, CONFIG_FILE) as path:
        return read_config(path)


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
