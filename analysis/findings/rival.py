"""Whether AdaPert is better than tuned kernel ridge: a comparison of systems, or an evaluation."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from adapert.evaluation.catalogue import find_metric
from adapert.statistics.best_weight import UNDECIDED
from adapert.statistics.pairs import ALL, model_of
from adapert.study.plan.peers import DEFAULT
from analysis.findings.finding import (
    BETTER,
    LEVEL_WITH,
    WORSE,
    Estimate,
    Finding,
    judge_difference,
    state,
    write_certainty,
    write_number,
)
from analysis.findings.parts import METRIC

SYSTEM, RIVAL = "adapert", "kernel_ridge"

_NEEDED = {
    *("variant", "reference", "effect_size", "metric"),
    *("difference", "low", "high", "p_holm", "n_seeds"),
}

_READS = {
    BETTER: "AdaPert is better than {rival}, with",
    WORSE: "AdaPert is worse than {rival}, with",
    LEVEL_WITH: "AdaPert is level with {rival}, with",
    UNDECIDED: "it is undecided whether AdaPert is better than {rival}, with",
}


def find_rival(summary: pd.DataFrame) -> Finding | None:
    """Compare the systems as a comparison of them picked them, both searched with the same budget.

    Args:
        summary: From `analysis.leaderboard.summary.summarize_leaderboard`, of one split.

    Returns:
        None where the comparison lacks one of the two.
    """
    is_tuned = (summary["metric"] == METRIC) & (summary["form"] != DEFAULT)
    rows = {
        row["system"]: row for row in summary[is_tuned & (summary["effect_size"] == ALL)].to_dict("records")
    }
    if f"{SYSTEM}_difference" not in summary or not {SYSTEM, RIVAL} <= set(rows):
        return None
    turned = rows[RIVAL]
    difference, low, high, p = (
        float(turned[f"{SYSTEM}_{name}"]) for name in ("difference", "low", "high", "p_holm")
    )
    # Kernel ridge has one fit a split: how many replicates were paired is AdaPert's number.
    n_seeds = float(rows[SYSTEM]["n_seeds"])
    where = f"'{turned['study']}', {turned['split']} perturbations"
    # The leaderboard has kernel ridge minus AdaPert.
    return _find(where, "kernel ridge where both are tuned", (-difference, -high, -low, p), n_seeds)


def find_evaluated_rival(paired: pd.DataFrame, record: Mapping[str, Any], folder: str) -> Finding | None:
    """Compare the two as an evaluation did.

    Args:
        paired: Its paired differences (`adapert.comparison.summary.summarize_differences`).
        record: Its record.
        folder: Its name.

    Returns:
        None where it has no such pair.
    """
    if not set(paired) >= _NEEDED:
        return None
    is_pair = (paired["variant"].map(model_of) == SYSTEM) & (paired["reference"].map(model_of) == RIVAL)
    rows = paired[is_pair & (paired["effect_size"] == ALL) & (paired["metric"] == METRIC)]
    if rows.empty:
        return None
    row = rows.iloc[0]
    ends = tuple(float(row[name]) for name in ("difference", "low", "high", "p_holm"))
    where = f"'{folder}', {record['opened']['split']} perturbations"
    return _find(where, "the evaluated kernel ridge", ends, float(row["n_seeds"]))


def _find(where: str, rival: str, compared: tuple[float, ...], n_seeds: float) -> Finding | None:
    difference, low, high, p = compared
    if math.isnan(difference):
        return None
    verdict = judge_difference(low, high, p, n_seeds)
    seeds = "one seed and " if n_seeds < 2 else ""
    sentence = (
        f"Against kernel ridge ({where}, {find_metric(METRIC).label}): {_READS[verdict].format(rival=rival)} "
        f"{seeds}a difference of {write_number(difference)} ({write_certainty(low, high, p)})."
    )
    estimate = Estimate(f"{SYSTEM} minus {RIVAL}", difference, low, high, p, verdict)
    return state("kernel ridge", sentence, [estimate])
