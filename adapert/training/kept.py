"""The newest checkpoints of a trial, in its folder: whole or not at all, and the older one in reserve."""

import shutil
from pathlib import Path

from adapert.files import whole_directory
from adapert.models.protocol import Fit

N_KEPT = 2
"""A checkpoint that cannot be read leaves the one before it."""


def keep_newest(fit: Fit, epoch: int, folder: Path) -> None:
    """Write a checkpoint of `epoch`, from 1, into the trial's folder, and remove those before the last.

    Raises:
        InputError: The disk takes no more.
    """
    path = folder / f"checkpoint_{epoch:06d}"
    if not path.exists():  # else another worker wrote it before it was lost
        with whole_directory(path) as beside:
            fit.write_checkpoint(beside)
    for older in kept_checkpoints(folder)[N_KEPT:]:
        shutil.rmtree(older, ignore_errors=True)


def restore_newest(fit: Fit, folder: Path) -> int:
    """Continue from the newest checkpoint that can be read.

    Returns:
        Its epoch; 0 where there is none and the fit starts from scratch.
    """
    for path in kept_checkpoints(folder):
        try:
            fit.restore_checkpoint(path)
        except (OSError, ValueError, KeyError, RuntimeError):
            # Torn by a machine that went down: the one before it, or the beginning, leads to the same end.
            shutil.rmtree(path, ignore_errors=True)
        else:
            return int(path.name.rpartition("_")[2])
    return 0


def kept_checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in a trial's folder, newest first."""
    # Epochs are padded with zeros, so that names sort as numbers.
    return sorted(folder.glob("checkpoint_*"), reverse=True)
