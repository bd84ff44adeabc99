"""A table as numbers and as it is read: CSV, Markdown, LaTeX."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from adapert.csv_files import write_csv
from adapert.data.schema import BoolArray
from adapert.files import whole_file, write_whole
from analysis.latex import escape_latex

MISSING = "-"
"""Where the data have no such value."""

MOST_PERCENT = 100
"""Half width of an interval above which a percentage says nothing."""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table of numbers, and how it is read.

    Attributes:
        stem: File name without suffix.
        title: One line.
        caption: What the numbers are, what "±" is of, what is missing and why.
        frame: The numbers, tidy; these are the CSV.
        cells: The same as text, a column a head; a head may be a pair, the first of which names a group of
            columns, or none where it is empty.
        is_best: Cells to set in bold, as `cells`; none if None.
        n_names: Columns at the left that hold names, not numbers.
    """

    stem: str
    title: str
    caption: str
    frame: pd.DataFrame
    cells: pd.DataFrame
    is_best: BoolArray | None = None
    n_names: int = 1

    def to_flat(self) -> pd.DataFrame:
        """Lay the cells out under heads of one line."""
        return self.cells.set_axis([_join_head(head) for head in self.cells.columns], axis="columns")

    def to_markdown(self) -> str:
        """Lay the table out in Markdown, title above and caption below."""
        cells = _emphasise(self.cells.map(escape_markdown), self.is_best, "**{}**")
        heads = [escape_markdown(_join_head(head)) for head in cells.columns]
        rules = [":--" if column < self.n_names else "--:" for column in range(len(heads))]
        rows = [heads, rules, *cells.to_numpy().tolist()]
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([f"**{self.title}**", "", *lines, "", self.caption, ""])

    def to_latex(self) -> str:
        """Lay the table out in LaTeX with booktabs, caption and label included."""
        escaped = self.cells.map(escape_latex).rename(columns=escape_latex)
        n_numbers = len(escaped.columns) - self.n_names
        return _emphasise(escaped, self.is_best, r"\textbf{{{}}}").to_latex(
            index=False,
            escape=False,
            caption=escape_latex(f"{self.title}. {self.caption}"),
            label=f"tab:{self.stem}",
            column_format="l" * self.n_names + "r" * n_numbers,
            multicolumn_format="c",
        )


def write_table(table: PaperTable, directory: Path, stem: str | None = None) -> list[Path]:
    """Write a table as CSV, Markdown and LaTeX, each whole or not at all.

    Raises:
        InputError: A file cannot be written.
    """
    target = directory / (stem or table.stem)
    csv, markdown, latex = (target.with_name(f"{target.name}.{ending}") for ending in ("csv", "md", "tex"))
    with whole_file(csv) as beside:
        write_csv(table.frame, beside)
    write_whole(markdown, table.to_markdown())
    write_whole(latex, table.to_latex())
    return [csv, markdown, latex]


def escape_markdown(text: str) -> str:
    """Write text so that a cell of a Markdown table shows it as it is, on one line."""
    return re.sub(r"([\\|*`<\[])", r"\\\1", re.sub(r"\s+", " ", str(text)))


def decimal(value: float, spread: float = np.nan) -> str:
    """Write three decimals, with what "±" is of where there is one: ``0.619 ± 0.262``."""
    if np.isnan(value):
        return MISSING
    return f"{value:.3f}" if np.isnan(spread) else f"{value:.3f} ± {spread:.3f}"


def percentage(percent: float, low: float = np.nan, high: float = np.nan) -> str:
    """Write a gain in percent with its interval, if it has one; `MISSING` where that is too wide."""
    if np.isnan(percent) or (high - low) / 2 > MOST_PERCENT:
        return MISSING
    percent, low, high = (round(value, 1) + 0.0 for value in (percent, low, high))  # nothing is -0.0
    return f"{percent:+.1f} %" + ("" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]")


def whole(value: float) -> str:
    """Write a count: ``111,770``; `MISSING` where it is NaN."""
    return MISSING if np.isnan(value) else f"{value:,.0f}"


def _join_head(head: str | tuple[str, ...]) -> str:
    """Write a head on one line: Markdown has no groups of columns."""
    return head if isinstance(head, str) else ": ".join(filter(None, head))


def _emphasise(cells: pd.DataFrame, is_best: BoolArray | None, form: str) -> pd.DataFrame:
    return cells if is_best is None else cells.mask(is_best, cells.map(form.format))
