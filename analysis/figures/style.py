"""How every figure looks: colours, names, captions; its sizes are those of `page.Style`."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, islice
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from adapert.data.schema import EFFECT_SIZES
from adapert.errors import InputError
from adapert.statistics.estimates import CONFIDENCE

Colour: TypeAlias = tuple[float, float, float]

REFERENCE_COLOUR = "0.6"

FEW = 10
"""Perturbations below which an interval is rough."""

_LEAST_ROOM = 0.25

NO_BREAK = "\u00a0"
"""Holds a sign and its word on one line of a caption."""


_COLOUR_BLIND = (
    "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc",
    "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9",
)  # fmt: skip
"""The palette that seaborn 0.13 calls "colorblind"; seaborn itself takes a second to import."""

_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _BROWN, _PINK, _GREY, _YELLOW, _SKY = map(to_rgb, _COLOUR_BLIND)

EFFECT_SIZE_COLOURS: dict[str, Colour] = dict(zip(EFFECT_SIZES, (_BLUE, _ORANGE, _GREEN), strict=True))
"""The same in every figure, whichever groups it has."""

MODEL_COLOURS: dict[str, Colour] = {
    "adapert": _BLUE,
    "txpert": _ORANGE,
    "app": _PURPLE,
    "gears": (0.0, 0.45, 0.45),
    "perturbed_vae": (0.55, 0.6, 0.1),
    "scvi": (0.75, 0.3, 0.45),
    "cpa": (0.25, 0.5, 0.2),
    "state": (0.6, 0.1, 0.3),
    "morph": (0.25, 0.35, 0.1),
    "kernel_ridge": _GREEN,
    "kernel_loo": _RED,
    "neighbour": _BROWN,
    "additive": _PINK,
    "ridge_both": _SKY,
    "ridge_text": _YELLOW,
    "ridge_network": (0.45, 0.35, 0.65),
    "mean": _GREY,
    "control": (0.3, 0.3, 0.3),
}
"""The same in every figure; `model_colours` has those of other packages' models."""

VARIANT_COLOURS: dict[str, Colour] = {
    "full": _BLUE,
    "no_context": (0.3, 0.6, 0.8),
    "no_non_deg": (0.45, 0.7, 0.87),
    "no_context_no_non_deg": (0.6, 0.79, 0.92),
    "context_only": (0.0, 0.32, 0.52),
    "context_only_no_context": (0.0, 0.2, 0.33),
}
"""Shades of AdaPert's own colour, which the full model has; any other variant has `OTHER_COLOUR`."""

OTHER_COLOUR: Colour = (0.35, 0.35, 0.35)
QUIET_COLOUR = "0.4"
"""Of words beside the data."""

DEG_COLOUR, GENE_COLOUR, UNMEASURED_COLOUR = _RED, "0.72", "0.85"
"""Of genes that are DEGs, of other genes, and of those without a value."""

INK = "0.2"

FIT_COLOUR = _BLUE
"""Of a line through points."""

STATUS_COLOURS = ("0.7", "#3b75af", "#f4a582", "#b2182b")
"""Gray, blue, coral and red, as the AdaPert paper has pathways that are enriched nowhere to on both sides."""


def palette(n_colours: int) -> list[Colour]:
    """List colours that stay apart for colour-blind readers; they repeat after ten."""
    return [to_rgb(colour) for colour in islice(cycle(_COLOUR_BLIND), n_colours)]


def model_colours(models: Iterable[str]) -> dict[str, Colour]:
    """Colour models: those of other packages in the order given, by what the project's leave."""
    names = list(dict.fromkeys(models))
    left = (
        colour
        for colour in palette(len(_COLOUR_BLIND))
        if colour not in {MODEL_COLOURS.get(name) for name in names}
    )
    others = (name for name in names if name not in MODEL_COLOURS)
    return {**MODEL_COLOURS, **dict(zip(others, cycle([*left, OTHER_COLOUR]), strict=False))}


def finish_axes(axes: Axes) -> None:
    """Take away what carries no data."""
    axes.spines[["top", "right"]].set_visible(False)


