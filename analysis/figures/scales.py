"""Scales that config fields are drawn on, and how far the objective follows a field."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.ticker import Locator, LogLocator, MaxNLocator

from adapert.statistics.two_level import FloatArray

_MAX_CHOICES = 6
_MAX_TICKS = 4
_LEAST_RATIO = 10
_N_GROUPS = 4
_LEAST_TRIALS = 8
_PLAIN = 1e-2


@dataclass(frozen=True)
class Scale:
    """Where the values of a field lie on an axis from 0 to 1.

    Attributes:
        kind: Values evenly spaced in their order, a linear or a logarithmic axis.
        choices: The values of the first kind.
        low: Smallest value of the others.
        high: Largest.
    """

    kind: Literal["choices", "linear", "log"]
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 1.0

    def positions(self, values: Iterable[Any]) -> FloatArray:
        """Place values, (n_values,)."""
        if self.kind == "choices":
            last = max(1, len(self.choices) - 1)
            return np.array([self.choices.index(value) / last for value in values], dtype=np.float64)
        numbers = np.array(list(values), dtype=np.float64)
        return self._unit(numbers)

    def ticks(self) -> list[tuple[float, str]]:
        """List positions and labels of ticks: round numbers, or the choices."""
        if self.kind == "choices":
            shown = [_text(value) for value in self.choices]
            return list(zip(self.positions(self.choices).tolist(), shown, strict=True))
        locators: list[Locator] = [MaxNLocator(_MAX_TICKS - 1, steps=[1, 2, 5, 10])]
        if self.kind == "log":  # decades, or 1, 2 and 5 of them where there are too few
            locators = [LogLocator(numticks=99), LogLocator(subs=(1.0, 2.0, 5.0), numticks=99), *locators]
        for locator in locators:
            values = np.asarray(locator.tick_values(self.low, self.high), dtype=np.float64)
            # An end of the range that is itself round may miss its tick by rounding.
            inside = values[(values >= self.low * (1 - 1e-9)) & (values <= self.high * (1 + 1e-9))]
            if len(inside) > 1:
                break
        values = inside[:: max(1, -(-len(inside) // _MAX_TICKS))]
        shown = [_text(float(value), in_powers=self.kind == "log" and self.low < _PLAIN) for value in values]
        return list(zip(self._unit(values).tolist(), shown, strict=True))

    def _unit(self, numbers: FloatArray) -> FloatArray:
        if self.kind == "log":
            unit = np.log(numbers / self.low) / np.log(self.high / self.low)
        else:
            unit = (numbers - self.low) / (self.high - self.low)
        return np.asarray(unit, dtype=np.float64)


def build_scale(values: pd.Series) -> Scale:
    """Choose how a field is drawn.

    Words, switches and few whole numbers are choices. Other numbers lie on whichever of a linear and a
    logarithmic axis their distribution is nearer to uniform (Kolmogorov-Smirnov distance): the scale they
    were drawn on, where they were drawn evenly, and in any case the one that shows them best.

    Args:
        values: One field's values over the trials, at least two of them different.
    """
    distinct = sorted(values.dropna().unique().tolist())
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return Scale("choices", tuple(distinct))
    if len(distinct) <= _MAX_CHOICES and pd.api.types.is_integer_dtype(values):
        return Scale("choices", tuple(distinct))
    low, high = float(distinct[0]), float(distinct[-1])
    ascending = np.sort(values.dropna().to_numpy(dtype=np.float64))
    is_log = low > 0 and high / low >= _LEAST_RATIO
    if is_log:
        linear, log = (Scale(kind, low=low, high=high).positions(ascending) for kind in ("linear", "log"))
        is_log = _distance_from_uniform(log) < _distance_from_uniform(linear)
    return Scale("log" if is_log else "linear", low=low, high=high)


def association(values: pd.Series, objective: pd.Series) -> float:
    """Measure how far the objective differs between the values of a field, from 0 to 1.

    The share of the variance of ranks that lies between choices, or between quarters of a range, adjusted
    for their number (the epsilon-squared of a Kruskal-Wallis test). It orders the panels of a figure;
    trials that a sampler chose and a scheduler stopped do not make it an importance.

    Returns:
        0 for fewer than 8 trials or a field without two groups.
    """
    is_known = values.notna() & objective.notna()
    values, objective = values[is_known], objective[is_known]
    if len(values) < _LEAST_TRIALS or objective.nunique() < 2:
        return 0.0
    is_range = pd.api.types.is_numeric_dtype(values) and values.nunique() > _N_GROUPS
    groups = pd.qcut(values, _N_GROUPS, labels=False, duplicates="drop") if is_range else values
    ranks = objective.rank()
    n_groups = groups.nunique()
    if n_groups < 2:
        return 0.0
    # scipy's kruskal, whose import takes half a second: the share of the ranks' variance between the groups.
    between = ((ranks.groupby(groups).transform("mean") - ranks.mean()) ** 2).sum()
    statistic = (len(ranks) - 1) * float(between / ((ranks - ranks.mean()) ** 2).sum())
    return max(0.0, (statistic - n_groups + 1) / max(1, len(ranks) - n_groups))


def _distance_from_uniform(ascending: FloatArray) -> float:
    """Kolmogorov-Smirnov distance of numbers from 0 to 1, as scipy's `kstest`, which is slow to import."""
    steps = np.arange(len(ascending) + 1) / len(ascending)
    return float(max((steps[1:] - ascending).max(), (ascending - steps[:-1]).max()))


def _text(value: Any, in_powers: bool = False) -> str:
    """Write a value: ``0.05``, ``10⁻³``, ``2×10⁻⁵`` or a word."""
    if not isinstance(value, float):
        return str(value)
    is_plain = value == 0 or (_PLAIN <= abs(value) < 1e4 and not in_powers)
    return f"{value:g}" if is_plain else power_text(value)


def power_text(value: float) -> str:
    """Write a number as a power of ten: ``10⁻³`` or ``3.5×10⁻⁴``."""
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    power, factor = f"10^{{{int(exponent)}}}", mantissa.removesuffix(".0")
    return f"${power}$" if factor == "1" else rf"${factor}\times{power}$"
