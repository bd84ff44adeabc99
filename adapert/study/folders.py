"""Where a workspace's studies lie, and what a study's folder holds."""

from pathlib import Path

from adapert.errors import InputError, name_some, nearest
from adapert.study.ledger import LEDGER_FILE
from adapert.study.study import MAX_DERIVED_NAME, check_name

PICK_FILE = "pick.json"
"""How the study's config was last picked."""

PICKED_MODEL_FOLDER = "picked_model"
"""The bundle of the picked config's model."""


def study_folder(workspace: Path, name: str) -> Path:
    """Folder of a study, absolute.

    Raises:
        InputError: A name that leads elsewhere, or is too long.
    """
    check_name(name, MAX_DERIVED_NAME)
    return workspace.resolve() / "studies" / name


def study_names(workspace: Path) -> list[str]:
    """Studies of a workspace, by name."""
    return sorted(path.parent.name for path in (workspace / "studies").glob(f"*/{LEDGER_FILE}"))


def find_study(workspace: Path, name: str) -> Path:
    """Find a study's folder.

    Raises:
        InputError: The workspace has no study of this name.
    """
    folder = study_folder(workspace, name)
    if not (folder / LEDGER_FILE).is_file():
        names = study_names(workspace)
        existing = f"It has {name_some(names)}." if names else "It has no study yet."
        raise InputError(
            f"There is no study '{name}' in '{workspace}'.{nearest(name, names)} {existing} Launch one, or "
            "name its workspace with --workspace."
        )
    return folder
