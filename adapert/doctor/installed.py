"""Checks of Python's and the packages' versions."""

import platform
import shlex
import sys
from collections.abc import Sequence
from importlib import metadata

from adapert.doctor.findings import Finding, ok, problem, warning
from adapert.errors import name_some
from adapert.versions import installed_version

SHOWN_PACKAGES = ("adapert", "torch", "ray", "optuna", "mlflow", "numpy", "pandas", "anndata")


def check_python(version: str | None = None, required: str | None = None) -> Finding:
    """Compare Python's version with what adapert needs; None is this Python, and adapert's own metadata."""
    from packaging.specifiers import SpecifierSet

    version = version or platform.python_version()
    required = required or _metadata_of_adapert("Requires-Python") or ">=3.11"
    if SpecifierSet(required).contains(version, prereleases=True):
        return ok(f"{version}, {sys.executable}")
    return problem(f"Python must be {required}, but this is {version}. Install adapert under such a Python.")


def check_packages(requirements: Sequence[str] | None = None) -> Finding:
    """Compare installed versions with adapert's requirements.

    Args:
        requirements: As in ``pyproject.toml``; None is those that adapert was installed with.
    """
    from packaging.requirements import Requirement

    if requirements is None:
        if _metadata_of_adapert("Version") is None:
            return warning(
                "adapert must be installed for its requirements to be known, but it is only on the path. "
                "Run in its folder: python -m pip install -e ."
            )
        requirements = metadata.requires("adapert") or []
    parsed = [Requirement(text) for text in requirements]
    needed = [need for need in parsed if need.marker is None or need.marker.evaluate({"extra": ""})]
    versions = {need.name: _version_of(need.name) for need in needed}
    wrong = {
        need: f"{need.name} {versions[need.name] or 'missing'} (needs {need.specifier or 'any'})"
        for need in needed
        if not (version := versions[need.name]) or not need.specifier.contains(version, prereleases=True)
    }
    if not wrong:
        shown = ((name, _version_of(name)) for name in SHOWN_PACKAGES)
        return ok(", ".join(f"{name} {version}" for name, version in shown if version))
    command = " ".join(["python -m pip install", *(shlex.quote(str(need).split(";")[0]) for need in wrong)])
    return problem(
        f"Installed packages must be those that adapert needs, but {len(wrong)} of {len(needed)} are not: "
        f"{name_some(wrong.values())}. Run: {command}"
    )


def _metadata_of_adapert(field: str) -> str | None:
    try:
        return metadata.metadata("adapert")[field]
    except (metadata.PackageNotFoundError, KeyError):
        return None


def _version_of(package: str) -> str | None:
    try:
        return installed_version(package)
    except metadata.PackageNotFoundError:
        return None
