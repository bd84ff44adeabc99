"""What a study is: its question, base config, and either a search space or a design."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, get_args

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from adapert.config import Config
from adapert.errors import InputError, nearest

SearchSpace = Mapping[str, BaseDistribution]

Sampler = Literal["tpe", "random", "grid"]
DesignKind = Literal["ablation", "sensitivity"]
SAMPLERS: tuple[str, ...] = get_args(Sampler)
DESIGNS: tuple[str, ...] = get_args(DesignKind)

_LEAST = {"n_trials": 1, "n_seeds": 1, "min_epochs": 1, "reduction_factor": 2, "seed": 0}


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """One trial of a design: a named change and a seed."""

    variant: str
    seed: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Search:
    """Look for the best config of a space.

    Attributes:
        space: Dotted config field to Optuna distribution.
        n_trials: Configs to try.
        sampler: Tree-structured Parzen estimator, random, or every point of a grid.
        min_epochs: ASHA's first rung: no trial is stopped before.
        reduction_factor: ASHA's: at each rung the best of this many go on.
        seed: Of the sampler, and of every trial, so that configs differ in nothing else.
    """

    space: SearchSpace
    n_trials: int = 16
    sampler: Sampler = "tpe"
    min_epochs: int = 10
    reduction_factor: int = 3
    seed: int = 0

    kind = "search"


@dataclass(frozen=True, kw_only=True)
class Design:
    """Compare named variants, each with the same seeds and at full fidelity.

    Attributes:
        kind: Which figure reads it.
        variants: Name to dotted changes of the base config.
        n_seeds: Seeds 0, 1, ... of each variant.
    """

    kind: DesignKind
    variants: Mapping[str, Mapping[str, Any]]
    n_seeds: int = 3


@dataclass(frozen=True, kw_only=True)
class Study:
    """The trials that answer one question.

    Raises:
        InputError: A name that makes no folder, a plan of nothing or of an unknown kind, or a space or
            variant that sets a field which does not exist, or a value it does not take.
    """

    name: str
    question: str
    base: Config
    plan: Search | Design

    def __post_init__(self) -> None:
        # The name is a folder's: "." and ".." are not.
        if not self.name[:1].isalnum() or not all(part.isalnum() or part in "._-" for part in self.name):
            raise InputError(
                "A study's name must be of letters, digits, '.', '_' and '-' and begin with a letter or "
                f"digit, but it is '{self.name}'."
            )
        _check_plan(self.plan)
        if isinstance(self.plan, Design):
            for changes in self.plan.variants.values():
                self.base.with_changes(changes)
        else:
            _check_space(self.plan.space, self.base)
            if self.plan.sampler == "grid":
                grid_variants(self.plan.space)

    @property
    def assignments(self) -> list[Assignment]:
        """All trials of a design or grid, seeds within variants; empty where a sampler decides."""
        if isinstance(self.plan, Design):
            variants, seeds = self.plan.variants, range(self.plan.n_seeds)
        elif self.plan.sampler == "grid":
            variants, seeds = grid_variants(self.plan.space), range(self.plan.seed, self.plan.seed + 1)
        else:
            return []
        return [
            Assignment(variant=name, seed=seed, changes=changes)
            for name, changes in variants.items()
            for seed in seeds
        ]

    @property
    def n_trials(self) -> int:
        """Trials the study asks for."""
        if isinstance(self.plan, Search) and self.plan.sampler != "grid":
            return self.plan.n_trials
        return len(self.assignments)

    def with_budget(
        self, n_trials: int | None, n_seeds: int | None, sampler: str | None, seed: int | None
    ) -> "Study":
        """Change what the command line may change of a plan.

        Raises:
            InputError: A number of trials or a sampler for a design, or of seeds for a search.
        """
        given: dict[str, Any] = {"n_trials": n_trials, "sampler": sampler, "seed": seed, "n_seeds": n_seeds}
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            if not hasattr(self.plan, name):
                is_search = isinstance(self.plan, Search)
                rule = (
                    "A search trains each config once" if is_search else "A design's trials are its variants"
                )
                cure = "--trials" if is_search else "--seeds"
                raise InputError(
                    f"{rule}, but study '{self.name}' was given --{name.removeprefix('n_')}. Use {cure}."
                )
        changed = replace(self, plan=replace(self.plan, **given))
        if n_trials is not None and changed.assignments:
            raise InputError(
                f"A grid's trials are all its {changed.n_trials} points, but study '{self.name}' was given "
                "--trials. Leave it out, or use --sampler random."
            )
        return changed


def grid_variants(space: SearchSpace) -> dict[str, dict[str, Any]]:
    """Name every point of a space of finite choices.

    Raises:
        InputError: A field with a continuous range.
    """
    choices = {name: _choices(name, distribution) for name, distribution in space.items()}
    points = [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]
    return {
        ",".join(f"{name.split('.')[-1]}={value}" for name, value in point.items()): point for point in points
    }


def _choices(name: str, distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution) and not distribution.log:
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step:
        n_steps = round((distribution.high - distribution.low) / distribution.step)
        # Rounded, since 3 steps of 0.1 are 0.30000000000000004.
        return [float(f"{distribution.low + step * distribution.step:.12g}") for step in range(n_steps + 1)]
    raise InputError(
        f"A grid needs finite choices, but '{name}' is a continuous range. Give it a step or a list of "
        "choices, or use --sampler tpe."
    )


def _check_plan(plan: Search | Design) -> None:
    for name, least in _LEAST.items():
        value = getattr(plan, name, least)
        if value < least:
            raise InputError(f"{name} of a plan must be at least {least}, but it is {value}.")
    is_search = isinstance(plan, Search)
    name, allowed = ("sampler", SAMPLERS) if is_search else ("kind", DESIGNS)
    value = getattr(plan, name)
    if value not in allowed:
        raise InputError(
            f"{name} of a plan must be one of {', '.join(allowed)}, but it is '{value}'."
            f"{nearest(value, allowed)}"
        )
    if not (plan.space if isinstance(plan, Search) else plan.variants):
        raise InputError(f"A {plan.kind} study needs {'a field to vary' if is_search else 'a variant'}.")


def _check_space(space: SearchSpace, base: Config) -> None:
    flat = base.flat()
    for name, distribution in space.items():
        if name not in flat:
            raise InputError(f"Config has no field '{name}'.{nearest(name, flat)}")
        if isinstance(distribution, CategoricalDistribution):
            ends = list(distribution.choices)
        else:
            ends = [distribution.low, distribution.high]  # type: ignore[attr-defined]
        for value in ends:
            base.with_changes({name: value})
