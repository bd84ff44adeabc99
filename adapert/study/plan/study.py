"""What a study is: its question, base config, and either a search space or a design."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, Literal, get_args

from adapert.config import MOST_EPOCHS, MOST_SHOWN, Config
from adapert.errors import InputError, name_some, nearest
from adapert.study.plan.space import SearchSpace, check_space, distribution_of, grid_variants, is_within

BUDGET_OPTIONS = {
    "n_trials": "--trials",
    "n_seeds": "--seeds",
    "sampler": "--sampler",
    "seed": "--seed",
    "seeds_per_config": "--seeds-per-trial",
    "min_epochs": "--min-epochs",
    "cohort_size": "--deterministic",
}
"""Field of a plan to the option that sets it."""


Sampler = Literal["tpe", "random", "quasi_random", "grid"]
SearchKind = Literal["search", "importance"]
DesignKind = Literal["ablation", "sensitivity", "reevaluation"]
SAMPLERS: tuple[str, ...] = get_args(Sampler)
SEARCHES: tuple[str, ...] = get_args(SearchKind)
DESIGNS: tuple[str, ...] = get_args(DesignKind)

MOST_TRIALS = 1_000_000
"""Of a study: as many of a minute take two years on one core."""

_MOST_SEED = 2**32 - 1
"""Optuna's samplers take no larger one."""

_BOUNDS = {
    "n_trials": (1, MOST_TRIALS),
    "n_seeds": (1, MOST_TRIALS),
    "min_epochs": (1, MOST_EPOCHS),
    "reduction_factor": (2, MOST_TRIALS),
    "seed": (0, _MOST_SEED),
    "first_seed": (0, _MOST_SEED),
    "seeds_per_config": (1, MOST_TRIALS),
    "cohort_size": (0, MOST_TRIALS),
}
"""Of the whole numbers of a plan."""


MAX_NAME = 120
"""Bytes of a study's name: it is a folder's, and part of others."""

MAX_DERIVED_NAME = MAX_NAME + 30
"""Bytes with what a re-evaluation adds to the name of its study."""


def check_name(name: str, n_bytes: int = MAX_NAME) -> None:
    """Refuse what makes no folder of its own: "..", a path, or a name too long for a file system.

    Args:
        name: Of a study.
        n_bytes: That it may have.

    Raises:
        InputError: It does not.
    """
    if not name[:1].isalnum() or not all(part.isalnum() or part in "._-" for part in name):
        raise InputError(
            "A study's name must be of letters, digits, '.', '_' and '-' and begin with a letter or "
            f"digit, but it is '{make_printable(name)}'. Give another name."
        )
    if len(name.encode()) > n_bytes:
        raise InputError(
            f"A study's name must have at most {n_bytes} bytes, but '{name[:20]}...' has "
            f"{len(name.encode())}. Give a shorter one."
        )


def make_printable(name: str) -> str:
    """Put what a user gave as a name into one line: no control characters, and not at any length."""
    escaped = "".join(part if part.isprintable() else ascii(part)[1:-1] for part in name)
    return escaped if len(escaped) <= MAX_NAME else f"{escaped[:20]}..."


