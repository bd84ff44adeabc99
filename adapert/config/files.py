"""Configs as YAML files."""

from pathlib import Path

from adapert.config.config import Config, validate
from adapert.config.parsing import parse_yaml
from adapert.errors import InputError
from adapert.files import write_whole

MOST_BYTES = 100_000
"""Bytes of a config's file, fifty times what one takes."""


def read_config(path: Path) -> Config:
    """Read a config from YAML (sections of fields); what is absent keeps its default.

    Raises:
        InputError: Not YAML, a field that does not exist, or a value it does not take.
        FileNotFoundError: No such file.
    """
    if not path.is_file():
        what = f"'{path}' is a directory" if path.is_dir() else f"there is no file '{path}'"
        raise FileNotFoundError(f"A config must be a YAML file, but {what}. Name one, such as best.yaml.")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(
            f"A config takes at most {MOST_BYTES:,} bytes, but '{path}' has {size:,}. Name another file."
        )
    try:
        nested = parse_yaml(path.read_bytes())
    except ValueError as error:
        raise InputError(
            f"A config must be YAML, but '{path}' is not: {error}. Name a YAML file, or mend this one."
        ) from error
    nested = {} if nested is None else nested
    if not isinstance(nested, dict) or not all(isinstance(fields, dict) for fields in nested.values()):
        raise InputError(
            f"A config must be sections of fields ({', '.join(Config.model_fields)}), but '{path}' is not."
        )
    return validate(nested)


def write_config(config: Config, path: Path) -> None:
    """Write what a config's model reads as YAML."""
    write_whole(path, config.to_yaml())
