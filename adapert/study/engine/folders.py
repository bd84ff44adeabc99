"""Where a workspace keeps its studies, and what a study's folder holds."""

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from adapert.errors import InputError, name_some, nearest
from adapert.files import whole_file, write_whole
from adapert.study.engine.ledger import LEDGER_FILE

PICK_FILE = "pick.json"
"""How the study's config was last picked."""

PICKED_MODEL_FOLDER = "picked_model"
"""The bundle of the picked config's model."""

FIGURES_FOLDER, REPORT_FILE, FINDINGS_FILE = "figures", "report.html", "findings.md"
"""Copies of what MLflow shows of the study, as they were last drawn, wherever the originals are now."""


def study_folder(workspace: Path, name: str) -> Path:
    """Folder of a study, absolute.

    Raises:
        InputError: A name that leads elsewhere, or is too long.
    """
    from adapert.study.plan.study import MAX_DERIVED_NAME, check_name  # optuna, for which a TAB would wait

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
        raise explain_unknown(workspace, name, study_names(workspace))
    return folder


def explain_unknown(workspace: Path, name: str, names: Sequence[str]) -> InputError:
    """Say that a workspace has no study of a name, and which studies it has."""
    existing = f" It has {name_some(names)}." if names else " It has no study yet."
    return InputError(
        f"There is no study '{name}' in '{workspace}'.{nearest(name, names) or existing} Launch one, or name "
        "its workspace with --workspace."
    )


def copy_figures(folder: Path, files: Iterable[Path]) -> None:
    """Copy a study's PNG figures into its folder, each whole; a study without a ledger here has none."""
    if (folder / LEDGER_FILE).is_file():
        for file in (file for file in files if file.suffix == ".png"):
            with whole_file(folder / FIGURES_FOLDER / file.name) as beside:
                shutil.copyfile(file, beside)


def copy_findings(folder: Path, note: str) -> None:
    """Keep findings, Markdown, in the folder of a study that they are about, if it has a ledger."""
    if (folder / LEDGER_FILE).is_file():
        write_whole(folder / FINDINGS_FILE, note)


def copy_report(folder: Path, page: str) -> None:
    """Copy a report, HTML, into the folder of a study that it is about; one without a ledger has none."""
    if (folder / LEDGER_FILE).is_file():
        write_whole(folder / REPORT_FILE, page)
