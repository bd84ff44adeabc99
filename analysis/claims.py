"""What the paper says of Figures 4 and 5, claim by claim, and what a user's own runs say of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from adapert.data.schema import EFFECT_SIZES
from adapert.errors import InputError, name_some
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.best_weight import NEAR, NOT_SUPPORTED, SUPPORTED, UNDECIDED, locate_best
from adapert.statistics.questions import (
    LEVEL,
    REFERENCE,
    TEST,
    VARIANTS,
    WEIGHTS,
    compare_variants,
    compare_weights,
    name_weight,
)
from adapert.statistics.readings import LETTER, MEAN_AND_SUM, find_empty_in, split_readings
from adapert.statistics.two_level import CONFIDENCE
from analysis.figures.overlap import OVERLAPS, choose_overlap
from analysis.figures.style import order_rows
from analysis.tables.table import PaperTable

CLAIM_METRICS = ("pearson_delta", *OVERLAPS, "pds")
"""All of one scale, from 0 or -1 to 1, and larger is better; of the overlaps one, as in Figures 4 and 5."""

DIFFERENCE, BEST = "difference", "best lambda_non"
"""What an estimate is of."""

EMPTY = "not tested: lambda_non near 0"
"""Verdict on a non-DEG loss that the full model hardly has."""

LITTLE = 0.02
"""The largest change of a metric that counts as little."""

TOO_LARGE = 0.1

CLAIMS_STEM = "claims"
"""Name of the table's files."""

CLAIM_COLUMNS = (
    *("study", "split", "reading", "claim", "group", "metric"),
    *("quantity", "estimate", "low", "high", "p_holm", "verdict"),
)

_SMALL_AND_MEDIUM = ("small", "medium")


@dataclass(frozen=True)
class Comparison:
    """A claim about the difference of two variants.

    Attributes:
        claim: In words.
        groups: Effect sizes that it is about.
        variant: Compared with the reference: the full model, or no non-DEG loss.
        sign: Sign of the difference that is reported: 1 for variant minus reference, -1 for the reverse.
        judge: Estimate's interval and p to verdict.
    """

    claim: str
    groups: tuple[str, ...]
    variant: str
    sign: int
    judge: Callable[[float, float, float], str]


def _not_tested(low: float, high: float, p_holm: float) -> str:
    """Judge nothing: the full model hardly has what the variant takes away."""
    return EMPTY


def judge_gain(low: float, high: float, p_holm: float) -> str:
    """Judge that a difference is above 0.

    Args:
        low: End of the difference's interval.
        high: Its other end.
        p_holm: p of the paired test, after Holm's correction.

    Returns:
        Supported where the interval lies above 0 and p is below `LEVEL`; not supported where a difference of
        more than `LITTLE` lies outside the interval; else undecided, as is anything without an interval.
    """
    if low > 0 and p_holm < LEVEL:
        return SUPPORTED
    return NOT_SUPPORTED if high < LITTLE else UNDECIDED


def judge_loss(low: float, high: float, p_holm: float) -> str:
    """Judge that a difference is below 0; the mirror of `judge_gain`."""
    return judge_gain(-high, -low, p_holm)


def judge_little(low: float, high: float, p_holm: float) -> str:
    """Judge that a difference is little.

    Returns:
        Supported where the whole interval lies within `LITTLE` of 0, as in a test of equivalence; not
        supported where none of it does; else undecided.
    """
    if low > -LITTLE and high < LITTLE:
        return SUPPORTED
    return NOT_SUPPORTED if low > LITTLE or high < -LITTLE else UNDECIDED


ABLATION_CLAIMS = (
    Comparison("the context helps", EFFECT_SIZES, "no_context", -1, judge_gain),
    Comparison("the non-DEG loss helps", _SMALL_AND_MEDIUM, "no_non_deg", -1, judge_gain),
    Comparison("the non-DEG loss does little", ("large",), "no_non_deg", -1, judge_little),
)
"""Section 5.4 of the AdaPert paper: estimates are the full model minus the model without the part."""

CONTEXT_ONLY = "context_only"
"""The model to which the perturbed gene itself adds nothing, as Eq. 3 reads to the letter."""

