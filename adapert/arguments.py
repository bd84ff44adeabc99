"""Checks of the arguments of the Python functions, before any work."""

import inspect
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar, get_type_hints

from adapert.errors import InputError, name_some, nearest

AnyPath = str | os.PathLike[str]


class Budget(TypedDict, total=False):
    """How much a study tries."""

    n_trials: int
    """Configs that a search tries."""
    n_seeds: int
    """Seeds of each variant of a design."""
    sampler: Literal["tpe", "random", "quasi_random", "grid"]
    seed: int
    """Seed of a search and its trials."""
    min_epochs: int | Literal["auto"]
    """Epochs before a search may stop a trial; "auto": it learns from its first trials."""
    seeds_per_config: int
    cohort_size: int
    """Configs that a search proposes at once."""


P = ParamSpec("P")
R = TypeVar("R")
Parameters = Mapping[str, inspect.Parameter]

_CLASSES = {
    "resources": "adapert.study.execution.resources.Resources",
    "limits": "adapert.study.engine.limits.Limits",
    "stores": "adapert.workspace.launch.Stores",
}
"""Arguments to the classes whose fields they have, imported only for an answer."""


def answer_arguments(
    more: Callable[[], Collection[str]] = tuple,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Refuse a call that does not fit a function's signature: in a sentence, with the argument that is meant.

    That is the nearest of its arguments, or the one whose field it is, such as ``budget`` or ``changes``.

    Args:
        more: Names that the function's ``**`` takes, read only once a call needs them.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name, taken = function.__name__, inspect.signature(function).parameters

        @wraps(function)
        def run(*args: P.args, **named: P.kwargs) -> R:
            _check_keywords(name, named, taken, more)
            _check_places(name, len(args), named, taken)
            return function(*args, **named)

        return run

    return decorate


def _check_keywords(
    function: str, named: Collection[str], taken: Parameters, more: Callable[[], Collection[str]]
) -> None:
    known = [name for name, argument in taken.items() if argument.kind is not argument.VAR_KEYWORD]
    unknown = [name for name in named if name not in known]
    known += more() if unknown else ()
    for name in unknown:
        if name not in known:
            raise InputError(f"'{function}' has no argument '{name}'.{_find_argument(name, known)}")


def _check_places(function: str, n_placed: int, named: Collection[str], taken: Parameters) -> None:
    placed = [name for name, argument in taken.items() if argument.kind is argument.POSITIONAL_OR_KEYWORD]
    needed = [name for name in placed if taken[name].default is inspect.Parameter.empty]
    if n_placed > len(placed):
        raise InputError(
            f"'{function}' takes at most {len(placed)} arguments by place ({name_some(placed)}), but "
            f"{n_placed} came. Name the others: argument=value."
        )
    if twice := [name for name in placed[:n_placed] if name in named]:
        raise InputError(
            f"'{function}' takes each argument once, but {name_some(twice)} came by place and by name. "
            "Leave one of them out."
        )
    if missing := [name for name in needed if name not in (*placed[:n_placed], *named)]:
        raise InputError(
            f"'{function}' needs {name_some(needed)}, but {name_some(missing)} is missing. Add it."
        )


def _find_argument(name: str, known: Collection[str]) -> str:
    owners = {field: owner for argument in known for field, owner in _describe_fields(argument).items()}
    if name in owners:
        return f" It is a field of {owners[name]}."
    meant = nearest(name, [*known, *owners])
    for field, owner in owners.items():
        if field not in known and f"'{field}'" in meant:
            return f"{meant} It is a field of {owner}."
    return meant or f" It has {name_some(known, len(known))}."


def _describe_fields(argument: str) -> dict[str, str]:
    """Name the fields that an argument takes, and say how each is given."""
    if argument == "budget":
        return {field: f"the budget: budget={{'{field}': ...}}" for field in get_type_hints(Budget)}
    if argument == "changes":
        from adapert.config import Config

        fields = {field.partition(".")[2]: field for field in reversed(Config().flat())}
        return {name: f"the config: changes={{'{field}': ...}}" for name, field in fields.items()}
    if argument in _CLASSES:
        package, _, name = _CLASSES[argument].rpartition(".")
        hints = get_type_hints(getattr(import_module(package), name))
        return dict.fromkeys(hints, f"the argument '{argument}'")
    return {}


def check_name(what: str, given: object) -> str:
    """Read one name.

    Raises:
        InputError: Anything but a string.
    """
    check_kind(what, given, str, "Give one name.")
    return str(given)


def check_names(what: str, given: str | Iterable[str]) -> list[str]:
    """Read names; one alone, as a string, is one name and not its letters.

    Raises:
        InputError: Anything but strings, or an empty one.
    """
    names = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else None
    if names is None or not all(isinstance(name, str) and name.strip() for name in names):
        raise InputError(
            f"'{what}' must be a name or a list of names, but it is {_show(given)}. Give strings, such as "
            "['KLF1'] for genes or ['search'] for studies."
        )
    return names


def check_fields(
    what: str, given: object, hints: Mapping[str, Any], elsewhere: Collection[str] = ()
) -> dict[str, Any]:
    """Read a mapping of fields, each of its type; None as a value leaves a field out.

    Args:
        what: Name of the argument.
        given: Mapping; None is empty.
        hints: Field to its type.
        elsewhere: Dotted fields of a config, which an argument `changes` takes.

    Raises:
        InputError: No mapping, a field that does not exist, or a value of another type.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    fields = check_mapping(what, given)
    for name in fields.keys() - hints.keys():
        owner = next((field for field in elsewhere if name in (field, field.partition(".")[2])), "")
        cure = (
            f" It is a field of the config: changes={{'{owner}': {fields[name]!r}}}."
            if owner
            else nearest(name, hints) + f" It has {name_some(hints, len(hints))}."
        )
        raise InputError(f"'{what}' has no field '{name}'.{cure}")
    for name, value in fields.items():
        fields[name] = tuple(value) if isinstance(value, list) else value
        if value is None:
            continue
        try:
            TypeAdapter(hints[name], config=ConfigDict(strict=True)).validate_python(fields[name])
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(
                f"Field '{name}' of '{what}': {first['msg']}, but it is {_show(value)}."
            ) from error
    return fields


def check_mapping(what: str, given: object) -> dict[str, Any]:
    """Read a mapping from names to values; None is empty.

    Raises:
        InputError: Anything else, such as ``["model.tau=0.5"]``.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise InputError(
            f"'{what}' must map names of fields to their values, but it is {_show(given)}. "
            "Give a dictionary, such as {'model.tau': 0.5} for changes of a config."
        )
    return dict(given)


def check_kind(
    what: str, given: object, kind: type | tuple[type, ...], cure: str, is_optional: bool = False
) -> None:
    """Refuse an object of another class; None only where it does not stand for a default.

    Raises:
        InputError: Another class.
    """
    if not isinstance(given, kind) and not (is_optional and given is None):
        names = [one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,))]
        raise InputError(f"'{what}' must be a {' or '.join(names)}, but it is {_show(given)}. {cure}")


