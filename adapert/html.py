"""What a notebook shows of a result: a title, sentences and small tables, in the page's own colours."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape

MOST_ROWS = 10
"""Rows of a table; how many more there are is said below it."""

_CELL = "padding: 0.1em 0.8em 0.1em 0; text-align: left; border: none"


def build_card(title: str, *parts: str) -> str:
    """Join parts, HTML, under a title.

    No colour is set, so that it is read on a light and on a dark page.
    """
    return f"<div><strong>{escape(title)}</strong>{''.join(parts)}</div>"


def build_sentences(sentences: Iterable[str]) -> str:
    """Put sentences one below the other; empty ones are left out."""
    return "".join(f"<div>{escape(sentence)}</div>" for sentence in sentences if sentence)


def build_values(values: Mapping[str, object]) -> str:
    """Put names and values into a table without heads; empty values are left out."""
    rows = [(name, value) for name, value in values.items() if value not in ("", None)]
    return _build_table("", rows)


def build_table(heads: Sequence[str], rows: Sequence[Sequence[object]], n_shown: int = MOST_ROWS) -> str:
    """Put rows into a table; of many the first, and how many more there are."""
    cells = "".join(f'<th style="{_CELL}">{escape(head)}</th>' for head in heads)
    n_more = len(rows) - n_shown
    more = f"<div>... and {n_more:,} more</div>" if n_more > 0 else ""
    return _build_table(f"<tr>{cells}</tr>", rows[:n_shown]) + more


def build_bar(fraction: float) -> str:
    """Draw how much of something is done, from 0 to 1."""
    return f'<progress style="width: 24em" value="{fraction:.3f}">{fraction:.0%}</progress>'


def build_details(summary: str, part: str) -> str:
    """Hide a part, HTML, until it is asked for."""
    return f"<details><summary>{escape(summary)}</summary>{part}</details>"


def _build_table(head: str, rows: Iterable[Sequence[object]]) -> str:
    body = "".join(f"<tr>{''.join(map(_build_cell, row))}</tr>" for row in rows)
    return f'<table style="border-collapse: collapse; font-size: 90%">{head}{body}</table>'


def _build_cell(value: object) -> str:
    return f'<td style="{_CELL}">{escape(_show(value))}</td>'


def _show(value: object) -> str:
    """Four digits of a number; nothing where it is not known."""
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else str(value)