@dataclass(frozen=True)
class Assignment:
    """One trial of a design: a named change and a seed."""

    variant: str
    seed: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Search:
    """Look for the best config of a space, or learn what matters in it.

    Attributes:
        space: Dotted config field to Optuna distribution.
        kind: ``"importance"`` trains every config with every seed at full fidelity and lets no result choose
            the next one; a search stops what is behind.
        n_trials: Configs to try.
        sampler: Tree-structured Parzen estimator, random, quasi-random (the points of one scrambled Sobol
            sequence, best at a power of two), or every point of a grid.
        n_startup: Random configs before the estimator's first; None is a third of the trials, 4 to 10.
        initial_points: Dotted fields of the first configs, tried before any other; fields left out are drawn.
        min_epochs: ASHA's first rung: no trial is stopped before.
        reduction_factor: ASHA's: at each rung the best of this many go on.
        seed: Of the sampler, and of every config's first trial, so that configs differ in nothing else.
        seeds_per_config: Seeds that a config is trained with; its objective is their mean. ASHA judges the
            first; a config whose seeds so far are clearly behind gets no more.
        cohort_size: Configs that are asked for at once and all end before the next are: nothing then depends
            on who came first, and the same seed tries the same configs whatever runs side by side. 0 asks for
            the next as soon as a place is free.
    """

    space: SearchSpace
    kind: SearchKind = "search"
    n_trials: int = 16
    sampler: Sampler = "tpe"
    n_startup: int | None = None
    initial_points: Sequence[Mapping[str, Any]] = ()
    min_epochs: int = 10
    reduction_factor: int = 3
    seed: int = 0
    seeds_per_config: int = 1
    cohort_size: int = 0

    @property
    def is_full_fidelity(self) -> bool:
        """Whether every config is trained to its end, with every seed."""
        return self.kind == "importance"

    @property
    def n_startup_trials(self) -> int:
        """Random configs before the estimator's first."""
        return min(10, max(4, self.n_trials // 3)) if self.n_startup is None else self.n_startup


@dataclass(frozen=True, kw_only=True)
class Design:
    """Compare named variants, each with the same seeds and at full fidelity.

    Attributes:
        kind: Which figure reads it.
        variants: Name to dotted changes of the base config.
        n_seeds: Seeds of each variant: `first_seed` and those after it.
        first_seed: Not 0 where seeds must be new.
        n_seeds_of: Variants that get another number of seeds.
    """

    kind: DesignKind
    variants: Mapping[str, Mapping[str, Any]]
    n_seeds: int = 3
    first_seed: int = 0
    n_seeds_of: Mapping[str, int] = field(default_factory=dict)

    def seeds_of(self, variant: str) -> range:
        """Seeds that a variant is trained with."""
        return range(self.first_seed, self.first_seed + self.n_seeds_of.get(variant, self.n_seeds))


@dataclass(frozen=True, kw_only=True)
class AblationPath:
    """Go from another config to the base config, one field a step, each time the one that helps most.

    Attributes:
        start: Dotted fields that differ at the path's start, and their values there.
        n_seeds: Seeds 0, 1, ... of each config.
    """

    start: Mapping[str, Any]
    n_seeds: int = 3

    kind = "path"

    @property
    def n_configs(self) -> int:
        """Configs that are tried: the start, and at each step one for each field that is left."""
        return 1 + len(self.start) * (len(self.start) + 1) // 2


Plan = Search | Design | AblationPath


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
    plan: Plan

    def __post_init__(self) -> None:
        check_name(self.name, MAX_DERIVED_NAME if self.plan.kind == "reevaluation" else MAX_NAME)
        _check_plan(self.plan)
        if isinstance(self.plan, Design):
            for changes in self.plan.variants.values():
                self.base.with_changes(changes)
        elif isinstance(self.plan, AblationPath):
            self.base.with_changes(self.plan.start)
        else:
            check_space(self.plan.space, self.base)
            _check_points(self.plan)
            if self.plan.sampler == "grid":
                grid_variants(self.plan.space)

    @property
    def assignments(self) -> list[Assignment]:
        """All trials of a design or grid, seeds within variants; empty where earlier trials decide."""
        plan = self.plan
        if isinstance(plan, Design):
            seeds = {name: plan.seeds_of(name) for name in plan.variants}
            variants: Mapping[str, Mapping[str, Any]] = plan.variants
        elif isinstance(plan, AblationPath) or self.is_sampled:
            return []
        else:
            variants = grid_variants(plan.space)
            seeds = dict.fromkeys(variants, range(plan.seed, plan.seed + plan.seeds_per_config))
        return [
            Assignment(variant=name, seed=seed, changes=changes)
            for name, changes in variants.items()
            for seed in seeds[name]
        ]

    @property
    def n_trials(self) -> int:
        """Trials the study asks for; with several seeds a config, at most."""
        if isinstance(self.plan, Search) and self.is_sampled:
            return self.plan.n_trials * self.plan.seeds_per_config
        if isinstance(self.plan, AblationPath):
            return self.plan.n_configs * self.plan.n_seeds
        return len(self.assignments)

    @property
    def is_sampled(self) -> bool:
        """Whether a sampler chooses the configs, rather than a list of them."""
        return isinstance(self.plan, Search) and self.plan.sampler != "grid"

    def with_more_seeds(self, n_more: int) -> "Study":
        """Add seeds to a design; any other study stays as it is."""
        if not n_more or not isinstance(self.plan, Design):
            return self
        return replace(self, plan=replace(self.plan, n_seeds=self.plan.n_seeds + n_more))

    def with_budget(self, **budget: Any) -> "Study":
        """Change what the command line may change of a plan.

        Args:
            budget: ``n_trials``, ``sampler``, ``seed``, ``min_epochs``, ``seeds_per_config``, ``cohort_size``
                of a search, or ``n_seeds`` of a design; None leaves a field as it is.

        Raises:
            InputError: What the plan does not have.
        """
        given = {name: value for name, value in budget.items() if value is not None}
        for name in given:
            if name not in BUDGET_OPTIONS:
                raise InputError(
                    f"A budget has no field '{name}'.{nearest(name, BUDGET_OPTIONS)} "
                    f"It has {name_some(BUDGET_OPTIONS, len(BUDGET_OPTIONS))}."
                )
            if not hasattr(self.plan, name):
                is_search = isinstance(self.plan, Search)
                rule = _RULES[type(self.plan)]
                cure = "--trials or --seeds-per-trial" if is_search else "--seeds"
                raise InputError(
                    f"{rule}, but study '{self.name}' was given {BUDGET_OPTIONS[name]}. Use {cure}."
                )
        if "min_epochs" in given and isinstance(self.plan, Search) and self.plan.is_full_fidelity:
            raise InputError(
                f"An importance study stops no trial early, but study '{self.name}' was given "
                "--min-epochs. Leave it out."
            )
        changed = replace(self, plan=replace(self.plan, **given))
        if "n_trials" in given and changed.assignments:
            raise InputError(
                f"A grid's trials are all its {changed.n_trials} points, but study '{self.name}' was given "
                "--trials. Leave it out, or use --sampler random."
            )
        return changed


_RULES = {
    Search: "A search has seeds per config",
    Design: "A design's trials are its variants",
    AblationPath: "A path's trials are its steps",
}


def _check_plan(plan: Plan) -> None:
    for name, (least, most) in _BOUNDS.items():
        _check_number(name, getattr(plan, name, least), least, most)
    if isinstance(plan, AblationPath):
        if not plan.start:
            raise InputError(
                "An ablation path leads to a config that differs from the defaults, but this one does not. "
                "Give a picked one with --config."
            )
        return
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
    if isinstance(plan, Search):
        _check_search(plan)
        return
    for variant, n_seeds in plan.n_seeds_of.items():
        _check_number(f"n_seeds_of '{variant}'", n_seeds, 0, MOST_TRIALS)
    n_trials = sum(len(plan.seeds_of(variant)) for variant in plan.variants)
    _check_number("the number of trials", n_trials, 0, MOST_TRIALS)


def _check_number(name: str, value: Any, least: int, most: int) -> None:
    # numpy's whole numbers too, and no truth value, which Python counts among them.
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise InputError(f"{name} of a plan must be a whole number, but it is {str(value)[:MOST_SHOWN]!r}.")
    value = int(value)
    if value < least:
        raise InputError(f"{name} of a plan must be at least {least}, but it is {value}.")
    if value > most:
        found = f"{value:.6g}" if value < 10**300 else "far more"
        raise InputError(f"{name} of a plan must be at most {most:,}, but it is {found}.")


def _check_search(plan: Search) -> None:
    if plan.kind not in SEARCHES:
        raise InputError(
            f"kind of a search must be one of {', '.join(SEARCHES)}, but it is '{plan.kind}'."
            f"{nearest(plan.kind, SEARCHES)}"
        )
    if plan.kind == "importance" and plan.sampler == "tpe":
        raise InputError(
            "An importance study needs configs that no result has chosen, but its sampler is 'tpe'. "
            "Use --sampler quasi_random."
        )


def _check_points(plan: Search) -> None:
    for point in plan.initial_points:
        for name, value in point.items():
            if name not in plan.space:
                raise InputError(
                    f"An initial point sets fields of the space, but '{name}' is not among them."
                    f"{nearest(name, plan.space)}"
                )
            distribution = distribution_of(plan.space[name])
            # Optuna would only warn, and try a value that its models do not know.
            if not is_within(value, distribution):
                raise InputError(
                    f"An initial point must lie in the space, but '{name}' is {value} and the space has "
                    f"{distribution}."
                )
