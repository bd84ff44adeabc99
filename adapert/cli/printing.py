"""What the commands print."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from adapert.selection import Pick

console = Console(highlight=False)


def print_error(sentence: str) -> None:
    """Print the one sentence with which a command ends."""
    print(f"Error: {sentence}", file=sys.stderr)  # noqa: T201


def note(line: str) -> None:
    """Print what long work tells on its way."""
    console.print(line, style="dim", soft_wrap=True, markup=False)


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print what things are called, and their values."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_candidates(picked: "Pick", n_shown: int = 5) -> None:
    """Print the best configs side by side, the picked one first."""
    shown = picked.candidates.head(n_shown)
    fields = [str(column) for column in shown.columns if "." in str(column)]
    console.print("Best configs on validation:")
    table = Table(box=None, pad_edge=False)
    table.add_column("rank")
    for rank in range(1, len(shown) + 1):
        table.add_column(str(rank), justify="right")
    counts = ["n_seeds"] if shown["n_seeds"].max() > 1 else []
    for column in ("pearson_delta", "pds", *counts, *fields):
        table.add_row(column, *(_short(value) for value in shown[column]))
    console.print(table)
    if picked.n_left_out:
        console.print(f"{picked.n_left_out} trials without a final Pearson-delta are left out.")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_figures(drawn: Mapping[str, list[Path]]) -> None:
    """Print where the figures of studies lie."""
    for paths in drawn.values():
        for path in paths:
            console.print(f"Wrote {path}", soft_wrap=True)
