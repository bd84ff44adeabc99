"""Overtuning: what a search's best values lose on fresh seeds and redrawn splits."""

from collections.abc import Hashable

import numpy as np
import pandas as pd
from scipy import stats

from adapert.errors import InputError, name_some
from analysis.two_level import CONFIDENCE, NO_INTERVAL, FloatArray, Interval

FRESH_SEEDS = "fresh seeds"
"""Kind of a trial on the search's own split, with a seed that the search did not use."""

REDRAWN_SPLITS = "redrawn splits"
"""Kind of a trial on another draw of training and validation perturbations."""

KINDS = {FRESH_SEEDS: "fresh", REDRAWN_SPLITS: "redrawn"}
"""Kind to the beginning of its columns' names."""

OVERTUNING_COLUMNS = (
    "config_digest",
    "searched",
    *(
        f"{kind}_{column}"
        for kind in KINDS.values()
        for column in ("mean", "low", "high", "drop", "rank", "n")
    ),
)
"""Of `summarize_overtuning`."""


def summarize_overtuning(search: pd.DataFrame, reevaluated: pd.DataFrame) -> pd.DataFrame:
    """Hold the values that configs were chosen by against what they reach again.

    The best of many noisy values is too good on average; the drop shows by how much. On fresh seeds it is
    the luck of the search's trial; on redrawn splits also what fits only the search's validation set,
    and how hard other perturbations are, which all configs share alike.

    Args:
        search: Chosen configs: config_digest and value, larger is better; several trials of a config are
            averaged. Configs that were not evaluated again are kept.
        reevaluated: A row a trial: config_digest, kind (of `KINDS`) and value. ``config_digest`` is
            that of the searched config, also where the trial's own differs by ``data.split_seed``. Rows
            of NaN are dropped; `value_trials` makes them from a long table.

    Returns:
        `OVERTUNING_COLUMNS`, a row a config, by falling searched value. ``..._mean`` is over trials,
        ``..._low`` and ``..._high`` are Student's interval of it over seeds or splits (NaN below two trials),
        ``..._drop`` is searched minus that mean (so it has the mean's interval, mirrored), ``..._rank`` is
        by the mean from 1, and ``..._n`` counts trials. Without trials of a kind its columns are NaN and 0.

    Raises:
        InputError: A column is missing, a kind is unknown, or a trial's config is none of the searched.
    """
    _check(search, reevaluated)
    table = search.groupby("config_digest", sort=False)["value"].mean().rename("searched").to_frame()
    for kind, prefix in KINDS.items():
        values = reevaluated[reevaluated["kind"] == kind].dropna(subset=["value"]).groupby("config_digest")
        trials: dict[Hashable, FloatArray] = {
            digest: rows["value"].to_numpy(dtype=np.float64) for digest, rows in values
        }
        again = [_estimate(trials.get(digest, np.empty(0))) for digest in table.index]
        columns = pd.DataFrame(again, index=table.index)
        columns["drop"] = table["searched"] - columns["mean"]
        columns["rank"] = columns["mean"].rank(ascending=False, method="min").astype("Int64")
        table = table.join(columns.add_prefix(f"{prefix}_"))
    table = table.sort_values("searched", ascending=False, kind="stable").reset_index()
    return table[list(OVERTUNING_COLUMNS)]


def value_trials(frame: pd.DataFrame, metric: str = "pearson_delta") -> pd.DataFrame:
    """Reduce a long table to a row a trial: the mean of a metric over its perturbations.

    Args:
        frame: The long table, of one split.
        metric: To average.

    Returns:
        config_digest, split_seed, seed and value (NaN where no perturbation has one).
    """
    rows = frame[frame["metric"] == metric]
    keys = ["config_digest", "split_seed", "seed"]
    return rows.groupby(keys, observed=True)["value"].mean().reset_index()


def _estimate(values: FloatArray) -> dict[str, float]:
    interval = _student_interval(values)
    mean = float(values.mean()) if len(values) else np.nan
    return {"mean": mean, "low": interval.low, "high": interval.high, "n": len(values)}


def _student_interval(values: FloatArray) -> Interval:
    """Bound the mean of independent values; NaN below two."""
    if len(values) < 2:
        return NO_INTERVAL
    half = stats.sem(values) * stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)
    return Interval(float(values.mean() - half), float(values.mean() + half))


def _check(search: pd.DataFrame, reevaluated: pd.DataFrame) -> None:
    for name, frame, columns in (
        ("chosen configs", search, ("config_digest", "value")),
        ("re-evaluated trials", reevaluated, ("config_digest", "kind", "value")),
    ):
        missing = [column for column in columns if column not in frame]
        if missing:
            raise InputError(
                f"The table of {name} needs {name_some(columns)}, but lacks {name_some(missing)}."
            )
    if unknown := sorted(set(reevaluated["kind"].astype(str)) - set(KINDS)):
        raise InputError(
            f"A re-evaluated trial's kind is {name_some(KINDS)}, but came as {name_some(unknown)}."
        )
    if strangers := sorted(set(reevaluated["config_digest"]) - set(search["config_digest"])):
        raise InputError(
            f"Re-evaluated trials must be of searched configs, but {name_some(strangers)} is none. "
            "Give them the digest that the config had in the search."
        )