def check_word(what: str, given: object, known: Collection[str]) -> None:
    """Refuse a word that is not among the known ones.

    Raises:
        InputError: It is not; with the nearest that is.
    """
    if given not in known:
        raise InputError(
            f"'{what}' must be one of {', '.join(known)}, but it is {_show(given)}."
            f"{nearest(str(given), known)}"
        )


def check_split(split: object) -> None:
    """Refuse all but validation: no trial of a study has seen another split.

    Raises:
        InputError: The test split, or a word that names none.
    """
    if split == "test":
        raise InputError(
            "Trials of studies are scored on validation perturbations only, so that figures and reports of "
            "studies have none of the test split. Open it with 'adapert evaluate', and show that by 'adapert "
            "figures --evaluation FOLDER'; reports of the study then show it too."
        )
    check_word("split", split, ("validation",))


def check_file(what: str, path: object) -> Path:
    """Read a file's path; whether it exists is the reader's business.

    Raises:
        InputError: No path, or that of a directory.
    """
    found = _check_path(what, path)
    if found.is_dir():
        raise InputError(f"'{what}' must be a file, but '{found}' is a directory. Name a file in it.")
    return found


def check_folder(what: str, path: object) -> Path:
    """Read a directory's path; whether it exists is the reader's business.

    Raises:
        InputError: No path, or that of a file.
    """
    found = _check_path(what, path)
    if found.is_file():
        raise InputError(f"'{what}' must be a directory, but '{found}' is a file. Name another place.")
    return found


def check_optional_file(what: str, path: AnyPath | None) -> Path | None:
    """Read a file's path as `check_file`, where one is given."""
    return None if path is None else check_file(what, path)


def check_optional_folder(what: str, path: AnyPath | None) -> Path | None:
    """Read a directory's path as `check_folder`, where one is given."""
    return None if path is None else check_folder(what, path)


def check_files(what: str, paths: AnyPath | Mapping[str, AnyPath]) -> Path | dict[str, Path]:
    """Read the path of one file, or of several by name.

    Raises:
        InputError: As `check_file` and `check_mapping`.
    """
    if isinstance(paths, Mapping):
        named = check_mapping(what, paths)
        return {name: check_file(f"{what} {name}", path) for name, path in named.items()}
    return check_file(what, paths)


def check_folders(what: str, given: AnyPath | Mapping[str, AnyPath] | None) -> dict[str, Path]:
    """Read folders by name; one alone needs none.

    Raises:
        InputError: As `check_folder` and `check_mapping`.
    """
    named = given if isinstance(given, Mapping) else {} if given is None else {"": given}
    return {
        name: check_folder(f"{what} {name}".strip(), path)
        for name, path in check_mapping(what, named).items()
    }


def check_configs(given: AnyPath | Sequence[AnyPath] | None) -> list[Path | None]:
    """Read the files of configs; None stands for the defaults.

    Raises:
        InputError: As `check_file`, or two files of one name.
    """
    if given is None or not isinstance(given, Sequence) or isinstance(given, str):
        return [check_optional_file("config", given)]
    files = [check_file("config", path) for path in given]
    twice = [stem for stem, n in Counter(file.stem for file in files).items() if n > 1]
    if twice:
        raise InputError(
            f"Several configs are told apart by their files' names, but {name_some(twice)} is there twice. "
            "Name each once, or rename a file."
        )
    return [*files] or [None]


def _check_path(what: str, path: object) -> Path:
    if not isinstance(path, (str, os.PathLike)) or not str(path):
        raise InputError(
            f"'{what}' must be a path, but it is {_show(path)}. Give a string or a pathlib.Path."
        )
    return Path(path)


def _show(given: object) -> str:
    shown = repr(given)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
