"""The command config."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapert.cli.as_json import print_json
from adapert.cli.completion import complete_model
from adapert.cli.printing import console, show_value
from adapert.errors import InputError, join_words

if TYPE_CHECKING:
    from adapert.config import Config
    from adapert.config.fields import ConfigField


def config(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG.yaml", help="YAML config or preset; default: every field."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="Only fields that this model reads.", autocompletion=complete_model),
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema, by which editors complete a YAML config.")
    ] = False,
) -> None:
    """Print the fields of a config: default, values, and what each is."""
    from adapert.config import read_config
    from adapert.config.fields import build_schema, default_config, every_class
    from adapert.config.presets import locate_config

    given = {"CONFIG.yaml": file, "--model": model, "--schema": schema or None}
    if len(several := [name for name, value in given.items() if value is not None]) > 1:
        raise InputError(
            f"'adapert config' shows one thing, but {join_words(several)} ask for {len(several)}. Give one."
        )
    if schema:
        print_json(build_schema())
    elif file is not None:
        _print_fields(shown := read_config(locate_config(file)), shown.settings())
    elif model is not None:
        _print_fields(shown := default_config(model), shown.settings())
    else:
        _print_fields(shown := every_class()(), shown.flat())


def _print_fields(shown: "Config", values: Mapping[str, object]) -> None:
    """Print fields section by section: a line that can be searched for, then what the field is."""
    from adapert.config.fields import describe_fields, section_classes

    of_section: dict[str, list[ConfigField]] = {}
    for field in describe_fields(type(shown)):
        if field.name in values:
            of_section.setdefault(field.section, []).append(field)
    kinds = section_classes(type(shown))
    for section, fields in of_section.items():
        head = (kinds[section].__doc__ or "").partition("\n")[0].removeprefix(f"`{section}`: ")
        console.print(f"{section}: {head}" if head else section, style="bold", soft_wrap=True)
        for field in fields:
            console.print(_describe_value(field, values[field.name]), soft_wrap=True)
            console.print(f"    {field.meaning}".rstrip(), style="dim", soft_wrap=True)
        console.print()


def _describe_value(field: "ConfigField", value: object) -> str:
    words = field.values if isinstance(field.values, str) else " | ".join(field.values)
    default = "" if value == field.default else f"; default {show_value(field.default)}"
    return f"{field.name}: {show_value(value)}   ({words}{default})"
