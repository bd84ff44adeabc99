"""What a search varies: dotted config fields, and what each is drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import create_trial

from adapert.config import Config, check_read
from adapert.errors import InputError, nearest


@dataclass(frozen=True)
class Conditional:
    """A field that is only varied where another field of the space, named before it, has one of some values.

    Attributes:
        field: The other, dotted.
        values: For which this one is varied; else it keeps the base config's value.
        distribution: Distribution of this field.
    """

    field: str
    values: tuple[Any, ...]
    distribution: BaseDistribution


MOST_POINTS = 100_000
"""Largest number of points of a grid: as many trials of a minute take two months."""

SearchSpace = Mapping[str, BaseDistribution | Conditional]


def grid_variants(space: SearchSpace) -> dict[str, dict[str, Any]]:
    """Name every point of a space of finite choices.

    Raises:
        InputError: A field with a continuous range, or more than `MOST_POINTS` points.
    """
    points: list[dict[str, Any]] = [{}]
    for name, choice in space.items():
        n_values = _count_choices(distribution_of(choice))
        if len(points) * n_values > MOST_POINTS:
            raise InputError(
                f"A grid has at most {MOST_POINTS:,} points, but with '{name}' there are more. Give it fewer "
                "choices or a larger step, or use --sampler random."
            )
        values = _choices(name, distribution_of(choice))
        points = [
            point | changed
            for point in points
            for changed in ([{name: value} for value in values] if is_varied(choice, point) else [{}])
        ]
    return {
        ",".join(f"{name.split('.')[-1]}={value}" for name, value in point.items()): point for point in points
    }


def distribution_of(choice: BaseDistribution | Conditional) -> BaseDistribution:
    """What a field is drawn from where it is varied."""
    return choice.distribution if isinstance(choice, Conditional) else choice


def is_varied(choice: BaseDistribution | Conditional, point: Mapping[str, Any]) -> bool:
    """Whether a field is varied at a point of the fields before it."""
    return not isinstance(choice, Conditional) or point.get(choice.field) in choice.values


def describe_choice(name: str, choice: BaseDistribution | Conditional) -> str:
    """Say what a field is drawn from, and when.

    Returns:
        Such as ``"0.5 to 16, log scale, where network_kernel is heat or laplacian"``; a condition's section
        is only named where it is another than the field's.
    """
    described = _describe_distribution(distribution_of(choice))
    if not isinstance(choice, Conditional):
        return described
    condition = choice.field.removeprefix(f"{name.partition('.')[0]}.")
    return f"{described}, where {condition} is {_list_values(choice.values)}"


def _describe_distribution(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return _list_values(distribution.choices)
    if not isinstance(distribution, IntDistribution | FloatDistribution):
        return str(distribution)
    low, high = _describe_value(distribution.low), _describe_value(distribution.high)
    has_step = distribution.step and not (
        isinstance(distribution, IntDistribution) and distribution.step == 1
    )
    step = f" in steps of {_describe_value(distribution.step)}" if has_step else ""
    return f"{low} to {high}{', log scale' if distribution.log else step}"


def _list_values(values: Sequence[Any]) -> str:
    *others, last = map(_describe_value, values)
    return f"{', '.join(others)} or {last}" if others else last


def _describe_value(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _count_choices(distribution: BaseDistribution) -> float:
    if isinstance(distribution, IntDistribution) or (
        isinstance(distribution, FloatDistribution) and distribution.step
    ):
        return (distribution.high - distribution.low) / distribution.step + 1  # type: ignore[operator]
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) else 1


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


def is_within(value: Any, distribution: BaseDistribution) -> bool:
    """Whether a distribution can draw a value."""
    try:
        create_trial(params={"it": value}, distributions={"it": distribution}, value=0.0)
    except ValueError:  # beyond its bounds, of another type, or none of the choices
        return False
    return True


def check_space(space: SearchSpace, base: Config) -> None:
    """Refuse a space that no trial could draw from.

    Raises:
        InputError: A field that does not exist, a value it does not take, or a condition on a later field.
    """
    flat = base.flat()
    for index, (name, choice) in enumerate(space.items()):
        if name not in flat:
            raise InputError(f"Config has no field '{name}'.{nearest(name, flat)}")
        before = list(space)[:index]
        if isinstance(choice, Conditional) and choice.field not in before:
            raise InputError(
                f"The condition of '{name}' must be on a field of the space that is named before it, but it "
                f"is on '{choice.field}'.{nearest(choice.field, before)}"
            )
        distribution = distribution_of(choice)
        if isinstance(distribution, CategoricalDistribution):
            ends = list(distribution.choices)
        else:
            ends = [distribution.low, distribution.high]  # type: ignore[attr-defined]
        for value in ends:
            base.with_changes({name: value})
    models = models_of(space, base)
    check_read(space, *(base.with_changes({"model.name": model}) for model in models))


def models_of(space: SearchSpace, base: Config) -> list[str]:
    """Name the models that a space may choose: the base config's, unless it varies ``model.name``."""
    named = space.get("model.name")
    return list(distribution_of(named).choices) if named else [base.model.name]  # type: ignore[attr-defined]


def choice_to_json(choice: BaseDistribution | Conditional) -> dict[str, Any]:
    """Put what a field is drawn from into JSON's types."""
    if isinstance(choice, Conditional):
        described = asdict(choice) | {"distribution": distribution_to_json(choice.distribution)}
        return described | {"values": list(choice.values)}
    return {"distribution": distribution_to_json(choice)}


def choice_from_json(described: Mapping[str, Any]) -> BaseDistribution | Conditional:
    """Build what `choice_to_json` described."""
    distribution = json_to_distribution(described["distribution"])
    if "field" not in described:
        return distribution
    return Conditional(described["field"], tuple(described["values"]), distribution)
