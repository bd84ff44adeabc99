"""Which values of two variants are pairs: the same perturbation, seed and split."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from adapert.config import is_network, model_names
from adapert.data.schema import StringArray
from adapert.errors import InputError, nearest
from adapert.statistics.estimates import families_of, pivot_replicates
from adapert.statistics.two_level import FloatArray

ALL = "all"
"""Stands for every effect-size group together."""

CEILINGS = frozenset({"split_half", "resampled"})
"""The experiment against itself, which no model is."""

ENSEMBLE_SUFFIX = "_ensemble"

LABEL_MARK = ":"
"""Stands in a variant between its model and what tells configs of that model apart: ``"adapert:tuned"``."""


FILE_MODEL = "file"
"""The model of predictions that were read from a file, which are one fit: ``"file:NAME"``."""


@cache
def without_chance() -> frozenset[str]:
    """Name the models whose fit no seed changes, but by noise in the graph or shuffled text."""
    return frozenset(name for name in model_names() if not is_network(name))


@dataclass(frozen=True)
class Arms:
    """The rows of a variant and of its reference, of one group and metric.

    Attributes:
        group: Key to value.
        metric: Name of the metric.
        variant: Name of the variant that is compared.
        rows: Rows of the variant.
        reference_rows: Rows of the reference; empty where the group has none.
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


def check_reference(frame: pd.DataFrame, reference: str) -> None:
    """Refuse a long table without a row of the reference.

    Raises:
        InputError: It has none.
    """
    variants = sorted(set(frame["variant"].astype(str)))
    if reference not in variants:
        raise InputError(
            f"Variants are compared with '{reference}', but the long table has no row of it."
            f"{nearest(reference, variants)} Launch a study with that variant, or name another reference."
        )


def iterate_arms(frame: pd.DataFrame, reference: str, keys: Sequence[str]) -> Iterator[Arms]:
    """Yield every comparison with a reference: of each group, metric and other variant.

    Args:
        frame: The long table.
        reference: Variant to compare with.
        keys: Columns to group by. With ``effect_size`` among them, all sizes together are the group `ALL`.
    """
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


def model_of(variant: str) -> str:
    """Name the model of a variant that may be one of several configs of it."""
    return variant.partition(LABEL_MARK)[0]


def has_one_fit(rows: pd.DataFrame) -> bool:
    """Whether a variant has one fit on a split, whatever the seed.

    Models without chance, predictions of files and ceilings have; an ensemble counts too, whose own
    between-seed variance is then left out. A model without chance of its own has several where its graph
    has noise or its text is shuffled, which its seeds' values tell.

    Args:
        rows: Rows of the variant and one metric.
    """
    variant = str(rows["variant"].iloc[0])
    if model_of(variant) in CEILINGS | {FILE_MODEL} or variant.endswith(ENSEMBLE_SUFFIX):
        return True
    return model_of(variant) in without_chance() and not _differs_by_seed(rows)


def _differs_by_seed(rows: pd.DataFrame) -> bool:
    if rows["seed"].nunique() < 2:
        return False
    values = rows.groupby(["split_seed", "perturbation"], observed=True)["value"]
    return not np.allclose(values.min(), values.max(), equal_nan=True)


def align_pairs(
    rows: pd.DataFrame, reference_rows: pd.DataFrame
) -> tuple[FloatArray, FloatArray, StringArray]:
    """Lay the values of two variants out on the replicates and perturbations that both have.

    A replicate is a pair of split_seed and seed. A variant that has one fit (`has_one_fit`) is paired, on
    each split, with every seed of the other.

    Args:
        rows: Rows of one variant and metric.
        reference_rows: Rows of another variant and the same metric.

    Returns:
        Values of either, (n_seeds, n_perturbations), NaN in both where one of them has no value; and the
        perturbations' families, (n_perturbations,).
    """
    if rows["value"].isna().all() or reference_rows["value"].isna().all():
        return np.empty((0, 0)), np.empty((0, 0)), np.empty(0, dtype=str)
    own, other = pivot_replicates(rows), pivot_replicates(reference_rows)
    is_one, is_other = has_one_fit(rows), has_one_fit(reference_rows)
    seeds = None if is_one and is_other else other.index if is_one else own.index
    if is_one:
        own = _repeat(own, seeds)
    if is_other:
        other = _repeat(other, seeds)
    if not (own.index.equals(other.index) and own.columns.equals(other.columns)):
        own, other = own.align(other, join="inner")
    first, second = (table.to_numpy(dtype=np.float64) for table in (own, other))
    is_pair = ~(np.isnan(first) | np.isnan(second))
    first, second = (np.where(is_pair, values, np.nan) for values in (first, second))
    return first, second, families_of(rows, own.columns)


def _repeat(table: pd.DataFrame, replicates: pd.Index | None) -> pd.DataFrame:
    """Lay the one fit of a variant out by split, or once for each of the other variant's replicates."""
    by_split = table.groupby(level="split_seed").mean()
    if replicates is None:
        return by_split
    return by_split.reindex(replicates.get_level_values("split_seed")).set_axis(replicates)
