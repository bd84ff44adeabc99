import importlib.util
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from fixtures.narrowed import present

from adapert.tracking import provenance
from adapert.tracking.provenance import git_commit, package_versions


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    run = subprocess.run(
        ["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository that tracks a copy of the module, which looks at its own folder."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    shutil.copy(provenance.__file__, folder / "provenance.py")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def copied_in(folder: Path) -> ModuleType:
    spec = present(importlib.util.spec_from_file_location("copied", folder / "provenance.py"))
    module = importlib.util.module_from_spec(spec)
    present(spec.loader).exec_module(module)
    return module


def commit_seen_in(folder: Path) -> str:
    return str(copied_in(folder).git_commit())


def test_the_commit_is_the_checkout_s(checkout: Path) -> None:
    assert commit_seen_in(checkout) == git(checkout, "rev-parse", "HEAD")


def test_changed_files_make_the_commit_dirty(checkout: Path) -> None:
    with (checkout / "provenance.py").open("a") as file:
        file.write("# changed\n")
    assert commit_seen_in(checkout) == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_files_that_nobody_tracks_change_nothing(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("mine")
    assert commit_seen_in(checkout) == git(checkout, "rev-parse", "HEAD")


def test_an_installed_copy_inside_another_repository_has_no_commit(checkout: Path) -> None:
    installed = checkout / "venv"
    installed.mkdir()
    shutil.copy(provenance.__file__, installed / "provenance.py")
    assert commit_seen_in(installed) == "unknown"


def test_outside_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    shutil.copy(provenance.__file__, tmp_path / "provenance.py")
    assert commit_seen_in(tmp_path) == "unknown"


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() == "unknown"


def test_a_clean_checkout_has_no_diff(checkout: Path, tmp_path: Path) -> None:
    (checkout / "notes.txt").write_text("mine")
    assert copied_in(checkout).code_diff() == ""
    shutil.copy(provenance.__file__, tmp_path / "provenance.py")
    assert copied_in(tmp_path).code_diff() == ""


def test_the_diff_is_a_patch_that_git_applies(checkout: Path) -> None:
    changed = (checkout / "provenance.py").read_text() + "# changed ü\n"
    (checkout / "provenance.py").write_text(changed)
    git(checkout, "config", "color.ui", "always")
    diff = copied_in(checkout).code_diff()
    assert diff.endswith("+# changed ü\n")
    git(checkout, "checkout", "--quiet", ".")
    (checkout / "it.patch").write_text(diff)
    git(checkout, "apply", "it.patch")
    assert (checkout / "provenance.py").read_text() == changed


def test_a_long_diff_is_cut_and_says_so_and_still_tells_two_apart(checkout: Path) -> None:
    cut = []
    for last in ("one", "two"):
        (checkout / "provenance.py").write_text(f"{'x' * 5000}\n{last}\n")
        module = copied_in_text(checkout)
        vars(module)["MAX_DIFF"] = 1000
        cut.append(module.code_diff())
    assert all(len(diff) < 1100 and "\n(cut here: " in diff for diff in cut)
    first, second = (diff.splitlines()[-1] for diff in cut)
    assert first != second


def copied_in_text(folder: Path) -> ModuleType:
    """The module, for a folder where its own file was overwritten."""
    module = copied_in(Path(provenance.__file__).parent)
    module.__file__ = str(folder / "provenance.py")
    return module


def test_versions_are_those_installed() -> None:
    listed = package_versions().split(", ")
    assert f"Python {platform.python_version()}" in listed
    assert f"torch {version('torch')}" in listed
    assert f"mlflow {version('mlflow')}" in listed
