"""What the commands print: text as it is, so that brackets in a name are never taken for markup."""

import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from adapert.errors import format_count

if TYPE_CHECKING:
    from pandas import DataFrame, Series

    from adapert.selection.rank import Pick
    from analysis.findings.finding import Findings

console = Console(highlight=False, markup=False, emoji=False)

LIBRARY = logging.getLogger("adapert")
"""Logger of the library, `analysis` included."""


def print_error(sentence: str) -> None:
    """Print the error that a command ends with."""
    print(f"Error: {sentence}", file=sys.stderr)  # noqa: T201


class LogHandler(logging.Handler):
    """Print what the library logs as the commands print: progress dim, and warnings so that they are seen."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        style = "yellow" if record.levelno >= logging.WARNING else "dim"
        console.print(self.format(record), style=style, soft_wrap=True)


def progress() -> Console:
    """Where commands show how far they are: nowhere with --quiet."""
    return console if LIBRARY.isEnabledFor(logging.INFO) else Console(quiet=True)


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], sides: str = "") -> None:
    """Print a table without lines.

    Args:
        heads: Heads of the columns.
        rows: Cells.
        sides: An l or r for each column, where not all are set left.
    """
    table = Table(box=None, pad_edge=False)
    for head, side in zip(heads, sides or "l" * len(heads), strict=True):
        table.add_column(head, justify="right" if side == "r" else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_value(value: object) -> str:
    """Write a value of a config as YAML does; a dash where there is none."""
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value) or "''"


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print what things are called, and their values; nothing with --quiet."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for row in rows:
        table.add_row(*row)
    progress().print(table)


def print_candidates(picked: "Pick", n_shown: int = 4) -> None:
    """Print the best configs side by side, how those that were retrained did, and which is picked."""
    from adapert.selection.rank import describe_objective

    words = describe_objective(picked.metric)
    columns = build_candidate_rows(picked, n_shown)
    console.print("Best configs on validation:")
    table = Table(box=None, pad_edge=False)
    table.add_column("rank", overflow="fold")  # wrap what does not fit, rather than cut it
    for rank in range(1, len(next(iter(columns.values()))) + 1):
        table.add_column(str(rank), justify="right", overflow="fold")
    for name, values in columns.items():
        table.add_row(name, *values)
    console.print(table)
    if picked.reevaluated is not None:
        console.print("± is the standard deviation over trials; the interval is of the search's own mean.")
    if picked.n_left_out:
        console.print(f"Left out: {format_count(picked.n_left_out, 'trial')} without a final {words}.")
    for line in picked.notes:
        console.print(line, style="dim", soft_wrap=True)
    console.print(picked.reason, soft_wrap=True)


def build_candidate_rows(picked: "Pick", n_shown: int = 4) -> dict[str, list[str]]:
    """Lay out the best configs as text.

    Args:
        picked: With any number of candidates.
        n_shown: How many of them, at most; all that were retrained are.

    Returns:
        What a row is called, and its value of each config.
    """
    n_again = 0 if picked.reevaluated is None else int(picked.reevaluated["rank"].max())
    shown = picked.candidates.head(max(n_shown, n_again))
    rows = {picked.metric: _shorten(shown[picked.metric])}
    if "low" in shown and shown["low"].notna().any():
        # NaN alone differs from itself.
        bounds = zip(shown["low"], shown["high"], strict=True)
        rows["95 % interval"] = ["" if low != low else f"{low:.3f}-{high:.3f}" for low, high in bounds]
    others = [name for name in ("pearson_delta", "pds") if name != picked.metric]
    rows |= {name: _shorten(shown[name]) for name in others}
    for name in ("is_on_front", "n_seeds"):
        if name in shown and (name != "n_seeds" or shown[name].max() > 1):
            rows[name] = _shorten(shown[name])
    if picked.reevaluated is not None:
        again = picked.reevaluated.set_index("rank").reindex(range(1, len(shown) + 1))
        rows["on fresh seeds"] = _spread(again, "fresh")
        rows["on redrawn splits"] = _spread(again, "redrawn")
        rows["drop, fresh seeds"] = ["" if drop != drop else f"{drop:.3f}" for drop in again["drop"]]
        rows["mean of splits"] = _shorten(again[picked.metric])
        rows |= {f"{name} of splits": _shorten(again[name]) for name in others}
        rows["picked"] = ["*" if rank == picked.rank else "" for rank in again.index]
    return rows | {str(name): _shorten(shown[name]) for name in shown if "." in str(name)}


def _spread(frame: "DataFrame", name: str) -> list[str]:
    """Means with their standard deviations, where there are several values."""
    return [
        _short(mean) if deviation != deviation else f"{mean:.3f}±{deviation:.3f}"
        for mean, deviation in zip(frame[name], frame[f"{name}_sd"], strict=True)
    ]


def _shorten(values: "Series") -> list[str]:
    return [_short(value) for value in values]


def _short(value: Any) -> str:
    """Four digits; nothing where there is no value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value)


def print_findings(findings: "Findings") -> None:
    """Print what studies answer, a paragraph a sentence, and what weakens it."""
    console.print("\nFindings", style="bold")
    for finding in findings.findings:
        console.print(finding.sentence, soft_wrap=True)
    for warning in findings.warnings:
        console.print(f"Warning: {warning}", style="yellow", soft_wrap=True)


def print_figures(paths: Sequence[Path]) -> None:
    """Print the files of figures and tables: the first of each, with the formats of the others."""
    forms: dict[Path, list[str]] = {}
    for path in paths:
        forms.setdefault(path.with_suffix(""), []).append(path.suffix[1:])
    for stem, (first, *others) in forms.items():
        also = f" ({', '.join(others)})" if others else ""
        console.print(f"Wrote {stem}.{first}{also}", soft_wrap=True)
