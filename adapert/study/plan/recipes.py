"""Find a study's recipe: by the name of a module in `studies/`, or a Python file of the user's own."""

import importlib
import importlib.util
import pkgutil
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from adapert.config import Config
from adapert.config.parsing import MOST_SHOWN
from adapert.errors import InputError, join_words, nearest
from adapert.study.plan.study import Study


def recipe_names() -> list[str]:
    """Recipes that come with the package."""
    return sorted(module.name for module in pkgutil.iter_modules(importlib.import_module("studies").__path__))


def build_study(recipe: str, base: Config) -> Study:
    """Build a recipe's study on a base config.

    Args:
        recipe: A module of `studies/`, or a path ending in ``.py``; either defines
            ``study(base: Config) -> Study``.
        base: The config that the study starts from.

    Raises:
        InputError: No such recipe, or one without a `study` function that returns a Study.
    """
    module = _load_file(Path(recipe)) if recipe.endswith(".py") else _load_named(recipe)
    if not callable(getattr(module, "study", None)):
        raise InputError(f"A recipe must define study(base), but '{recipe}' does not.")
    try:
        study = module.study(base)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(f"The recipe '{recipe}' must run, but {_describe(error)}") from error
    if not isinstance(study, Study):
        raise InputError(f"study(base) must return a Study, but '{recipe}' returned {type(study).__name__}.")
    return study


def locate_recipe(recipe: str) -> str:
    """Name a recipe as a study keeps it: a file by its whole path, so that it is found from any directory."""
    return str(Path(recipe).resolve()) if recipe.endswith(".py") else recipe


def _load_named(name: str) -> ModuleType:
    names = recipe_names()
    if name not in names:
        raise InputError(
            f"There is no recipe '{name}'.{nearest(name, names) or f' Recipes are {join_words(names)}.'} Or "
            "name the path of a Python file."
        )
    return importlib.import_module(f"studies.{name}")


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        what = f"'{path}' is a directory" if path.is_dir() else f"there is no file '{path}'"
        raise FileNotFoundError(
            f"A recipe's path must be a Python file, but {what}. Name one, or a recipe of adapert: "
            f"{', '.join(recipe_names())}."
        )
    loader = SourceFileLoader(path.stem, str(path))
    spec = importlib.util.spec_from_loader(path.stem, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    try:
        # By importing it, a compiled copy would lie beside it, and hide an edit in the same second.
        exec(loader.source_to_code(path.read_bytes(), str(path)), vars(module))
    except (Exception, SystemExit) as error:
        raise InputError(f"The recipe '{path}' must import, but {_describe(error)}") from error
    return module


def _describe(error: BaseException) -> str:
    lines, kind = str(error).strip().splitlines(), type(error).__name__
    return f"{kind}: {lines[0][:MOST_SHOWN]}" if lines else f"it raised {kind}"
