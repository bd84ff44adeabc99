"""What a study tries: a search, a design or an ablation path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from typing import Any, ClassVar, Literal, Self, get_args

from optuna.distributions import BaseDistribution

from adapert.config import Config, check_read
from adapert.config.parsing import MOST_SHOWN
from adapert.config.sections import MOST_EPOCHS
from adapert.errors import InputError, format_count, nearest
from adapert.study.plan.first_rung import (
    LEAST_TRIALS,
    FirstRung,
    FixedRung,
    LearnedRung,
    first_rung_from_json,
    first_rung_to_json,
)
from adapert.study.plan.space import (
    Conditional,
    SearchSpace,
    check_space,
    choice_from_json,
    choice_to_json,
    describe_choice,
    distribution_of,
    grid_variants,
    is_within,
    models_of,
)

Sampler = Literal["tpe", "random", "quasi_random", "grid"]
SearchKind = Literal["search", "importance"]
DesignKind = Literal["ablation", "sensitivity", "priors", "noise", "reevaluation", "peers"]
SAMPLERS: tuple[str, ...] = get_args(Sampler)
SEARCHES: tuple[str, ...] = get_args(SearchKind)
DESIGNS: tuple[str, ...] = get_args(DesignKind)

MOST_TRIALS = 1_000_000
"""Largest number of a study's trials: as many of a minute take two years on one core."""

_MOST_SEED = 2**32 - 1
"""Optuna's samplers take no larger one."""

_BOUNDS = {
    "n_trials": (1, MOST_TRIALS),
    "n_seeds": (1, MOST_TRIALS),
    "reduction_factor": (2, MOST_TRIALS),
    "seed": (0, _MOST_SEED),
    "first_seed": (0, _MOST_SEED),
    "seeds_per_config": (1, MOST_TRIALS),
    "cohort_size": (0, MOST_TRIALS),
}
"""Smallest and largest value of a plan's whole numbers."""


@dataclass(frozen=True)
class Assignment:
    """One trial of a design: a named change and a seed."""

    variant: str
    seed: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study tries; each form of plan answers for itself.

    Attributes:
        kind: What the trials are for; which figure reads them.
        form: How a ledger names this form of plan.
        varied_field: The field that says what the trials vary.
        rule: What a budget may change, for the refusal of anything else.
        budget_cure: Options that change the budget.
    """

    kind: str

    form: ClassVar[str]
    varied_field: ClassVar[str]
    rule: ClassVar[str]
    budget_cure: ClassVar[str] = "--seeds"

    @property
    def noun(self) -> str:
        """The usual word for this form of plan."""
        return self.form

    @property
    def size(self) -> int:
        """Trials that are asked for; with several seeds a config, at most."""
        return len(self.assignments)

    @property
    def assignments(self) -> list[Assignment]:
        """All trials, seeds within variants; empty where earlier trials decide."""
        return []

    @property
    def variants_changes(self) -> list[Mapping[str, Any]]:
        """Changes of the configs that are known beforehand."""
        return [{}]

    @property
    def searched_fields(self) -> dict[str, str]:
        """Fields that every config gets from the plan, and what each is drawn from, in words."""
        return {}

    def models(self, base: Config) -> list[str]:
        """Name the models that may be trained."""
        return [changes.get("model.name", base.model.name) for changes in self.variants_changes]

    @property
    def is_sampled(self) -> bool:
        """Whether a sampler chooses the configs."""
        return False

    @property
    def is_full_fidelity(self) -> bool:
        """Whether every config is trained to its end, with every seed."""
        return True

    @property
    def first_seed(self) -> int:
        """Seed of each config's first trial."""
        return 0

    @property
    def cohort_size(self) -> int:
        """Configs that all end before others are asked for; 0 where none wait."""
        return 0

    @property
    def extension(self) -> str:
        """What can be added: "n_trials", "n_seeds" or nothing."""
        return ""

    def extended(self, n_trials: int, n_seeds: int) -> Self:
        """Add trials or seeds, as far as the plan can be extended."""
        more = {"n_trials": n_trials, "n_seeds": n_seeds}.get(self.extension)
        return replace(self, **{self.extension: getattr(self, self.extension) + more}) if more else self

    def check(self, base: Config) -> None:
        """Refuse a plan that cannot be run on a base config.

        Raises:
            InputError: It tries nothing, or sets a field that does not exist, or a value it does not take.
        """
        for name, (least, most) in _BOUNDS.items():
            # A form of plan without this field passes.
            _check_number(name, getattr(self, name, least), least, most)

    def describe(self, base: Config) -> list[str]:
        """Say what is tried, a line each."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """Put the fields into JSON's types."""
        return {entry.name: _to_json(getattr(self, entry.name)) for entry in fields(self)}

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Self:
        """Build the plan that `to_json` described."""
        return cls(**described)


