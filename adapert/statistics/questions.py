"""Which comparisons are tested together: one test family a question, the same wherever its p is shown."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from adapert.errors import InputError
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.paired import PAIRED_COLUMNS, correct_tests, summarize_paired
from adapert.statistics.pairs import (
    ALL,
    CEILINGS,
    FILE_MODEL,
    LABEL_MARK,
    model_of,
    pool_effect_sizes,
    without_chance,
)

LEVEL = 0.05
"""Differences count as such where p after Holm's correction is below it."""

REFERENCE = "full"
"""Variant of an ablation that the others are compared with."""

UNDISTURBED = {"kept": 1.0, "added": 0.0, "rewired": 0.0}
"""Noise in the network, ``graph.NOISE_fraction``, to the fraction that leaves it as it is."""

TEST = (
    "two-sided Wilcoxon signed-rank test over perturbations, allowing for the variance between seeds and for "
    "families of perturbations"
)

_TURNED = {
    "variant": "reference",
    **{"low": "high", "high": "low", "low_unrelated": "high_unrelated", "high_unrelated": "low_unrelated"},
    **{"wins": "losses", "losses": "wins"},
}
"""Columns of a comparison, to what they are of its opposite."""

_IN_GROUPS = "in each effect-size group and in all groups together"


@dataclass(frozen=True)
class Question:
    """What a test family is to answer.

    Attributes:
        asked: The question.
        tests: The comparisons that are corrected together, metric by metric, as captions name them.
    """

    asked: str
    tests: str

    @property
    def rule(self) -> str:
        """How p came about, as captions say it."""
        return f"{TEST}; Holm's correction over the comparisons of a metric: {self.tests}"


VARIANTS = Question(
    "What is each part of the model worth?", f"every variant with the full model, {_IN_GROUPS}"
)
WEIGHTS = Question(
    "How does the weight of the non-DEG loss act?",
    f"every weight of a reading of the loss with the smallest, {_IN_GROUPS}",
)
NOISE = Question(
    "How does noise in the network act?",
    "every dose of noise, of every system, with the same system on the network as it is",
)
MODELS = Question(
    "Is a model better than the reference models?", f"one model with every reference model, {_IN_GROUPS}"
)

SYSTEMS = Question("Which system predicts best?", f"every system with one, {_IN_GROUPS}")
BEST = Question(
    "Which systems are as good as the best?",
    "every system with the one of the best mean, over all perturbations, or within all effect-size groups",
)


def compare_variants(frame: pd.DataFrame) -> pd.DataFrame:
    """Answer `VARIANTS`: each variant of an ablation minus the full model.

    Args:
        frame: The long table of one study and one split; metrics that are not wanted may be missing.

    Returns:
        effect_size and `PAIRED_COLUMNS`, as `summarize_paired`; without rows where nothing can be compared.
    """
    return _compare_with(frame, REFERENCE)


def compare_weights(frame: pd.DataFrame) -> pd.DataFrame:
    """Answer `WEIGHTS`: each weight of a sensitivity study minus the smallest one, which should be 0.

    Like `compare_variants`, for a frame with lambda_non and of one reading of the loss
    (`adapert.statistics.readings.split_readings`); variants are called by `name_weight`.
    """
    named = frame.assign(variant=frame["lambda_non"].map(name_weight))
    return _compare_with(named, name_weight(frame["lambda_non"].min()))


def name_weight(lambda_non: float) -> str:
    """Call a weight of the non-DEG loss as variants are called: ``"lambda_non=0.1"``."""
    return f"lambda_non={lambda_non:g}"


def compare_noise(frame: pd.DataFrame) -> pd.DataFrame:
    """Answer `NOISE`: each dose of noise minus the undisturbed network of the same system.

    Args:
        frame: The long table of one study and one split, its variants called by `name_noise`.

    Returns:
        split and `PAIRED_COLUMNS`, as `summarize_paired`, all systems of a metric in one test family.
    """
    systems = frame["variant"].map(lambda variant: read_noise(variant).system)
    tables = [
        summarize_paired(rows, system, keys=("split",))
        for system, rows in frame.groupby(systems, sort=False)
        if (rows["variant"] == system).any() and rows["variant"].nunique() > 1
    ]
    return correct_tests(pd.concat(tables, ignore_index=True)) if tables else _no_pairs("split")


class Dose(NamedTuple):
    """How much noise a variant's network has.

    Attributes:
        system: The model that reads it, under any name.
        noise: One of `UNDISTURBED`; empty for the network as it is.
        fraction: Of its edges.
    """

    system: str
    noise: str
    fraction: float


def name_noise(system: str, noise: str, fraction: float) -> str:
    """Call a dose of noise as variants are called: ``"adapert:kept=0.5"``."""
    return f"{system}{LABEL_MARK}{noise}={fraction:g}"


