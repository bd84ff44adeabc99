"""Where results come from: git commit and package versions."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("adapert", "torch", "ray", "optuna", "mlflow", "anndata", "numpy", "scipy")


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
    return f"{commit}{'-dirty' if is_dirty else ''}" if tracked else "unknown"


def package_versions() -> str:
    """List the versions that numbers depend on, as ``"torch 2.13.0, ..."``."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:  # a source tree that is on the path but not installed
            continue
    return ", ".join(found)


def _git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return run.stdout.strip()
