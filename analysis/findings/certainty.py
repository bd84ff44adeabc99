"""How sure the answers are, what weakens them, and what could not be decided."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from adapert.data.schema import EFFECT_SIZES
from adapert.errors import format_count, join_words
from adapert.evaluation.catalogue import find_metric
from adapert.selection.rank import Pick
from adapert.statistics.best_weight import SUPPORTED, UNDECIDED
from adapert.statistics.power import warn_of_tests
from adapert.statistics.two_level import CONFIDENCE
from analysis.claims import EMPTY
from analysis.figures.style import FEW
from analysis.findings.finding import Finding, group_effects, write_number
from analysis.findings.parts import METRIC

ASKED = {
    "parts": "which part of the model matters (ablation)",
    "lambda_non": "which lambda_non is best (sensitivity)",
    "kernel ridge": "whether AdaPert is better than tuned kernel ridge (peers, evaluate)",
}
"""Topic of a finding to its question, with the studies that answer it."""


@dataclass(frozen=True)
class Compared:
    """What a study compares on.

    Attributes:
        study: Its name.
        split: Which perturbations.
        families: Name of each perturbation's family, (n_perturbations,).
        n_seeds: Seeds of each variant, the fewest.
        n_tests: Comparisons of a metric that are corrected together.
        n_of_group: Effect size to its number of perturbations.
    """

    study: str
    split: str
    families: tuple[str, ...]
    n_seeds: int
    n_tests: int
    n_of_group: Mapping[str, int] = field(default_factory=dict)


def describe_compared(frame: pd.DataFrame, n_variants: int) -> Compared:
    """Count what a study compares on.

    Args:
        frame: Its long table, of one split.
        n_variants: Variants, or weights of one reading of the loss, with what they are compared with.
    """
    perturbations = frame.drop_duplicates("perturbation")
    seeds = frame.groupby("variant", observed=True)["seed"].nunique()
    return Compared(
        study=str(frame["study"].iloc[0]),
        split=str(frame["split"].iloc[0]),
        families=tuple(map(str, perturbations["family"])),
        n_seeds=int(seeds.min()),
        # In each group of effect sizes, and in all together.
        n_tests=(n_variants - 1) * (perturbations["effect_size"].nunique() + 1),
        n_of_group={str(group): n for group, n in perturbations["effect_size"].value_counts().items()},
    )


def find_certainty(compared: Sequence[Compared], picks: Mapping[str, Pick]) -> Finding:
    """Say on how many perturbations and seeds the answers stand, and what chance the picks lost again.

    Args:
        compared: Of each study that compares variants.
        picks: Search to what was picked from it.
    """
    told = []
    for search, pick in picks.items():
        if pick.reevaluated is not None and pd.notna(drop := pick.reevaluated["drop"].iloc[0]):
            label = find_metric(pick.metric).label
            side = "above" if drop < 0 else "below"
            whose = f"the {label} of the pick from '{search}'" if len(picks) > 1 else f"the pick's {label}"
            told.append(f"on fresh seeds, {whose} was {write_number(abs(drop))} {side} its search's")
    by_basis: dict[str, list[str]] = {}
    for one in compared:
        n_families = len(set(one.families))
        basis = (
            f"{format_count(len(one.families), f'{one.split} perturbation')} of {n_families} "
            f"{'family' if n_families == 1 else 'families'} and {format_count(one.n_seeds, 'seed')}"
        )
        by_basis.setdefault(basis, []).append(f"'{one.study}'")
    told += [
        f"{join_words(names)} {'stands' if len(names) == 1 else 'stand'} on {basis}"
        for basis, names in by_basis.items()
    ]
    if compared:
        told.append(
            f"intervals are of {CONFIDENCE:.0%} over families and seeds, p are after Holm's correction"
        )
    if not told:
        told = ["none of these studies compares variants"]
    is_weak = not compared or any(_warn(one) for one in compared)
    return Finding("certainty", f"How sure: {'; '.join(told)}.", (), UNDECIDED if is_weak else SUPPORTED)


def find_undecided(claims: pd.DataFrame | None, topics: Collection[str]) -> Finding:
    """Say what the data could not decide, and what was not asked.

    Args:
        claims: From `analysis.claims.summarize_claims`, of any number of studies; None without any.
        topics: Topics of the findings that there are.
    """
    told = []
    if claims is not None:
        of_metric = claims[claims["metric"] == METRIC]
        undecided = of_metric[of_metric["verdict"] == UNDECIDED]
        told.append(_write_claims(of_metric, undecided))
        n_empty = int((of_metric["verdict"] == EMPTY).sum())
        told += [f"{n_empty} of them {'is' if n_empty == 1 else 'are'} not tested"] if n_empty else []
    missing = [question for topic, question in ASKED.items() if topic not in topics]
    if missing:
        told.append(f"not asked was {join_words(missing)}")
    is_decided = claims is not None and not len(undecided) and not n_empty and not missing
    words = "; ".join(told) or "nothing that was asked"
    return Finding("undecided", f"Undecided: {words}.", (), SUPPORTED if is_decided else UNDECIDED)


def _write_claims(claims: pd.DataFrame, undecided: pd.DataFrame) -> str:
    label, n_claims = find_metric(METRIC).label, format_count(len(claims), "claim")
    if undecided.empty:
        return f"none of {n_claims} of the paper in {label}"
    groups: dict[str, list[str]] = {}
    n_readings = claims.groupby("claim")["reading"].nunique()
    for claim, reading, group in undecided[["claim", "reading", "group"]].to_numpy():
        read = f", read as '{reading}'" if n_readings[claim] > 1 else ""
        groups.setdefault(f"{claim}{read}", []).append(str(group))
    named = [f"{claim} ({', '.join(of_claim)})" for claim, of_claim in groups.items()]
    return f"{len(undecided)} of {n_claims} of the paper in {label}, that {'; that '.join(named)}"


def warn_of(compared: Sequence[Compared]) -> list[str]:
    """List what weakens comparisons, each sentence once, with the studies that it is about."""
    studies: dict[str, list[str]] = {}
    for one in compared:
        for sentence in _warn(one):
            studies.setdefault(sentence, []).append(f"'{one.study}'")
    return [f"{join_words(names)}: {sentence}" for sentence, names in studies.items()]


def _warn(compared: Compared) -> list[str]:
    warnings = warn_of_tests(compared.families, compared.n_seeds, compared.n_tests)
    few = {group: n for group in EFFECT_SIZES if 0 < (n := compared.n_of_group.get(group, 0)) < FEW}
    if few:
        counts = join_words([format_count(n, "perturbation") for n in few.values()])
        warnings.append(f"Intervals are rough for {group_effects(few)} ({counts}).")
    return warnings
