"""Which part of the model matters, by effect size: the paired differences of Figure 4."""

import math
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import pandas as pd

from adapert.errors import join_words
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from adapert.statistics.questions import REFERENCE
from analysis.claims import LITTLE
from analysis.findings.finding import (
    BETTER,
    LEVEL_WITH,
    WORSE,
    Estimate,
    Finding,
    group_effects,
    judge_effect,
    state,
    write_certainty,
    write_number,
)

METRIC = "pearson_delta"
"""What findings are in; it is also what configs are picked by."""

PARTS = {
    "no_context": "the context",
    "no_non_deg": "the non-DEG loss",
    "context_only": "what the perturbed gene adds to the context alone",
}
"""Variant to the part that it lacks, near the words of its row in Figure 4; another is called by its name."""


def find_parts(summary: pd.DataFrame, without: Iterable[str] = ()) -> Finding | None:
    """Say which part of the model is worth most for each effect size.

    Args:
        summary: From `analysis.figures.ablation.summarize_ablation`, of one study.
        without: Variants that take nothing away.

    Returns:
        None where no variant lacks one part alone, as where models are compared.
    """
    tells = summary["variant"].map(_lacks_one_part) & ~summary["variant"].isin(set(without))
    if not (summary["variant"].map(_lacks_one_part)).any():
        return None
    is_part = tells & (summary["metric"] == METRIC)
    rows = summary[is_part & summary["difference"].notna()]
    by_group = {
        str(group): {str(row["variant"]): _estimate(row) for row in of_group.to_dict("records")}
        for group, of_group in rows.groupby("effect_size", sort=False)
    }
    study = summary["study"].iloc[0]
    lead_in = f"Parts of the model ('{study}', {find_metric(METRIC).label})"
    if not by_group:
        return state(
            "parts", f"{lead_in}: undecided, since no variant can be compared with the full model.", ()
        )
    answers = {group: _answer(estimates) for group, estimates in by_group.items()}
    clauses = [_write(answer, groups, by_group) for answer, groups in _group_by(answers).items()]
    is_decided = any(verdict != UNDECIDED for verdict, _ in answers.values())
    return Finding(
        topic="parts",
        sentence=f"{lead_in}: {'; '.join(clauses)}.",
        estimates=tuple(each for estimates in by_group.values() for each in estimates.values()),
        certainty=SUPPORTED if is_decided else UNDECIDED,
    )


def _lacks_one_part(variant: str) -> bool:
    """Whether a variant lacks one part, by its name: others exchange parts, add them, or lack several."""
    return variant in PARTS or (variant.startswith("no_") and variant.count("no_") == 1)


def _estimate(row: Mapping[Hashable, Any]) -> Estimate:
    """Turn "variant minus full" into what its part is worth."""
    difference, low, high, p = (
        float(row[name]) for name in ("difference", "difference_low", "difference_high", "p_holm")
    )
    of = f"{REFERENCE} minus {row['variant']}, {row['effect_size']} effects"
    return Estimate(of, -difference, -high, -low, p, judge_effect(-high, -low, p, row["n_seeds"]))


def _answer(estimates: dict[str, Estimate]) -> tuple[str, str]:
    """Decide what a group says: a verdict, and the variant that it is about."""
    for verdict, best in ((BETTER, max), (WORSE, min)):
        decided = {name: each.value for name, each in estimates.items() if each.verdict == verdict}
        if decided:
            return verdict, best(decided, key=lambda name: decided[name])
    is_little = all(each.verdict == LEVEL_WITH for each in estimates.values())
    return (LEVEL_WITH if is_little else UNDECIDED), ""


def _group_by(answers: dict[str, tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    grouped: dict[tuple[str, str], list[str]] = {}
    for group, answer in answers.items():
        grouped.setdefault(answer, []).append(group)
    order = (BETTER, WORSE, LEVEL_WITH, UNDECIDED)
    return dict(sorted(grouped.items(), key=lambda item: order.index(item[0][0])))


def _write(answer: tuple[str, str], groups: list[str], by_group: dict[str, dict[str, Estimate]]) -> str:
    verdict, variant = answer
    if verdict == UNDECIDED:
        return f"undecided for {join_words([_write_largest(group, by_group[group]) for group in groups])}"
    if verdict == LEVEL_WITH:
        return f"no part is worth {LITTLE:g} or more for {group_effects(groups)}"
    estimates = [by_group[group][variant] for group in groups]
    shown = [
        f"{group} effects by {write_number(abs(each.value))} ({write_certainty(*_ends(each))})"
        for group, each in zip(groups, estimates, strict=True)
    ]
    does = "helps most" if verdict == BETTER else "does harm"
    return f"{_name_part(variant)} {does}, {join_words(shown)}"


def _write_largest(group: str, estimates: dict[str, Estimate]) -> str:
    """Name what is estimated to matter most, where nothing is decided."""
    variant, largest = max(estimates.items(), key=lambda item: abs(item[1].value))
    p = "" if math.isnan(largest.p_holm) else f", p = {largest.p_holm:.3f}"
    return f"{group} effects (largest estimate: {_name_part(variant)}, {write_number(largest.value)}{p})"


def _name_part(variant: str) -> str:
    return PARTS.get(variant, f"what '{variant}' lacks")


def _ends(estimate: Estimate) -> tuple[float, float, float]:
    """Interval and p of the size of a difference, whatever its sign."""
    ends = sorted((abs(estimate.low), abs(estimate.high)))
    return ends[0], ends[1], estimate.p_holm
