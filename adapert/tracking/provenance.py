"""Where results come from: git commit, what differs from it, and package versions."""

import hashlib
import platform
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from adapert.versions import installed_version

DIRTY = "-dirty"
"""Ends a commit whose files were changed."""

TRACKED_PACKAGES = ("adapert", "torch", "ray", "optuna", "mlflow", "anndata", "numpy", "scipy")

MAX_DIFF = 1_000_000
"""Characters of a diff that are kept."""


def git_commit() -> str:
    """Name the commit that this code runs from, with ``-dirty`` where files differ from it.

    Returns:
        ``"unknown"`` where the package is installed outside a git checkout, or git is absent.
    """
    folder = Path(__file__).resolve().parent
    try:
        tracked = _git(folder, "ls-files", "--error-unmatch", __file__)
        commit = _git(folder, "rev-parse", "HEAD")
        is_dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}{DIRTY if is_dirty else ''}" if tracked else "unknown"


def code_diff() -> str:
    """Show how tracked files differ from the commit, as git's patch; two that are cut still compare.

    Returns:
        A patch; empty where nothing differs or there is no commit. One of more than `MAX_DIFF` characters is
        cut, and its last line gives the length and digest of the whole.
    """
    if not git_commit().endswith(DIRTY):
        return ""
    folder = Path(__file__).resolve().parent
    plain = ("--no-color", "--no-ext-diff", "--no-textconv")  # whatever the user's git is set to
    # The patch of a file in another encoding must not keep a study from starting.
    command = ["git", "-C", str(folder), "diff", *plain, "HEAD"]
    whole = subprocess.run(command, capture_output=True, check=True).stdout.decode(errors="replace")
    if len(whole) <= MAX_DIFF:
        return whole
    digest = hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()
    return f"{whole[:MAX_DIFF]}\n(cut here: {len(whole):,} characters in all, BLAKE2 digest {digest})\n"


def package_versions() -> str:
    """List the versions that numbers depend on, as ``"Python 3.11.7, torch 2.13.0, ..."``."""
    versions = {"Python": platform.python_version()} | find_versions(TRACKED_PACKAGES)
    return ", ".join(f"{package} {found}" for package, found in versions.items())


def find_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of packages; a source tree that is on the path but not installed has none."""
    found = {}
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = installed_version(package)
    return found


def _git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return run.stdout.strip()
