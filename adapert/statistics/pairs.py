"""Which values of two variants are pairs: the same perturbation, seed and split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from adapert.errors import InputError, nearest
from adapert.statistics.estimates import pivot_replicates
from adapert.statistics.two_level import FloatArray

ALL = "all"
"""Stands for every effect-size group together."""

WITHOUT_CHANCE = frozenset(
    {"control", "mean", "additive", "neighbour", "ridge_text", "ridge_network", "ridge_both"}
)
"""Models whose fit no seed changes."""

CEILINGS = frozenset({"split_half", "resampled"})
"""The experiment against itself, which no model is."""

ENSEMBLE_SUFFIX = "_ensemble"


@dataclass(frozen=True)
class Arms:
    """The rows of a variant and of its reference, of one group and metric.

    Attributes:
        group: Key to value.
        metric: Whose values.
        variant: Compared with the reference.
        rows: Of the variant.
        reference_rows: Of the reference; empty where the group has none.
    """

    group: dict[str, Any]
    metric: str
    variant: str
    rows: pd.DataFrame
    reference_rows: pd.DataFrame

    @property
    def identity(self) -> dict[str, Any]:
        """Columns that name the comparison."""
        return {**self.group, "variant": self.variant, "metric": self.metric}


def iterate_arms(frame: pd.DataFrame, reference: str, keys: Sequence[str]) -> Iterator[Arms]:
    """Yield every comparison with a reference: of each group, metric and other variant.

    Args:
        frame: The long table.
        reference: Variant to compare with.
        keys: Columns to group by. With ``effect_size`` among them, all sizes together are the group `ALL`.

    Raises:
        InputError: The frame has no row of the reference.
    """
    _check_reference(frame, reference)
    for names, group in pool_effect_sizes(frame, keys).groupby([*keys, "metric"], observed=True):
        *values, metric = names
        rows = {str(variant): own for variant, own in group.groupby("variant", observed=True)}
        reference_rows = rows.pop(reference, group.iloc[:0])
        for variant, own in rows.items():
            yield Arms(dict(zip(keys, values, strict=True)), str(metric), variant, own, reference_rows)


def pool_effect_sizes(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Add all rows once more as the group `ALL`, where the keys have ``effect_size``."""
    if "effect_size" not in keys:
        return frame
    return pd.concat([frame.assign(effect_size=ALL), frame.astype({"effect_size": object})])


def has_one_fit(variant: str) -> bool:
    """Whether a variant has one fit on a split, whatever the seed.

    Models without chance and ceilings have; an ensemble counts too, its own luck is then left out.
    """
    return variant in WITHOUT_CHANCE | CEILINGS or variant.endswith(ENSEMBLE_SUFFIX)


def align_pairs(rows: pd.DataFrame, reference_rows: pd.DataFrame) -> tuple[FloatArray, FloatArray]:
    """Lay the values of two variants out on the replicates and perturbations that both have.

    A replicate is a pair of split_seed and seed. A variant that has one fit (`has_one_fit`) is paired, on
    each split, with every seed of the other.

    Args:
        rows: Of one variant and metric.
        reference_rows: Of another variant and the same metric.

    Returns:
        Values of either, (n_seeds, n_perturbations); NaN in both where one of them has no value.
    """
    if rows["value"].isna().all() or reference_rows["value"].isna().all():
        return np.empty((0, 0)), np.empty((0, 0))
    own, other = _spread_fits(
        (pivot_replicates(rows), has_one_fit(_variant(rows))),
        (pivot_replicates(reference_rows), has_one_fit(_variant(reference_rows))),
    )
    own, other = own.align(other, join="inner")
    is_pair = own.notna() & other.notna()
    first, second = (table.where(is_pair).to_numpy(dtype=np.float64) for table in (own, other))
    return first, second


def _spread_fits(
    own: tuple[pd.DataFrame, bool], other: tuple[pd.DataFrame, bool]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Repeat the one fit of a variant for each seed of the other; two such variants are left by split."""
    (one, is_one_fit), (two, is_other_fit) = own, other
    if is_one_fit and is_other_fit:
        return _by_split(one), _by_split(two)
    if is_one_fit:
        return _repeat(_by_split(one), two.index), two
    if is_other_fit:
        return one, _repeat(_by_split(two), one.index)
    return one, two


def _by_split(table: pd.DataFrame) -> pd.DataFrame:
    return table.groupby(level="split_seed").mean()


def _repeat(by_split: pd.DataFrame, replicates: pd.Index) -> pd.DataFrame:
    return by_split.reindex(replicates.get_level_values("split_seed")).set_axis(replicates)


def _variant(rows: pd.DataFrame) -> str:
    return str(rows["variant"].iloc[0])


def _check_reference(frame: pd.DataFrame, reference: str) -> None:
    variants = sorted(set(frame["variant"].astype(str)))
    if reference not in variants:
        raise InputError(
            f"Variants are compared with '{reference}', but the long table has no row of it."
            f"{nearest(reference, variants)} Launch a study with that variant, or name another reference."
        )