CONTEXT_ONLY_CLAIMS = (
    Comparison(
        "the context helps where it stands alone", EFFECT_SIZES, "context_only_no_context", -1, judge_gain
    ),
)
"""The first of `ABLATION_CLAIMS` in that reading; estimates are `CONTEXT_ONLY` minus it without context."""

SENSITIVITY_CLAIMS = (
    Comparison(f"lambda_non of {TOO_LARGE:g} hurts", EFFECT_SIZES, name_weight(TOO_LARGE), 1, judge_loss),
)
"""Section 5.5: the estimate is with that weight minus without the loss."""


def summarize_claims(
    ablation: pd.DataFrame | None = None,
    sensitivity: pd.DataFrame | None = None,
    metrics: Sequence[str] = CLAIM_METRICS,
) -> pd.DataFrame:
    """Compare the paper's claims with what a user's runs say.

    Args:
        ablation: The long table of an ablation's one split, with lambda_non and non_deg_reduction, or None.
        sensitivity: The long table of a sensitivity study's one split, with the same, or None.
        metrics: Metrics to look at; 1 must be their best value.

    Returns:
        `CLAIM_COLUMNS`, a row a claim, reading of the loss (one of `READINGS`, that of the full model in an
        ablation; empty if unknown), group of effect sizes and metric. ``estimate``, ``low`` and ``high`` are
        a difference of means and ``p_holm`` its p, of `compare_variants` or `compare_weights`, or the best
        lambda_non with the central interval of `resample_best`, which has no p. Claims on variants, weights
        or groups without runs are left out.

    Raises:
        InputError: A metric whose best value is not 1: what counts as little is on that scale.
    """
    rows: list[dict[str, object]] = []
    if ablation is not None:
        chosen = _select(ablation, metrics)
        full = chosen[chosen["variant"] == REFERENCE]
        reading = next(iter(split_readings(full)), "")
        empty = find_empty_in(chosen, REFERENCE).variants
        judged = [
            replace(claim, judge=_not_tested) if claim.variant in empty else claim
            for claim in ABLATION_CLAIMS
        ]
        rows += _judge(chosen, reading, compare_variants(chosen), judged)
        rows += _judge_context_only(chosen, reading)
    if sensitivity is not None:
        for reading, chosen in split_readings(_select(sensitivity, metrics)).items():
            rows += _judge_weights(chosen, reading, metrics)
    table = pd.DataFrame(rows, columns=list(CLAIM_COLUMNS))
    return order_rows(table, {"metric": metrics})


def _judge_context_only(frame: pd.DataFrame, reading: str) -> Iterator[dict[str, object]]:
    """Judge the context by the models in which it stands alone, a test family of their own."""
    names = {CONTEXT_ONLY: REFERENCE} | {claim.variant: claim.variant for claim in CONTEXT_ONLY_CLAIMS}
    alone = frame[frame["variant"].isin(names)]
    if alone["variant"].nunique() == len(names):
        alone = alone.assign(variant=alone["variant"].map(names))
        yield from _judge(alone, reading, compare_variants(alone), CONTEXT_ONLY_CLAIMS)


def _judge_weights(frame: pd.DataFrame, reading: str, metrics: Sequence[str]) -> Iterator[dict[str, object]]:
    """Judge the claims about weights of one reading of the loss."""
    if (frame["lambda_non"] == 0).any():
        yield from _judge(frame, reading, compare_weights(frame), SENSITIVITY_CLAIMS)
    for metric in (metric for metric in metrics if (frame["metric"] == metric).any()):
        for best in locate_best(frame[frame["metric"] == metric], f"claims/{metric}"):
            yield {
                **_identity(frame, reading, best.claim, best.group, metric),
                "quantity": BEST,
                "estimate": best.estimate,
                "low": best.low,
                "high": best.high,
                "verdict": best.verdict,
            }


