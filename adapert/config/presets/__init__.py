"""Configs that come with the package, by name: each is a YAML file of this folder."""

from collections.abc import Mapping
from pathlib import Path

from adapert.errors import InputError, name_some, nearest

_FOLDER = Path(__file__).parent

PREPARE_CHOICES: Mapping[str, Mapping[str, str]] = {"paper": {"deg_adjust": "none"}}
"""Preset to the choices of `adapert prepare` that go with it, of data with cells."""


def preset_names() -> list[str]:
    """Name every preset."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def locate_config(given: Path) -> Path:
    """Find the file of a config that is given as a preset's name, or as a path.

    A preset's name is no path: a file that is called like one is given with its folder's absolute path.

    Raises:
        InputError: A single word that is neither a preset nor a file.
    """
    names = preset_names()
    if str(given) in names:
        return _FOLDER / f"{given}.yaml"
    if given.name == str(given) and not given.suffix and not given.exists():
        raise InputError(
            f"A config must be a YAML file or a preset, but there is no file and no preset '{given}'."
            f"{nearest(str(given), names)} Presets: {name_some(names)}."
        )
    return given
