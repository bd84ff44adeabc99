import importlib.util
import shutil
import subprocess
from importlib.metadata import version

import pytest

from adapert.tracking import provenance
from adapert.tracking.provenance import git_commit, package_versions


def git(folder, *arguments):
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    run = subprocess.run(
        ["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """A repository that tracks a copy of the module, which looks at its own folder."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    shutil.copy(provenance.__file__, folder / "provenance.py")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def commit_seen_in(folder):
    spec = importlib.util.spec_from_file_location("copied", folder / "provenance.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.git_commit()


def test_the_commit_is_the_checkout_s(checkout):
    assert commit_seen_in(checkout) == git(checkout, "rev-parse", "HEAD")


def test_changed_files_make_the_commit_dirty(checkout):
    with (checkout / "provenance.py").open("a") as file:
        file.write("# changed\n")
    assert commit_seen_in(checkout) == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_files_that_nobody_tracks_change_nothing(checkout):
    (checkout / "notes.txt").write_text("mine")
    assert commit_seen_in(checkout) == git(checkout, "rev-parse", "HEAD")


def test_an_installed_copy_inside_another_repository_has_no_commit(checkout):
    installed = checkout / "venv"
    installed.mkdir()
    shutil.copy(provenance.__file__, installed / "provenance.py")
    assert commit_seen_in(installed) == "unknown"


def test_outside_a_repository_there_is_no_commit(tmp_path):
    shutil.copy(provenance.__file__, tmp_path / "provenance.py")
    assert commit_seen_in(tmp_path) == "unknown"


def test_without_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit() == "unknown"


def test_versions_are_those_installed():
    listed = package_versions().split(", ")
    assert f"torch {version('torch')}" in listed
    assert f"mlflow {version('mlflow')}" in listed
