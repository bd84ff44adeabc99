"""Where the weight of the non-DEG loss is best and where it hurts: Figure 5 and the claims about it."""

import math
from collections.abc import Sequence

import pandas as pd

from adapert.errors import join_words
from adapert.evaluation.catalogue import find_metric
from adapert.statistics.best_weight import UNDECIDED
from analysis.claims import BEST, LITTLE
from analysis.findings.finding import (
    LEVEL_WITH,
    WORSE,
    Estimate,
    Finding,
    group_effects,
    judge_effect,
    state,
)
from analysis.findings.parts import METRIC


def find_weights(summary: pd.DataFrame, claims: pd.DataFrame) -> Finding:
    """Say which weight is best and which hurt, by reading of the loss and effect size.

    Args:
        summary: From `analysis.figures.sensitivity.summarize_sensitivity`, of one study.
        claims: From `analysis.claims.summarize_claims`, of the same study, for the intervals of the best.
    """
    rows = summary[(summary["metric"] == METRIC) & summary["mean"].notna()]
    lead_in = f"lambda_non ('{summary['study'].iloc[0]}', {find_metric(METRIC).label})"
    clauses: list[str] = []
    estimates: list[Estimate] = []
    for reading, of_reading in rows.groupby("reading", sort=False):
        is_own = (claims["reading"] == reading) & (claims["metric"] == METRIC) & (claims["quantity"] == BEST)
        best = _find_best(of_reading, claims[is_own])
        changes = _find_changes(of_reading)
        clauses.append(f"read as '{reading}', {_write_best(best)}, and {_write_harm(of_reading, changes)}")
        estimates += [*best.values(), *(each for of_group in changes.values() for each in of_group.values())]
    if not clauses:
        return state("lambda_non", f"{lead_in}: undecided, since no weight has a value.", ())
    return state("lambda_non", f"{lead_in}: {'; '.join(clauses)}.", estimates)


def _find_best(rows: pd.DataFrame, claims: pd.DataFrame) -> dict[str, Estimate]:
    """Find each group's best weight, undecided where its interval has every weight, or is missing."""
    tried = rows["lambda_non"]
    found = {}
    for row in rows[rows["is_best"]].to_dict("records"):
        group, weight = str(row["effect_size"]), float(row["lambda_non"])
        claim = claims[claims["group"] == group]
        low, high = map(float, claim[["low", "high"]].iloc[0]) if len(claim) else (math.nan, math.nan)
        is_open = math.isnan(low) or (low <= tried.min() and high >= tried.max())
        verdict = UNDECIDED if is_open else f"{weight:g}"
        found[group] = Estimate(f"best lambda_non, {group} effects", weight, low, high, verdict=verdict)
    return found


def _find_changes(rows: pd.DataFrame) -> dict[str, dict[float, Estimate]]:
    """Judge each weight against the smallest, group by group."""
    changes: dict[str, dict[float, Estimate]] = {}
    for row in rows[rows["difference"].notna()].to_dict("records"):
        low, high, p = (float(row[name]) for name in ("difference_low", "difference_high", "p_holm"))
        group, weight = str(row["effect_size"]), float(row["lambda_non"])
        verdict = judge_effect(low, high, p, row["n_seeds"])
        of = f"lambda_non {weight:g} minus the smallest, {group} effects"
        changes.setdefault(group, {})[weight] = Estimate(of, float(row["difference"]), low, high, p, verdict)
    return changes


def _write_best(best: dict[str, Estimate]) -> str:
    known = [
        f"{each.value:g} for {group} effects ({each.low:g} to {each.high:g})"
        for group, each in best.items()
        if each.verdict != UNDECIDED
    ]
    unknown = [group for group, each in best.items() if each.verdict == UNDECIDED]
    parts = [f"it is best at {join_words(known)}"] if known else []
    parts += [f"the best is undecided for {group_effects(unknown)}"] if unknown else []
    return ", ".join(parts)


def _write_harm(rows: pd.DataFrame, changes: dict[str, dict[float, Estimate]]) -> str:
    of_weights: dict[tuple[float, ...], list[str]] = {}
    for group, of_group in changes.items():
        harmful = tuple(sorted(weight for weight, each in of_group.items() if each.verdict == WORSE))
        if harmful:
            of_weights.setdefault(harmful, []).append(group)
    if of_weights:
        tried = sorted(rows["lambda_non"].unique())
        told = [
            f"{group_effects(groups)} {_write_range(harmful, tried)}"
            for harmful, groups in sorted(of_weights.items())
        ]
        return f"it hurts {join_words(told)}"
    every = [each.verdict for of_group in changes.values() for each in of_group.values()]
    if every and all(verdict == LEVEL_WITH for verdict in every):
        return f"no weight changes anything by {LITTLE:g}"
    return "no weight is decided to hurt"


def _write_range(harmful: Sequence[float], tried: Sequence[float]) -> str:
    """Write weights as "from" the smallest where all larger ones that were tried are among them."""
    is_open = len(harmful) > 1 and list(harmful) == [weight for weight in tried if weight >= harmful[0]]
    return f"from {harmful[0]:g}" if is_open else f"at {join_words([f'{weight:g}' for weight in harmful])}"
