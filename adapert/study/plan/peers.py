"""Peers: systems that are searched with equal budgets, and then compared in pairs, default and tuned.

A system joins by its search space: ``search_spaces/NAME.py`` of a model's name, with `SPACE`, or with
`PEER_SPACE` where it is searched over another space beside other systems than alone, and with
`FURTHER_EMBEDDINGS` where it has fields of the sources of embeddings after the first; the model of another
package by the space that it brings.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from adapert.config import Config, model_names, packaged_models
from adapert.data.trial_graph import has_chance
from adapert.errors import InputError, name_some, nearest
from adapert.plugins import load_plugin
from adapert.statistics.pairs import LABEL_MARK
from adapert.study.plan.space import SearchSpace, is_varied
from adapert.study.plan.study import Design, Search, Study, check_name

PEERS = "peers"
"""Name of the study that compares systems, if it has no other, and kind of its plan."""

DEFAULT, TUNED = "default", "tuned"
"""Forms of a system that was searched: its published config, and the one that was picked."""

N_TRIALS, N_SEEDS, N_SPLITS = 24, 5, 3
"""Budget of each search, and replicates of the comparison, where nothing else is asked for."""

_SPLIT_SEED = "data.split_seed"
_SPLIT = f"{LABEL_MARK}split_"


def searched_spaces(base: Config) -> dict[str, SearchSpace]:
    """Find the systems that are searched: model to its space, in the order of `model_names`.

    Args:
        base: Config that searches start from; says which sources of embeddings there are.
    """
    spaces: dict[str, SearchSpace] = {}
    for name in model_names():
        if module := _space_module(name):
            further = getattr(module, "FURTHER_EMBEDDINGS", {}) if base.picks_several_embeddings else {}
            spaces[name] = getattr(module, "PEER_SPACE", module.SPACE) | further
        elif name in packaged_models() and (space := load_plugin(name).space):
            spaces[name] = space
    return spaces


def check_systems(models: Sequence[str], spaces: Mapping[str, SearchSpace]) -> None:
    """Refuse models that do not exist, and peers of which none is searched.

    Args:
        models: Names of models.
        spaces: Model to space of those that are searched.

    Raises:
        InputError: There is one of them.
    """
    known = model_names()
    for name in models:
        if name not in known:
            raise InputError(
                f"There is no model '{name}'.{nearest(name, known)} Known are {', '.join(known)}."
            )
    if not set(models) & set(spaces):
        raise InputError(
            f"Peers are systems that are searched, but of {name_some(models)} none has a search space. Add "
            f"one of {', '.join(spaces)}, or launch 'references'."
        )


def name_search(model: str, data: str = "") -> str:
    """Name the search of a system, which every comparison of a workspace on the same data shares.

    Args:
        model: Name of the system.
        data: Name of the data set, where it has one.
    """
    return f"{name_comparison(PEERS, data)}_{model}"


def name_comparison(name: str, data: str) -> str:
    """Name the comparison on a data set with a name; without one, as the user did."""
    return f"{name}_{data}" if data else name


def names_of_data(comparison: str) -> list[str]:
    """List the names that the data set of a comparison may have: ``"peers_k562"`` gives "k562" and ""."""
    parts = comparison.split("_")
    return [*("_".join(parts[first:]) for first in range(1, len(parts))), ""]


def shown_name(comparison: str) -> str:
    """Shorten the name of a comparison for a table's head: ``"peers_k562"`` is "k562"."""
    return comparison.removeprefix(f"{PEERS}_")


def check_data_names(names: Sequence[str], comparison: str, systems: Iterable[str]) -> None:
    """Refuse names of data sets that would give two studies one name.

    Args:
        names: Of all data sets that are compared on.
        comparison: What the user named the comparison.
        systems: Those that are searched.

    Raises:
        InputError: There is such a name, or one of which no study can be called.
    """
    taken: dict[str, str] = {name_search(system): "" for system in systems}
    for data in names:
        for study in (name_comparison(comparison, data), *(name_search(system, data) for system in systems)):
            check_name(study)
            if taken.setdefault(study, data) != data:
                raise InputError(
                    f"Each study of a comparison needs a name of its own, but of data set '{data}' one would "
                    f"be '{study}', which is another's. Name it otherwise: --data NAME=DIR."
                )