def build_claims_table(claims: pd.DataFrame) -> PaperTable:
    """Lay claims out as they are read.

    Args:
        claims: From `summarize_claims`, of any number of studies.
    """
    cells = pd.DataFrame(
        {
            "Claim": claims["claim"],
            "Loss": claims["reading"],
            "Effects": claims["group"],
            "Metric": [find_metric(name).label for name in claims["metric"]],
            "Estimate": _numbers(claims, "estimate"),
            f"{CONFIDENCE:.0%} interval": [
                f"{low} to {high}" if low else ""
                for low, high in zip(_numbers(claims, "low"), _numbers(claims, "high"), strict=True)
            ],
            "p": [
                "" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"
                for p in claims["p_holm"].astype(float)
            ],
            "On these data": claims["verdict"],
        }
    )
    study = ", ".join(dict.fromkeys(claims["study"]))
    split = ", ".join(dict.fromkeys(claims["split"]))
    title = f"The paper's claims about Figures 4 and 5 on {study}, {split} split"
    return PaperTable(
        stem=CLAIMS_STEM, title=title, caption=_CAPTION, frame=claims, cells=cells.astype(str), n_names=4
    )


P_CAPTION = (
    f"p is that of Figures 4 and 5: {TEST}; Holm's correction over the comparisons of a metric, of an "
    f"ablation {VARIANTS.tests}, and {CONTEXT_ONLY} with the same model without its context; of a "
    f"sensitivity study {WEIGHTS.tests}."
)

_CAPTION = (
    "An estimate is a paired difference of means over perturbations, of the full model minus the model "
    "without a part, or of a weight minus no weight; or it is the best weight. "
    f"Intervals are of {CONFIDENCE:.0%}. {P_CAPTION} "
    f"A difference is supported where its interval excludes 0 and p is below {LEVEL:g}; it is not where its "
    f"interval excludes one of {LITTLE:g}, which is also what counts as little. "
    f"The best weight is near .01 from {NEAR[0]:g} to {NEAR[1]:g}, and smaller for large effects where "
    f"{CONFIDENCE:.0%} of the resamples say so. Undecided: the data allow both, or there is one seed. "
    "Claims on the non-DEG loss are about the weight that the full model has; one near 0 tests none of "
    "them. "
    f"Loss: how the trials add up genes. '{MEAN_AND_SUM}': a mean in Eq. 15, as the paper's text says, and a "
    f"sum in Eq. 16, so that a weight counts once for each gene; '{LETTER}': a sum in both."
)


def _select(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    refused = [name for name in metrics if find_metric(name).best != 1.0]
    if refused:
        raise InputError(
            f"Claims are judged on metrics whose best value is 1, but that of {name_some(refused)} is not. "
            "Compare variants by adapert.statistics.paired.summarize_paired."
        )
    return choose_overlap(frame[frame["metric"].isin(metrics)])


def _judge(
    frame: pd.DataFrame, reading: str, paired: pd.DataFrame, claims: Sequence[Comparison]
) -> Iterator[dict[str, object]]:
    for claim in claims:
        for group in claim.groups:
            is_meant = (paired["variant"] == claim.variant) & (paired["effect_size"] == group)
            for row in paired[is_meant & paired["difference"].notna()].to_dict("records"):
                low, high = sorted((claim.sign * row["low"], claim.sign * row["high"]))
                yield {
                    **_identity(frame, reading, claim.claim, group, row["metric"]),
                    "quantity": DIFFERENCE,
                    "estimate": claim.sign * row["difference"],
                    "low": low,
                    "high": high,
                    "p_holm": row["p_holm"],
                    "verdict": claim.judge(low, high, row["p_holm"]) if row["n_seeds"] > 1 else UNDECIDED,
                }


def _identity(frame: pd.DataFrame, reading: str, claim: str, group: str, metric: str) -> dict[str, object]:
    return {
        "study": frame["study"].iloc[0],
        "split": frame["split"].iloc[0],
        "reading": reading,
        "claim": claim,
        "group": group,
        "metric": metric,
    }


def _numbers(claims: pd.DataFrame, column: str) -> list[str]:
    """Write differences with three decimals and weights as they are; nothing where there is none."""
    return [
        # Zero is added so that nothing is written as -0.000.
        "" if np.isnan(value) else f"{round(value, 3) + 0:.3f}" if quantity == DIFFERENCE else f"{value:g}"
        for value, quantity in zip(claims[column].astype(float), claims["quantity"], strict=True)
    ]
