"""Ablation designs: which parts of the model are taken away together.

A component is a part that can be taken away: its name, and the changes of the config that take it away.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

Changes = Mapping[str, Any]

FULL = "full"
"""The variant without any change."""


def leave_one_out(components: Mapping[str, Changes]) -> dict[str, dict[str, Any]]:
    """The full model, and without each component: what is each worth in addition to all others?

    Returns:
        Variant to changes: ``full``, then ``no_NAME`` each.
    """
    return {FULL: {}} | {f"no_{name}": dict(changes) for name, changes in components.items()}


def add_one_in(components: Mapping[str, Changes]) -> dict[str, dict[str, Any]]:
    """The full model, without all components, and with each of them alone: what is each worth by itself?

    A field that two components set, the last sets.

    Returns:
        Variant to changes: ``full``, ``none``, then ``only_NAME`` each.
    """
    alone = {f"only_{kept}": _without(components, set(components) - {kept}) for kept in components}
    return {FULL: {}, "none": _without(components, components)} | alone


def all_combinations(components: Mapping[str, Changes]) -> dict[str, dict[str, Any]]:
    """Every set of components taken away, 2^n variants: what are they worth together?

    Returns:
        Variant to changes: ``full``, then ``no_A``, ..., ``no_A_no_B``, ..., fewest first.
    """
    removed = (names for n in range(len(components) + 1) for names in combinations(components, n))
    return {
        "_".join(f"no_{name}" for name in names) or FULL: _without(components, names) for names in removed
    }


def _without(components: Mapping[str, Changes], removed: Iterable[str]) -> dict[str, Any]:
    away = set(removed)
    return {
        field: value
        for name, changes in components.items()
        if name in away
        for field, value in changes.items()
    }
