"""Importance of config fields: shares of the variance of the objective, alone and in pairs."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adapert.errors import format_count
from analysis.figures.fields import field_label
from analysis.figures.style import (
    NO_BREAK,
    REFERENCE_COLOUR,
    SMALL_FONT_SIZE,
    Colour,
    build_figure,
    finish_axes,
    palette,
    paper_style,
)
from analysis.importance import MAIN, PAIR, REST, REST_LABEL

N_PAIRS = 6
"""Pairs that are drawn, the strongest."""

_KINDS = {MAIN: "one field", PAIR: "two fields together, beyond their sum", REST: REST_LABEL}


def plot_importance(summary: pd.DataFrame) -> Figure:
    """Draw fields, the strongest pairs and the rest as bars with intervals, from top to bottom.

    Args:
        summary: From `analysis.importance.summarize_importance`.

    Returns:
        A figure 7 in wide.
    """
    rows = _drawn_rows(summary)
    with paper_style():
        figure, panels = build_figure(
            (1, 1),
            panel_height=0.3 + 0.2 * len(rows),
            title=_title(summary),
            caption=_caption(summary),
        )
        _draw(panels[0, 0], rows)
    return figure


def _drawn_rows(summary: pd.DataFrame) -> pd.DataFrame:
    pairs = summary[summary["kind"] == PAIR].nlargest(N_PAIRS, "importance")
    own, rest = summary[summary["kind"] == MAIN], summary[summary["kind"] == REST]
    return pd.concat([own, pairs, rest], ignore_index=True)


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    colours = _colours()
    # A gap between kinds.
    places = rows.index + 0.6 * rows["kind"].map({MAIN: 0, PAIR: 1, REST: 2})
    for kind, of_kind in rows.groupby("kind", sort=False):
        place = places[of_kind.index]
        axes.barh(place, of_kind["importance"], 0.66, color=colours[str(kind)], label=_KINDS[str(kind)])
        axes.hlines(place, of_kind["low"], of_kind["high"], color="0.15", linewidth=1.1)
    right = float(rows["high"].max())
    for place, values in zip(places, rows[["importance", "low", "high"]].to_numpy(), strict=True):
        text = _estimate_text(*map(float, values))
        axes.text(1.04 * right, place, text, va="center", ha="left", size=SMALL_FONT_SIZE)
    axes.set_yticks(places, [_row_label(*row) for row in rows[["field", "other", "kind"]].to_numpy()])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * right)
    axes.set_xlabel("share of the variance between configs")
    axes.grid(axis="x")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=SMALL_FONT_SIZE)
    finish_axes(axes)


def _colours() -> dict[str, Colour | str]:
    first, second = palette(2)
    return {MAIN: first, PAIR: second, REST: REFERENCE_COLOUR}


def _row_label(field: str, other: str, kind: str) -> str:
    if kind == REST:
        return field
    return rf"{field_label(field)} $\times$ {field_label(other)}" if other else field_label(field)


def _estimate_text(estimate: float, low: float, high: float) -> str:
    return f"{100 * estimate:.0f}{NO_BREAK}% ({100 * low:.0f} to {100 * high:.0f})"


def _title(summary: pd.DataFrame) -> str:
    first = summary.iloc[0]
    shown = f"study '{first['study']}', {format_count(first['n_configs'], 'config')}"
    return f"What the validation Pearson-delta depends on: {shown}"


def _caption(summary: pd.DataFrame) -> str:
    n_pairs, n_left_out = int((summary["kind"] == PAIR).sum()), int(summary["n_left_out"].iloc[0])
    shown = f" Of {n_pairs} pairs the {N_PAIRS} strongest are drawn." if n_pairs > N_PAIRS else ""
    left_out = f" Left out: {format_count(n_left_out, 'trial')} without a value." if n_left_out else ""
    return (
        "Bars: posterior mean of the share of the variance over configs that cover the space evenly, noise "
        "of training included; all sum to 1. Lines: 95% intervals of the posterior, which reach 0 where "
        f"the data do not exclude that there is no effect.{shown}{left_out} Rest: noise, and what three or "
        "more fields do together."
    )