def read_noise(variant: str) -> Dose:
    """Read what `name_noise` called; a variant without a dose is its system's undisturbed network.

    Raises:
        InputError: No such name.
    """
    system, mark, dose = variant.partition(LABEL_MARK)
    noise, _, fraction = dose.partition("=")
    if not mark:
        return Dose(system, "", math.nan)
    try:
        if noise in UNDISTURBED:
            return Dose(system, noise, float(fraction))
    except ValueError:
        pass
    raise InputError(
        f"A study of network noise has variants such as 'adapert' and '{name_noise('adapert', 'kept', 0.5)}' "
        f"(or {', '.join(list(UNDISTURBED)[1:])}), but one is '{variant}'. Rename it."
    )


def compare_models(frame: pd.DataFrame) -> pd.DataFrame:
    """Answer `MODELS`: each model with chance of its own, ensemble and file minus every reference.

    References are the models without (`without_chance`), and the other files of predictions.

    Args:
        frame: The long table of one evaluation.

    Returns:
        variant, reference, effect_size and the other `PAIRED_COLUMNS`, a test family a variant and metric;
        without rows where the frame lacks either side.
    """
    variants = list(dict.fromkeys(frame["variant"]))
    tables = [
        _subtract(frame, name, references)
        for name in variants
        if model_of(name) not in without_chance() | CEILINGS and (references := _references_of(frame, name))
    ]
    columns = ["variant", "reference", "effect_size", *PAIRED_COLUMNS[1:]]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def compare_two_models(frame: pd.DataFrame, model: str, baseline: str) -> pd.DataFrame:
    """Take a model minus another from the model's test family of `MODELS`.

    Args:
        frame: As in `compare_models`, with both.
        model: Variant.
        baseline: Variant. One that is no reference model is in no test family: the two are one of their own.

    Returns:
        The rows of the two, as `compare_models`.
    """
    references = _references_of(frame, model)
    rivals = references if baseline in references else [baseline]
    table = _subtract(frame, model, rivals)
    return table[table["reference"] == baseline].reset_index(drop=True)


def compare_systems(frame: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Answer `SYSTEMS`: each system minus one.

    Args:
        frame: The long table of one study and one split.
        reference: Variant to compare with.

    Returns:
        As `compare_variants`.
    """
    return _compare_with(frame, reference)


def compare_with_best(frame: pd.DataFrame) -> pd.DataFrame:
    """Answer `BEST`: each system minus the one of the best mean, which may differ between groups and metrics.

    All perturbations together are a test family, and so are all groups of effect sizes. The best is
    chosen for its mean, which is biased high a little, and these p low.

    Args:
        frame: The long table of one study and one split.

    Returns:
        effect_size, reference (the best) and the other `PAIRED_COLUMNS`; without rows of a metric without a
        direction, and of groups in which one system alone has a value.
    """
    tables = []
    pooled = pool_effect_sizes(frame, ["effect_size"])
    for (size, metric), rows in pooled.groupby(["effect_size", "metric"], observed=True, sort=False):
        gains = find_metric(str(metric)).gain * _means(rows)
        if gains.count() > 1:
            # Not by effect_size: the rows would be pooled once more.
            compared = summarize_paired(rows.assign(group=str(size)), str(gains.idxmax()), keys=("group",))
            tables.append(compared.assign(reference=str(gains.idxmax())))
    columns = ["effect_size", "reference", *PAIRED_COLUMNS]
    if not tables:
        return pd.DataFrame(columns=columns)
    table = pd.concat(tables, ignore_index=True).rename(columns={"group": "effect_size"})
    is_all = table["effect_size"] == ALL
    return pd.concat([correct_tests(part) for part in (table[is_all], table[~is_all])])[columns]


def _means(rows: pd.DataFrame) -> "pd.Series[float]":
    """Average each variant over replicates within a perturbation, then over perturbations."""
    by_perturbation = rows.groupby(["variant", "perturbation"], observed=True)["value"].mean()
    return by_perturbation.groupby(level="variant").mean()


def _compare_with(frame: pd.DataFrame, reference: str) -> pd.DataFrame:
    if (frame["variant"] == reference).any() and frame["variant"].nunique() > 1:
        return summarize_paired(frame, reference)
    return _no_pairs("effect_size")


def _no_pairs(key: str) -> pd.DataFrame:
    columns = [key, *PAIRED_COLUMNS]
    return pd.DataFrame(columns=columns).astype(dict.fromkeys(PAIRED_COLUMNS[2:], np.float64))


def _references_of(frame: pd.DataFrame, model: str) -> list[str]:
    variants = dict.fromkeys(frame["variant"])
    references = without_chance() | {FILE_MODEL}
    return [name for name in variants if model_of(name) in references and name != model]


def _subtract(frame: pd.DataFrame, variant: str, references: list[str]) -> pd.DataFrame:
    """Negate "each reference minus the variant", so that one variant's differences share a test family."""
    compared = frame[frame["variant"].isin([variant, *references])]
    turned = summarize_paired(compared, variant).rename(columns=_TURNED)
    # The names of the two ends and of wins and losses are exchanged above.
    for column in ("difference", "low", "high", "low_unrelated", "high_unrelated", "standardized_difference"):
        turned[column] = -turned[column]
    return turned.assign(variant=variant)
