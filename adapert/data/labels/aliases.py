"""Gene symbols that changed: one name in the data, another in the network or the text."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from adapert.data.formats.tables import read_table
from adapert.errors import InputError

Aliases: TypeAlias = Mapping[str, tuple[str, ...]]
"""The other names of a symbol, in both directions."""


def read_aliases(path: Path | None) -> Aliases:
    """Read pairs of symbols that name the same gene, in either direction.

    A header line does no harm: it is one more pair, of names that no gene has. ``None`` has no aliases.

    Raises:
        FileNotFoundError: No such file.
        InputError: Not a table of two columns.
    """
    if path is None:
        return {}
    table = read_table(path, "The alias table", header="none")
    if table.shape[1] != 2:
        raise InputError(
            f"The alias table must have two columns, but '{path}' has {table.shape[1]}. "
            "Keep two symbols of the same gene in each line."
        )
    aliases: dict[str, tuple[str, ...]] = {}
    for pair in table.astype(str).itertuples(index=False):
        first, second = map(str.strip, pair)
        aliases[first] = (*aliases.get(first, ()), second)
        aliases[second] = (*aliases.get(second, ()), first)
    return aliases


def match_names(names: Iterable[str], targets: Collection[str], aliases: Aliases) -> dict[str, str]:
    """Find each name among the targets, as it is or under an alias; names without a target are left out."""
    known = frozenset(targets)
    matches = {}
    for name in names:
        match = next((other for other in (name, *aliases.get(name, ())) if other in known), None)
        if match is not None:
            matches[name] = match
    return matches