@dataclass(frozen=True, kw_only=True)
class Search(Plan):
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
        first_rung: ASHA's: no trial is stopped before. An epoch, or how it is learned from the first trials.
        reduction_factor: ASHA's: at each rung the best of this many continue.
        seed: Seed of the sampler and of every config's first trial, so that configs differ in nothing else.
        seeds_per_config: Seeds that a config is trained with; its objective is their mean. ASHA compares the
            first; a config whose seeds so far are clearly behind gets no more.
        cohort_size: Configs that are asked for at once and all end before the next are: nothing then depends
            on who came first, and the same seed tries the same configs whatever runs side by side. 0 asks for
            the next as soon as a place is free.
    """

    form = "search"
    varied_field = "space"
    rule = "A search has seeds per config"
    budget_cure = "--trials or --seeds-per-trial"

    space: SearchSpace
    kind: SearchKind = "search"
    n_trials: int = 16
    sampler: Sampler = "tpe"
    n_startup: int | None = None
    initial_points: Sequence[Mapping[str, Any]] = ()
    first_rung: FirstRung = field(default_factory=LearnedRung)
    reduction_factor: int = 3
    seed: int = 0
    seeds_per_config: int = 1
    cohort_size: int = 0

    @property
    def noun(self) -> str:
        """A grid is named apart from a search that a sampler steers."""
        return "search" if self.is_sampled else "grid"

    @property
    def size(self) -> int:
        """With several seeds a config, at most."""
        return self.n_trials * self.seeds_per_config if self.is_sampled else len(self.assignments)

    @property
    def assignments(self) -> list[Assignment]:
        """The points of a grid."""
        if self.is_sampled:
            return []
        seeds = range(self.seed, self.seed + self.seeds_per_config)
        points = grid_variants(self.space)
        return [Assignment(name, seed, changes) for name, changes in points.items() for seed in seeds]

    def models(self, base: Config) -> list[str]:
        """Name those that the space may choose."""
        return models_of(self.space, base)

    @property
    def is_sampled(self) -> bool:
        """Whether a sampler chooses the configs."""
        return self.sampler != "grid"

    @property
    def is_full_fidelity(self) -> bool:
        """Whether every config is trained to its end, with every seed."""
        return self.kind == "importance"

    @property
    def first_seed(self) -> int:
        """Seed of each config's first trial."""
        return self.seed

    @property
    def extension(self) -> str:
        """A sampler can always suggest more."""
        return "n_trials" if self.is_sampled else ""

    @property
    def n_startup_trials(self) -> int:
        """Random configs before the estimator's first."""
        return min(10, max(4, self.n_trials // 3)) if self.n_startup is None else self.n_startup

    def check(self, base: Config) -> None:
        """Check the space and the initial points too."""
        super().check(base)
        _check_choice("sampler of a plan", self.sampler, SAMPLERS)
        if not self.space:
            raise InputError(f"A {self.kind} study needs a field to vary.")
        _check_choice("kind of a search", self.kind, SEARCHES)
        if self.kind == "importance" and self.sampler == "tpe":
            raise InputError(
                "An importance study needs configs that no result has chosen, but its sampler is 'tpe'. "
                "Use --sampler quasi_random."
            )
        _check_first_rung(self.first_rung)
        check_space(self.space, base)
        _check_points(self)
        if not self.is_sampled:
            grid_variants(self.space)

    @property
    def searched_fields(self) -> dict[str, str]:
        """Fields of the space but those that only some of its configs vary."""
        return {
            name: describe_choice(name, choice)
            for name, choice in self.space.items()
            if not isinstance(choice, Conditional)
        }

    def describe(self, base: Config) -> list[str]:
        """Sampler and space."""
        space = [f"  {name}: {describe_choice(name, choice)}" for name, choice in self.space.items()]
        return [f"sampler {self.sampler}, seed {self.seed}, over:", *space]

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> Self:
        """Build the plan that `to_json` described."""
        space = {name: choice_from_json(choice) for name, choice in described["space"].items()}
        points = tuple(described["initial_points"])
        first_rung = first_rung_from_json(described["first_rung"])
        return cls(**{**described, "space": space, "initial_points": points, "first_rung": first_rung})


@dataclass(frozen=True, kw_only=True)
class Design(Plan):
    """Compare named variants, each with the same seeds and at full fidelity.

    Attributes:
        kind: Which figure reads it.
        variants: Name to dotted changes of the base config.
        n_seeds: Seeds of each variant: `first_seed` and those after it.
        first_seed: Not 0 where seeds must be new.
        n_seeds_of: Variants that get another number of seeds.
    """

    form = "design"
    varied_field = "variants"
    rule = "A design's trials are its variants"

    kind: DesignKind
    variants: Mapping[str, Mapping[str, Any]]
    n_seeds: int = 3
    first_seed: int = 0
    n_seeds_of: Mapping[str, int] = field(default_factory=dict)

    def seeds_of(self, variant: str) -> range:
        """Seeds that a variant is trained with."""
        return range(self.first_seed, self.first_seed + self.n_seeds_of.get(variant, self.n_seeds))

    @property
    def assignments(self) -> list[Assignment]:
        """Every variant with each of its seeds."""
        return [
            Assignment(variant=name, seed=seed, changes=changes)
            for name, changes in self.variants.items()
            for seed in self.seeds_of(name)
        ]

    @property
    def variants_changes(self) -> list[Mapping[str, Any]]:
        """Changes of each variant."""
        return list(self.variants.values())

    @property
    def extension(self) -> str:
        """Every variant can be trained with more seeds."""
        return "n_seeds"

    def check(self, base: Config) -> None:
        """Check every variant's changes too."""
        super().check(base)
        _check_choice("kind of a plan", self.kind, DESIGNS)
        if not self.variants:
            raise InputError(f"A {self.kind} study needs a variant.")
        for variant, n_seeds in self.n_seeds_of.items():
            _check_number(f"n_seeds_of '{variant}'", n_seeds, 0, MOST_TRIALS)
        # Counted without listing them: it may be far too many.
        n_trials = sum(len(self.seeds_of(variant)) for variant in self.variants)
        _check_number("the number of trials", n_trials, 0, MOST_TRIALS)
        for changes in self.variants.values():
            check_read(changes, base.with_changes(changes))

    def describe(self, base: Config) -> list[str]:
        """Each variant's changes."""
        variants = [
            f"  {name}: {', '.join(f'{field} = {value}' for field, value in changes.items()) or 'no change'}"
            for name, changes in self.variants.items()
        ]
        counts = f"{format_count(len(variants), 'variant')} x {format_count(self.n_seeds, 'seed')}:"
        return [counts, *variants]


@dataclass(frozen=True, kw_only=True)
class AblationPath(Plan):
    """Go from another config to the base config, one field a step, each time the one that helps most.

    Attributes:
        start: Dotted fields that differ at the path's start, and their values there.
        n_seeds: Seeds 0, 1, ... of each config.
    """

    form = "path"
    varied_field = "start"
    rule = "A path's trials are its steps"

    kind: Literal["path"] = "path"

    start: Mapping[str, Any]
    n_seeds: int = 3

    @property
    def n_configs(self) -> int:
        """Configs that are tried: the start, and at each step one for each field that is left."""
        return 1 + len(self.start) * (len(self.start) + 1) // 2

    @property
    def size(self) -> int:
        """Every config with each of its seeds."""
        return self.n_configs * self.n_seeds

    def check(self, base: Config) -> None:
        """Check the start too."""
        super().check(base)
        if not self.start:
            raise InputError(
                "An ablation path leads to a config that differs from the defaults, but this one does not. "
                "Give a picked one with --config."
            )
        check_read(self.start, base, base.with_changes(self.start))

    def describe(self, base: Config) -> list[str]:
        """Each field's value at the start and at the end."""
        counts = f"{format_count(self.n_configs, 'config')} x {format_count(self.n_seeds, 'seed')}, from:"
        end = base.flat()
        return [counts, *(f"  {field}: {value} to {end[field]}" for field, value in self.start.items())]


def _to_json(value: Any) -> Any:
    if isinstance(value, Conditional | BaseDistribution):
        return choice_to_json(value)
    if isinstance(value, FirstRung):
        return first_rung_to_json(value)
    if isinstance(value, Mapping):
        return {name: _to_json(inner) for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_to_json(inner) for inner in value]
    return value


def _check_choice(what: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise InputError(
            f"{what} must be one of {', '.join(allowed)}, but it is '{value}'.{nearest(value, allowed)}"
        )


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


def _check_first_rung(first_rung: FirstRung) -> None:
    if isinstance(first_rung, FixedRung):
        _check_number("min_epochs", first_rung.epoch, 1, MOST_EPOCHS)
        return
    if not isinstance(first_rung, LearnedRung):
        shown = repr(str(first_rung)[:MOST_SHOWN])
        raise InputError(
            f"first_rung of a plan must be a FixedRung or a LearnedRung, but it is {shown}. "
            "Give one, such as FixedRung(10)."
        )
    _check_number("first_rung.n_trials", first_rung.n_trials, LEAST_TRIALS, MOST_TRIALS)
    for name in ("agreement", "epochs_left"):
        share = getattr(first_rung, name)
        if not (isinstance(share, float) and 0 < share < 1):
            raise InputError(
                f"first_rung.{name} of a plan must lie between 0 and 1, but it is {share}. Give a "
                "share, such as 0.7."
            )


def _check_points(plan: Search) -> None:
    for point in plan.initial_points:
        for name, value in point.items():
            if name not in plan.space:
                raise InputError(
                    f"An initial point sets fields of the space, but '{name}' is not among them."
                    f"{nearest(name, plan.space)}"
                )
            # Optuna would only warn, and try a value that its models do not know.
            if not is_within(value, distribution_of(plan.space[name])):
                raise InputError(
                    f"An initial point must lie in the space, but '{name}' is {value} and the space has "
                    f"{describe_choice(name, plan.space[name])}."
                )
