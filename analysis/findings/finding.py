"""A finding: a sentence, the estimates that it stands on, and how certain it is."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from adapert.errors import join_words
from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from adapert.statistics.two_level import CONFIDENCE
from analysis.claims import judge_gain, judge_little, judge_loss

BETTER, WORSE, LEVEL_WITH = "better", "worse", "level"
"""What a difference says of the first of two, where it is decided."""


@dataclass(frozen=True)
class Estimate:
    """A number that a sentence stands on.

    Attributes:
        of: What it is of: ``"no_context minus full, small effects"``.
        value: The number.
        low: End of its 95 % interval; NaN without one.
        high: Its other end.
        p_holm: Its p after Holm's correction; NaN without one.
        verdict: `BETTER`, `WORSE` or `LEVEL_WITH` of a difference, the value in words of another number, or
            `UNDECIDED`.
    """

    of: str
    value: float
    low: float = math.nan
    high: float = math.nan
    p_holm: float = math.nan
    verdict: str = UNDECIDED


@dataclass(frozen=True)
class Finding:
    """An answer in one sentence.

    Attributes:
        topic: What it is about, in a word or two.
        sentence: The answer, which says so where it is undecided.
        estimates: What it stands on.
        certainty: Supported or undecided.
    """

    topic: str
    sentence: str
    estimates: tuple[Estimate, ...]
    certainty: str


@dataclass(frozen=True)
class Findings:
    """What studies answer.

    Attributes:
        findings: In the order in which they are read.
        warnings: What makes the numbers weak, in sentences.
    """

    findings: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """All that it says, line by line."""
        told = [finding.sentence for finding in self.findings]
        return told + [f"Warning: {warning}" for warning in self.warnings]


def state(topic: str, sentence: str, estimates: Iterable[Estimate]) -> Finding:
    """Make a finding that is as certain as its estimates: supported where one of them is decided."""
    stands_on = tuple(estimates)
    is_decided = any(estimate.verdict != UNDECIDED for estimate in stands_on)
    return Finding(topic, sentence, stands_on, SUPPORTED if is_decided else UNDECIDED)


def judge_difference(low: float, high: float, p_holm: float, n_seeds: float) -> str:
    """Judge a paired difference as the claims are judged.

    Returns:
        `BETTER` or `WORSE` where the interval excludes 0 and p is below .05, `LEVEL_WITH` where all of the
        interval is little, else `UNDECIDED`, as is anything of one seed.
    """
    if n_seeds < 2:
        return UNDECIDED
    if judge_gain(low, high, p_holm) == SUPPORTED:
        return BETTER
    if judge_loss(low, high, p_holm) == SUPPORTED:
        return WORSE
    return LEVEL_WITH if judge_little(low, high, p_holm) == SUPPORTED else UNDECIDED


def judge_effect(low: float, high: float, p_holm: float, n_seeds: float) -> str:
    """Judge what a part or a weight does: as `judge_difference`, but what is surely little is no effect."""
    is_little = n_seeds > 1 and judge_little(low, high, p_holm) == SUPPORTED
    return LEVEL_WITH if is_little else judge_difference(low, high, p_holm, n_seeds)


def write_number(value: float) -> str:
    """Write a metric with three decimals, and never as -0.000."""
    return f"{round(value, 3) + 0:.3f}"


def write_certainty(low: float, high: float, p_holm: float) -> str:
    """Write what stands in brackets behind a difference: its interval and its p, as far as there are."""
    interval = f"{CONFIDENCE:.0%} interval {write_number(low)} to {write_number(high)}"
    p = "p < 0.001" if p_holm < 0.001 else f"p = {p_holm:.3f}"
    known = [text for text, value in ((interval, low), (p, p_holm)) if not math.isnan(value)]
    return "; ".join(known) or "no interval"


def group_effects(groups: Iterable[str]) -> str:
    """Name groups of effect sizes: ``"small and large effects"``."""
    return f"{join_words(list(groups))} effects"