def build_peer_search(model: str, space: SearchSpace, base: Config, data: str = "") -> Study:
    """Build the search of a system, which tries the base config's own values first.

    Args:
        model: Name of the system.
        space: Its search space.
        base: The defaults, or what the user starts from, of whatever model; see `published_config`.
        data: Name of the data set, where it has one.

    Raises:
        InputError: A value of the base config is outside the space.
    """
    own = published_config(model, base)
    return Study(
        name=name_search(model, data),
        question=f"Which config of {model} predicts held-out perturbations best?",
        base=own,
        plan=Search(space=space, n_trials=N_TRIALS, initial_points=(find_point(space, own),)),
    )


def published_config(model: str, base: Config, budget: Mapping[str, Any] | None = None) -> Config:
    """Make a system's published config of a base config, whose own changes of the defaults stay.

    Args:
        model: Name of the system.
        base: A config of whatever model; one of the system itself is left as it is.
        budget: Further fields of the published form: those of `PUBLISHED` in its search space's module leave
            epochs and patience alone, which are the same for all peers.
    """
    if base.model.name == model:
        return base
    changes = _published_changes(model) | dict(budget or {})
    given, default = base.flat(), Config().flat()
    kept = {field: value for field, value in changes.items() if given[field] == default[field]}
    return base.with_changes({"model.name": model} | kept)


def _published_changes(model: str) -> dict[str, Any]:
    return dict(getattr(_space_module(model), "PUBLISHED", {}))


def _space_module(model: str) -> ModuleType | None:
    """Import the module of a model's name in `search_spaces`, if there is one."""
    package = importlib.import_module("search_spaces")
    is_there = model in {module.name for module in pkgutil.iter_modules(package.__path__)}
    return importlib.import_module(f"search_spaces.{model}") if is_there else None


def find_point(space: SearchSpace, config: Config) -> dict[str, Any]:
    """Find a config's point of a space: the values of the fields that are varied there."""
    flat = config.flat()
    point: dict[str, Any] = {}
    for name, choice in space.items():
        if is_varied(choice, point):
            point[name] = flat[name]
    return point


def build_comparison(
    name: str,
    base: Config,
    models: Sequence[str],
    tuned: Mapping[str, Config],
    first_seed: int,
    n_splits: int = N_SPLITS,
) -> Study:
    """Build the comparison of systems: each with the same seeds and splits, default and tuned.

    Args:
        name: Name of the study.
        base: Config that the searches started from.
        models: Names of all models; one that was not searched has its defaults alone, and one whose fits no
            seed changes has one a split.
        tuned: System to its picked config.
        first_seed: Larger than every seed by which a config was chosen.
        n_splits: Splits: the base config's own, and redrawn ones.

    Raises:
        InputError: Fewer splits than one.
    """
    if n_splits < 1:
        raise InputError(f"Systems are compared on at least 1 split, but --splits is {n_splits}.")
    own = base.data.split_seed
    split_seeds = [own, *[seed for seed in range(1, n_splits + 1) if seed != own][: n_splits - 1]]
    variants: dict[str, dict[str, Any]] = {}
    of_one_fit = []
    for model in dict.fromkeys(models):
        forms = {model: published_config(model, base)}
        if model in tuned:
            forms = {
                f"{model}{LABEL_MARK}{DEFAULT}": forms[model],
                f"{model}{LABEL_MARK}{TUNED}": tuned[model],
            }
        for variant, config in forms.items():
            for seed in split_seeds:
                named = variant if seed == own else f"{variant}{_SPLIT}{seed}"
                redrawn = {} if seed == own else {_SPLIT_SEED: seed}
                variants[named] = changes_to(config, base) | redrawn
                of_one_fit += [] if has_chance(config) else [named]
    plan = Design(
        kind="peers",
        variants=variants,
        n_seeds=N_SEEDS,
        first_seed=first_seed,
        n_seeds_of=dict.fromkeys(of_one_fit, 1),
    )
    question = "Which system predicts held-out perturbations best, as published and after equal searches?"
    return Study(name=name, question=question, base=base, plan=plan)


def compared_variant(variant: str) -> str:
    """Name a variant of the comparison without its split: ``"adapert:tuned"``."""
    return variant.partition(_SPLIT)[0]


def form_of(variant: str) -> str:
    """Say which form of its system a variant is; empty where the system was not searched."""
    return compared_variant(variant).partition(LABEL_MARK)[2]


def changes_to(config: Config, base: Config) -> dict[str, Any]:
    """List what a config's model reads otherwise than the base config has it, wherever the data lie."""
    before = base.flat()
    return {
        field: value
        for field, value in config.settings().items()
        if value != before[field] and field != "data.path"
    }
