"""Versions of installed packages."""

from functools import cache
from importlib.metadata import version


@cache
def installed_version(package: str) -> str:
    """Read an installed package's version, once in a process: its whole description is parsed for it.

    Raises:
        PackageNotFoundError: It is not installed.
    """
    return version(package)