def drawable(summary: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of a summary that have a mean: groups and metrics without one are not drawn.

    Raises:
        InputError: There is none.
    """
    rows = summary.dropna(subset=["mean"])
    if rows.empty:
        raise InputError(
            "A figure needs a value to draw, but every metric of every trial is NaN. "
            "Look at the trials' losses with `adapert ui`."
        )
    return rows


def value_range(summary: pd.DataFrame) -> tuple[float, float]:
    """Span the means and intervals of a panel, with a margin; a missing interval is skipped.

    Few perturbations can have intervals many times as wide as all that there is to see: beyond the means'
    own span on either side, they are cut off at the panel's edge (`has_cut_interval`).
    """
    means = summary["mean"].to_numpy(dtype=np.float64)
    room = max(float(np.ptp(means)), _LEAST_ROOM * float(np.abs(means).max()))
    values = summary[["mean", "low", "high"]].to_numpy(dtype=np.float64)
    low = max(float(np.nanmin(values)), float(means.min()) - room)
    high = min(float(np.nanmax(values)), float(means.max()) + room)
    margin = 0.06 * (high - low) or max(0.02, 0.06 * abs(high))
    return low - margin, high + margin


def has_cut_interval(summary: pd.DataFrame) -> bool:
    """Whether an interval of some panel leaves it; panels are metrics."""
    ranges = {metric: value_range(rows) for metric, rows in summary.groupby("metric")}
    lowest = summary["metric"].map({metric: low for metric, (low, _) in ranges.items()})
    highest = summary["metric"].map({metric: high for metric, (_, high) in ranges.items()})
    return bool(((summary["low"] < lowest) | (summary["high"] > highest)).any())


def present(known: tuple[str, ...] | dict[str, Any], values: pd.Series) -> list[str]:
    """List the distinct values: those known in their order, then the others by name."""
    found = set(values.dropna().astype(str))
    return [name for name in known if name in found] + sorted(found - set(known))


def order_rows(frame: pd.DataFrame, orders: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """Sort rows by columns whose values come in the order given, the first column foremost."""
    places = {column: list(values) for column, values in orders.items()}
    return frame.sort_values(
        list(orders), key=lambda column: column.map(places[str(column.name)].index), kind="stable"
    ).reset_index(drop=True)


def select_metrics(frame: pd.DataFrame, metrics: tuple[str, ...]) -> pd.DataFrame:
    """Keep the rows of the metrics that a figure shows.

    Raises:
        InputError: The frame has none of them.
    """
    selected = frame[frame["metric"].isin(metrics)]
    if selected.empty:
        raise InputError(
            f"The figure shows {', '.join(metrics)}, but the long table has no row of any of them."
        )
    return selected


def count(numbers: pd.Series, unit: str = "") -> str:
    """Say a count, or the range of a ragged one: ``"3 seeds"``, ``"2–3 seeds"``, ``"1 seed"``."""
    low, high = int(numbers.min()), int(numbers.max())
    number = str(high) if low == high else f"{low}\u2013{high}"
    return f"{number} {unit}{'' if high == 1 else 's'}" if unit else number


def group_label(effect_size: str, summary: pd.DataFrame) -> str:
    """Label an effect-size group with its number of perturbations: ``"small (n=12)"``."""
    of_group = summary[summary["effect_size"] == effect_size]
    return f"{effect_size} (n={int(of_group['n_perturbations'].max())})"


def data_phrase(summary: pd.DataFrame) -> str:
    """Say what a figure shows: ``"study 'ablation_1', validation split, 3 seeds"``."""
    study, split = summary["study"].iloc[0], summary["split"].iloc[0]
    return f"study '{study}', {split} split, {count(summary['n_seeds'], 'seed')}"


def interval_caption(summary: pd.DataFrame) -> str:
    """Say what the intervals are of, and which of them deserve no trust."""
    counts = summary["n_perturbations"]
    single = "; none for a single perturbation" if counts.min() < 2 else ""
    few = f" With n below {FEW} they are rough." if ((counts > 1) & (counts < FEW)).any() else ""
    cut = " Some reach beyond the panel." if has_cut_interval(summary) else ""
    return (
        f"the {CONFIDENCE:.0%} interval of that mean under a two-level bootstrap "
        f"(families of perturbations, including between-seed variance){single}.{few}{cut}"
    )
