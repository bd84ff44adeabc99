"""What can be set: each field of a config in words, and all of them as a JSON schema for editors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import create_model
from pydantic.fields import FieldInfo

from adapert.config.config import Config, config_class
from adapert.config.names import model_names, packaged_models
from adapert.errors import InputError, nearest
from adapert.plugins import load_plugin

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class ConfigField:
    """A field of a config.

    Attributes:
        section: Name of its section.
        name: Dotted name, ``"loss.lambda_non"``.
        default: Its value where none is set.
        values: What it takes, in words: a tuple of words where it is one of them.
        meaning: What it is; may be empty in a package of somebody else's.
    """

    section: str
    name: str
    default: Any
    values: str | tuple[str, ...]
    meaning: str


def describe_fields(kind: type[Config] = Config) -> list[ConfigField]:
    """Describe every field of a class of configs, in its order."""
    return [
        ConfigField(
            section,
            f"{section}.{name}",
            field.get_default(call_default_factory=True),
            model_names() if (section, name) == ("model", "name") else _describe_values(field),
            field.description or "",
        )
        for section, sections in section_classes(kind).items()
        for name, field in sections.model_fields.items()
    ]


def section_classes(kind: type[Config]) -> dict[str, type[Any]]:
    """Class of each section of a class of configs."""
    return {
        name: field.annotation
        for name, field in kind.model_fields.items()
        if isinstance(field.annotation, type)
    }


def every_class() -> type[Config]:
    """The class of a config with the sections of all models, of installed packages too.

    Raises:
        InputError: A model's package cannot be imported.
    """
    sections: dict[str, Any] = {}
    for model in packaged_models():
        section = load_plugin(model).section
        sections[model] = (section, section())
    return create_model("Config", __base__=Config, **sections) if sections else Config


def default_config(model: str) -> Config:
    """The defaults of a model's config.

    Raises:
        InputError: No such model, or its package cannot be imported.
    """
    if model not in model_names():
        raise InputError(
            f"--model must be one of {', '.join(model_names())}, but it is '{model}'."
            f"{nearest(model, model_names())}"
        )
    return config_class(model)().with_changes({"model.name": model})


def build_schema() -> dict[str, Any]:
    """Build the JSON schema of a config's YAML file, with which editors complete and check it.

    It knows each field, its type, bounds and words; what fields have to do with each other is checked when a
    config is read.
    """
    schema = every_class().model_json_schema()
    # Checked by a function of pydantic's, which has no place in a schema.
    schema["$defs"]["ModelConfig"]["properties"]["name"]["enum"] = list(model_names())
    return {"$schema": SCHEMA_DIALECT, **schema, "title": "adapert config"}


def _describe_values(field: FieldInfo) -> str | tuple[str, ...]:
    if get_origin(field.annotation) is Literal:
        return tuple(str(value) for value in get_args(field.annotation))
    if field.annotation is bool:
        return ("true", "false")
    return _describe_bounds(field.metadata) or "text"


def _describe_bounds(bounds: Sequence[Any]) -> str:
    signs = {"gt": "above", "ge": "from", "lt": "below", "le": "to"}
    said = [
        f"{word} {getattr(bound, sign):,}"
        for sign, word in signs.items()
        for bound in bounds
        if hasattr(bound, sign)
    ]
    return " ".join(said)
