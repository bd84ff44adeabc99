"""A trial's folder: what a trial needs while it runs, and the few files that stay when it has ended."""

import shutil
from contextlib import suppress
from pathlib import Path

from adapert.config import Config, write_config
from adapert.errors import InputError
from adapert.records import CONFIG_FILE, ERROR_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE

TRIALS_FOLDER = "trials"

KEPT_FILES = (CONFIG_FILE, PER_PERTURBATION_FILE, WEIGHTS_FILE, ERROR_FILE)
"""What stays of an ended trial, where it has them: readers find them here, whatever MLflow has."""


def trial_folder(folder: Path, trial_id: str) -> Path:
    """Folder of a trial's checkpoints and results, below the study's."""
    return folder / TRIALS_FOLDER / trial_id


def write_trial_config(folder: Path, trial_id: str, config: Config) -> None:
    """Leave a trial's whole config in its folder.

    Raises:
        OSError: The disk is full or gone.
    """
    try:
        write_config(config, trial_folder(folder, trial_id) / CONFIG_FILE)
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise


def clear_trial(folder: Path, trial_id: str) -> None:
    """Remove from an ended trial's folder all but `KEPT_FILES`: nobody resumes it."""
    with suppress(OSError):  # no folder, or one on a disk that is gone
        for path in trial_folder(folder, trial_id).iterdir():
            if path.name not in KEPT_FILES:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
