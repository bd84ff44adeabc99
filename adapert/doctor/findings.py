"""What a check finds: a state and a sentence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

GB = 1_000_000_000


class State(StrEnum):
    """What a finding means for a study: nothing, that it may suffer, that it would stop."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        state: What it means for a study.
        sentence: What was found; with its cure where something is wrong.
    """

    state: State
    sentence: str


def ok(sentence: str) -> Finding:
    """Find nothing wrong."""
    return Finding(State.OK, sentence)


def warning(sentence: str) -> Finding:
    """Find what a study may suffer from."""
    return Finding(State.WARNING, sentence)


def problem(sentence: str) -> Finding:
    """Find what would stop a study."""
    return Finding(State.PROBLEM, sentence)


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether anything found would stop a study."""
    return any(finding.state == State.PROBLEM for finding in findings)


def build_table(findings: Mapping[str, Finding]) -> "Table":
    """Lay findings out for the terminal: subject, state, sentence."""
    from rich.table import Table
    from rich.text import Text

    styles = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for subject, finding in findings.items():
        # As Text: rich would take the brackets of 'ray[tune]' for markup.
        table.add_row(subject, Text(finding.state, styles[finding.state]), Text(finding.sentence))
    return table


def describe_size(n_bytes: int) -> str:
    """``"1.5 GB"``, or megabytes where that is less than a tenth."""
    return f"{n_bytes / GB:.1f} GB" if n_bytes >= GB / 10 else f"{n_bytes / 1e6:.1f} MB"
