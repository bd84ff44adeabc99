"""The role of each column of a cell table: named by the user, or guessed and reported."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adapert.data.schema import BoolArray, StringArray
from adapert.errors import InputError, name_some, nearest


@dataclass(frozen=True)
class Role:
    """What a column may hold.

    Attributes:
        name: Name in messages.
        option: Option that names the column.
        guesses: Usual names of the column, the likeliest first; compared without case.
    """

    name: str
    option: str
    guesses: tuple[str, ...]


PERTURBATION = Role(
    "perturbation",
    "--perturbation-column",
    (
        "perturbation",
        "perturbations",
        "perturbation_name",
        "condition",
        "target_gene",
        "gene_target",
        "target",
        "gene",
        "guide_identity",
    ),
)
BATCH = Role(
    "sequencing batch",
    "--batch-column",
    (
        *("batch", "sequencing_batch", "batch_id", "gem_group", "gemgroup", "gem", "lane"),
        *("bio_rep", "replicate"),
    ),
)
CELL_LINE = Role("cell line", "--cell-line-column", ("cell_line", "cellline", "cell_type", "celltype"))
GENE_SYMBOL = Role(
    "gene symbol",
    "--gene-column",
    ("gene_symbol", "gene_symbols", "gene_name", "gene_names", "feature_name", "symbol"),
)
N_CELLS = Role(
    "number of cells", "--n-cells-column", ("n_cells", "cell_count", "num_cells", "ncells", "cells")
)


def find_column(table: pd.DataFrame, role: Role, explicit: str | None) -> str | None:
    """Find the column of a role: the user's `explicit` one, else one of a usual name, else ``None``.

    Raises:
        InputError: No column of the explicit name.
    """
    columns = [str(column) for column in table.columns]
    if explicit is None:
        by_lower = {column.casefold(): column for column in reversed(columns)}
        return next((by_lower[guess] for guess in role.guesses if guess in by_lower), None)
    if explicit not in columns:
        raise InputError(
            f"{role.option} must name a column, but there is no '{explicit}'."
            f"{nearest(explicit, columns)} The columns are {_list_all(columns)}."
        )
    return explicit


def require_column(table: pd.DataFrame, role: Role, explicit: str | None) -> str:
    """Find the column of a role that must be there.

    Raises:
        InputError: No column of the explicit name, or no usual name to guess.
    """
    column = find_column(table, role, explicit)
    if column is None:
        raise InputError(
            f"A column must name each cell's {role.name}, but none of the usual names is there. "
            f"Name it with {role.option}; the columns are {_list_all(table.columns)}."
        )
    return column


def filter_rows(obs: pd.DataFrame, where: Sequence[str]) -> BoolArray:
    """Tell which rows every ``column=value`` keeps; values of the same column add up.

    Raises:
        InputError: Not ``column=value``, an unknown column, or a value the column never takes.
    """
    keep = np.ones(len(obs), dtype=bool)
    wanted: dict[str, set[str]] = {}
    for condition in where:
        column, value = _read_condition(obs, condition)
        wanted.setdefault(column, set()).add(value)
    for column, values in wanted.items():
        keep &= texts(obs[column]).isin(values).to_numpy()
    if not keep.any():
        raise InputError(f"--where must keep some cells, but {' and '.join(where)} keeps none.")
    return keep


def texts(column: "pd.Series[str]") -> "pd.Series[str]":
    """Give a column's values as text; a missing value stays missing."""
    return column.astype(object).where(column.notna(), None).map(str, na_action="ignore")


def text_array(column: "pd.Series[str]") -> StringArray:
    """Give a column's values as an array of text; a missing value is ``"unknown"``."""
    return texts(column).fillna("unknown").to_numpy(dtype=str)


def _read_condition(obs: pd.DataFrame, condition: str) -> tuple[str, str]:
    column, equals, value = condition.partition("=")
    if not equals:
        raise InputError(f"--where must be column=value, but it is '{condition}'.")
    if column not in obs:
        raise InputError(
            f"--where must name a column, but there is no '{column}'."
            f"{nearest(column, map(str, obs.columns))} The columns are {_list_all(obs.columns)}."
        )
    values = sorted(set(texts(obs[column]).dropna()))
    if value not in values:
        raise InputError(
            f"--where must name a value of its column, but '{column}' never is '{value}'."
            f"{nearest(value, values)} Its values are {name_some(values)}."
        )
    return column, value


def _list_all(columns: Iterable[object]) -> str:
    # All of them, against the rule of five: the user has to find the right one among them.
    return ", ".join(f"'{column}'" for column in columns) or "none"
