"""What a page is made of: sections of paragraphs, facts, tables, drawings and code, free of any markup."""

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from adapert.data.schema import BoolArray

MISSING = "-"
"""Shown where there is no value; sorted last."""


@dataclass(frozen=True)
class Column:
    """How a column of a frame is shown.

    Attributes:
        label: Head of the column.
        unit: Shown beside the head; empty for names, counts and metrics without one.
        n_decimals: Decimals of its floats; None shows four significant digits.
    """

    label: str
    unit: str = ""
    n_decimals: int | None = None


@dataclass(frozen=True)
class Cell:
    """One value of a table.

    Attributes:
        text: Shown.
        order: Sorted by; empty where there is no value.
        is_number: Whether `order` is one.
        is_best: Whether it is set in bold.
    """

    text: str
    order: str
    is_number: bool
    is_best: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table that the reader can sort.

    Attributes:
        caption: What its rows are.
        columns: Heads.
        rows: Cells, in the order of `columns`.
        note: What an interval is of, what is left out; may be empty.
        is_wrapped: Whether it takes the page's width, its cells wrapped, and is never scrolled up and down.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    is_wrapped: bool = False
    kind = "table"


@dataclass(frozen=True)
class Heading:
    """Begins the part of a section that is about one study."""

    text: str
    kind = "heading"


@dataclass(frozen=True)
class Paragraph:
    """A sentence or more."""

    text: str
    kind = "paragraph"


@dataclass(frozen=True)
class Facts:
    """What things are called, and their values."""

    rows: tuple[tuple[str, str], ...]
    kind = "facts"


@dataclass(frozen=True)
class Code:
    """Lines to be copied as they are."""

    label: str
    text: str
    kind = "code"


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        caption: What it shows, and of what.
        svg: Markup of one ``<svg>`` element; its ids are its own on the page.
        table: The numbers that it draws; None where they are too many to print.
        note: Where else the numbers are; may be empty.
    """

    caption: str
    svg: str
    table: PageTable | None = None
    note: str = ""


@dataclass(frozen=True)
class Drawings:
    """Figures, one below the other."""

    drawings: tuple[Drawing, ...]
    kind = "drawings"


Part: TypeAlias = PageTable | Heading | Paragraph | Facts | Code | Drawings


@dataclass(frozen=True)
class Section:
    """A part of the page that the table of contents names."""

    anchor: str
    title: str
    parts: tuple[Part, ...]


def build_page_table(
    frame: pd.DataFrame,
    caption: str,
    columns: Mapping[str, Column] | None = None,
    note: str = "",
    is_best: BoolArray | None = None,
) -> PageTable:
    """Lay a frame out as a table of the page.

    Args:
        frame: A row each; its index is not shown.
        caption: Title of the table.
        columns: How columns of the frame are shown; any other has its own name as a head.
        note: What an interval is of, what is left out.
        is_best: Cells to set in bold, as `frame`; none if None.
    """
    names = [str(name) for name in frame.columns]
    # Dotted fields of a config stay as they are typed.
    heads = [
        (columns or {}).get(name, Column(name if "." in name else name.replace("_", " "))) for name in names
    ]
    rows = [
        tuple(build_cell(value, head) for value, head in zip(row, heads, strict=True))
        for row in frame.itertuples(index=False, name=None)
    ]
    if is_best is not None:
        rows = [
            tuple(replace(cell, is_best=bool(best)) for cell, best in zip(row, marked, strict=True))
            for row, marked in zip(rows, is_best, strict=True)
        ]
    return PageTable(caption, tuple(heads), tuple(rows), note)


def build_cell(value: Any, column: Column) -> Cell:
    """Write one value: missing ones as a dash, numbers with the column's decimals."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return Cell(MISSING, "", is_number=False)
    if isinstance(value, bool | np.bool_):
        return Cell("yes" if value else "no", "yes" if value else "no", is_number=False)
    if isinstance(value, numbers.Integral):
        return Cell(f"{value:,}" if abs(int(value)) > 9999 else str(value), str(int(value)), is_number=True)
    if isinstance(value, numbers.Real):
        form = ".4g" if column.n_decimals is None else f".{column.n_decimals}f"
        return Cell(format(float(value), form), repr(float(value)), is_number=True)
    return Cell(str(value) or MISSING, str(value), is_number=False)
