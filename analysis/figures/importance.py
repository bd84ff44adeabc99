"""Importance of config fields: shares of the variance of the objective, alone and in pairs."""

import pandas as pd
from matplotlib.axes import Axes

from adapert.errors import format_count
from analysis.fields import field_label
from analysis.figures import style
from analysis.figures.page import SCREEN, SMALL_FONT_SIZE, Style, StyledFigure, build_figure
from analysis.importance import MAIN, PAIR, REST, REST_LABEL

N_PAIRS = 6
"""Pairs that are drawn, the strongest."""

_KINDS = {MAIN: "one field", PAIR: "two fields together, beyond their sum", REST: REST_LABEL}


def plot_importance(summary: pd.DataFrame, figure_style: Style = SCREEN) -> StyledFigure:
    """Draw fields, the strongest pairs and the rest as bars with intervals, from top to bottom."""
    pairs = summary[summary["kind"] == PAIR].nlargest(N_PAIRS, "importance")
    own, rest = summary[summary["kind"] == MAIN], summary[summary["kind"] == REST]
    rows = pd.concat([own, pairs, rest], ignore_index=True)
    labels = rows["field"].map(lambda field: field if field == REST_LABEL else field_label(field))
    rows["label"] = labels + rows["other"].map(lambda o: rf" $\times$ {field_label(o)}" if o else "")
    n_left_out = int(summary["n_left_out"].iloc[0])
    n_pairs = int((summary["kind"] == PAIR).sum())
    shown = f" Of {n_pairs} pairs the {N_PAIRS} strongest are drawn." if n_pairs > N_PAIRS else ""
    left_out = f" Left out: {format_count(n_left_out, 'trial')} without a value." if n_left_out else ""
    with figure_style.applied():
        figure, panels = build_figure(
            figure_style,
            (1, 1),
            panel_height=0.3 + 0.2 * len(rows),
            title=(
                f"What the validation Pearson-delta depends on: study '{summary['study'].iloc[0]}', "
                f"{format_count(summary['n_configs'].iloc[0], 'config')}"
            ),
            caption=(
                "Bars: posterior mean of the share of the variance over configs that cover the space evenly, "
                "noise of training included; all sum to 1. Lines: 95% intervals of the posterior, which "
                f"reach 0 where the data do not exclude that there is no effect.{shown}{left_out} Rest: "
                "noise, and what three or more fields do together."
            ),
        )
        _draw(panels[0, 0], rows)
    return figure


def _draw(axes: Axes, rows: pd.DataFrame) -> None:
    first, second = style.palette(2)
    colours = {MAIN: first, PAIR: second, REST: style.REFERENCE_COLOUR}
    # A gap between kinds.
    places = rows.index + 0.6 * rows["kind"].map({MAIN: 0, PAIR: 1, REST: 2})
    for kind, of_kind in rows.groupby("kind", sort=False):
        place = places[of_kind.index]
        axes.barh(place, of_kind["importance"], 0.66, color=colours[str(kind)], label=_KINDS[str(kind)])
        axes.hlines(place, of_kind["low"], of_kind["high"], color="0.15", linewidth=1.1)
    right = float(rows["high"].max())
    for place, values in zip(places, rows[["importance", "low", "high"]].to_numpy(float), strict=True):
        estimate, *ends = (f"{100 * value:.0f}" for value in values)
        text = f"{estimate}{style.NO_BREAK}% ({' to '.join(ends)})"
        axes.text(1.04 * right, place, text, va="center", ha="left", size=SMALL_FONT_SIZE)
    axes.set_yticks(places, rows["label"])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.3 * right)
    axes.set_xlabel("share of the variance between configs")
    axes.grid(axis="x")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=SMALL_FONT_SIZE)
    style.finish_axes(axes)
