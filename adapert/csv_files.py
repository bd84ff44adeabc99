"""CSV files for people: a name that a spreadsheet would run as a formula stays text.

Names of perturbations and genes come from users' files. A spreadsheet runs a cell that begins with ``=``,
``+``, ``-`` or ``@`` (OWASP, CSV Injection), so that such text gets an apostrophe before it; numbers stay as
they are.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, overload

import pandas as pd

# Apostrophes first: text that was escaped by hand is told from what `write_csv` escaped.
_ESCAPABLE = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


@overload
def write_csv(frame: pd.DataFrame, path: Path, *, has_index: bool = False) -> None: ...
@overload
def write_csv(frame: pd.DataFrame, path: None = None, *, has_index: bool = False) -> str: ...
def write_csv(frame: pd.DataFrame, path: Path | None = None, *, has_index: bool = False) -> str | None:
    """Write a frame as CSV, or give the text; text cells and heads are escaped.

    Args:
        frame: Whatever people are to see.
        path: Replaced where it exists; None gives the text.
        has_index: Whether the index is written too.
    """
    return _change_texts(frame, _escape).to_csv(path, index=has_index)


def read_csv(path: Path) -> pd.DataFrame:
    """Read what `write_csv` wrote without an index: text is as it was."""
    return _change_texts(pd.read_csv(path), _unescape)


def _change_texts(frame: pd.DataFrame, change: Callable[[Any], Any]) -> pd.DataFrame:
    changed = frame.copy(deep=False)
    for place, dtype in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_datetime64_any_dtype(dtype):
            column = frame.iloc[:, place].astype(object)
            # A long table has a few hundred names in a million rows.
            changes = {value: change(value) for value in column.unique() if isinstance(value, str)}
            if any(value != new for value, new in changes.items()):
                changed.isetitem(
                    place, column.map(lambda value, known=changes: known.get(value, value)).to_numpy()
                )
    changed.columns = changed.columns.map(change)
    if not pd.api.types.is_numeric_dtype(changed.index):
        changed.index = changed.index.map(change)
    return changed


def _escape(value: Any) -> Any:
    if isinstance(value, str) and _ESCAPABLE.match(value):
        try:
            float(value)  # a negative number as text is no formula
        except ValueError:
            return f"'{value}"
    return value


def _unescape(value: Any) -> Any:
    return value[1:] if isinstance(value, str) and _ESCAPED.match(value) else value
