"""Which config fields matter, alone and in pairs, with intervals, from a study that was made for it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from adapert.errors import InputError, format_count
from adapert.records import OBJECTIVE, TrialStatus
from adapert.results.load import NothingToShowError
from adapert.results.study import StudyResults
from adapert.seeding import numpy_generator
from adapert.statistics.two_level import FloatArray
from adapert.statistics.variance_shares import build_parts, sample_variances
from analysis.fields import varied_fields

MAIN, PAIR, REST = "main", "interaction", "rest"
"""Kinds of rows: a field alone, two fields beyond the sum of their effects, and what is left."""

REST_LABEL = "noise and higher order"

LEAST_CONFIGS = 32
"""Fewer say next to nothing of pairs."""

MAX_CHOICES = 8
"""A field of at most so many values is a choice; of more, a range in which trials lie evenly."""

KEPT_DRAWS = 0.97
"""Central share of posterior draws in an interval of 95 %: 95 % of the draws would cover the known truth a
little less often (`python -m benchmarks importance`), since absent parts take some of the noise."""

COLUMNS = [
    *("study", "field", "other", "kind", "importance", "low", "high", "probability"),
    *("n_configs", "n_left_out"),
]


def load_importance(study: StudyResults) -> pd.DataFrame:
    """Load the trials of an importance study, one row each, whatever their end.

    Returns:
        The columns of `StudyResults.frame`, after ``study``.

    Raises:
        NothingToShowError: No trial has finished.
        InputError: Its trials were not made for this.
    """
    check_design(study.design, study.name)
    trials = study.frame
    if OBJECTIVE not in trials or not (trials["status"] == TrialStatus.FINISHED).any():
        raise NothingToShowError(
            f"Importance needs finished trials, but study '{study.name}' has none yet. Wait for its first."
        )
    return pd.concat([pd.Series(study.name, trials.index, name="study"), trials], axis="columns")


def check_design(design: str, study: str) -> None:
    """Refuse trials that were chosen by their results, or that compare named configs.

    Args:
        design: The study's.
        study: Its name, for the message.

    Raises:
        InputError: The study was not made for importance.
    """
    if design == "importance":
        return
    reason = (
        "a search's sampler chooses configs by result and its rungs stop those behind, so that a setting "
        "which only learns faster would seem several times as important as it is"
        if design == "search"
        else f"the trials of a study of design '{design}' compare configs that were chosen by hand"
    )
    raise InputError(
        "Importance is estimated from configs that cover a space evenly and were all trained to their end, "
        f"but '{study}' has no such trials: {reason}. Launch a study with `adapert launch importance`."
    )


def summarize_importance(
    trials: pd.DataFrame, fields: Sequence[str] | None = None, seed: int = 0
) -> pd.DataFrame:
    """Estimate which share of the objective's variance over the space each field and each pair causes.

    The denominator is the variance over all configs of the space, the noise of training included: shares of
    all rows sum to 1, and the last row (`REST`) is noise and what more than two fields do together. The
    trials' own distribution weighs the space. Intervals hold the central `KEPT_DRAWS` of posterior draws
    (`adapert.statistics.variance_shares`): they reach 0 where the data do not exclude that there is no
    effect, and up to what the draws that have one exclude.

    Args:
        trials: From `load_importance`; those that did not finish, or have no finite value, are left out, and
            the seeds of a config are averaged.
        fields: Dotted, to be taken apart; None takes those in which trials differ.
        seed: Seed of the posterior draws.

    Returns:
        study, field, other (of a pair, else empty), kind, importance (a share, from 0 to 1), low, high,
        probability (that there is an effect), n_configs, n_left_out (trials); fields by importance, then
        pairs by importance, then the rest.

    Raises:
        NothingToShowError: Fewer than 32 configs have a value, or all have the same.
    """
    is_finite = np.isfinite(trials[OBJECTIVE].astype(float))
    known = trials[is_finite & (trials["status"] == TrialStatus.FINISHED)]
    names = list(fields) if fields is not None else varied_fields(known)
    configs = known.groupby(names, sort=False)[OBJECTIVE].mean().reset_index()
    if len(configs) < LEAST_CONFIGS or configs[OBJECTIVE].nunique() < 2:
        raise NothingToShowError(
            f"Importance needs at least {LEAST_CONFIGS} finished configs of different {OBJECTIVE}, but study "
            f"'{trials['study'].iloc[0]}' has {format_count(len(configs), 'config')} of "
            f"{format_count(configs[OBJECTIVE].nunique(), 'value')}. Resume it, or extend it with --trials."
        )
    positions = np.column_stack([field_positions(configs[name]) for name in names])
    parts = build_parts(positions, [pd.api.types.is_numeric_dtype(configs[name]) for name in names])
    generator = numpy_generator(seed, f"importance/{OBJECTIVE}")
    response = configs[OBJECTIVE].to_numpy(dtype=np.float64)
    variances, rest = sample_variances(parts, response, generator)
    shares = np.column_stack([variances, rest])
    shares /= shares.sum(axis=1, keepdims=True)
    tail = (1 - KEPT_DRAWS) / 2
    rows: list[dict[str, object]] = []
    for members, drawn in zip([*(part.fields for part in parts), ()], shares.T, strict=True):
        field, other, *_ = [*(names[index] for index in members), "", ""]
        present = drawn[drawn > 0]
        rows.append(
            {
                "field": field or REST_LABEL,
                "other": other,
                "kind": (REST, MAIN, PAIR)[len(members)],
                "importance": float(drawn.mean()),
                "low": float(np.quantile(drawn, tail)),
                # How large it may be if it is there: how rare effects are elsewhere must not hide a weak one.
                "high": float(np.quantile(present, 1 - tail)) if len(present) else 0.0,
                "probability": float((drawn > 0).mean()),
            }
        )
    summary = pd.DataFrame(rows).assign(
        study=trials["study"].iloc[0], n_configs=len(configs), n_left_out=len(trials) - len(known)
    )
    # Kinds have an order of their own, not that of the alphabet.
    by_kind = pd.Categorical(summary["kind"], [MAIN, PAIR, REST], ordered=True)
    ordered = summary.assign(place=by_kind).sort_values(["place", "importance"], ascending=[True, False])
    return ordered[COLUMNS].reset_index(drop=True)


def field_positions(values: pd.Series) -> FloatArray:
    """Place a field's values between 0 and 1 so that trials lie evenly, whatever scale they were drawn on.

    Args:
        values: One field's values, (n_configs,): a choice by its place among the values, a range by its rank.
    """
    if _is_choice(values):
        codes, distinct = pd.factorize(values, sort=True)
        return np.asarray((codes + 0.5) / len(distinct), dtype=np.float64)
    return np.asarray((values.rank() - 0.5) / len(values), dtype=np.float64)


def _is_choice(values: pd.Series) -> bool:
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return not is_number or values.nunique() <= MAX_CHOICES
