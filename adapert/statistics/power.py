"""What comparisons can show, before any is made: what they detect, and the smallest p they reach."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri, stdtrit

from adapert.errors import format_count
from adapert.statistics.families import FEWEST_FAMILIES, design_effect
from adapert.statistics.two_level import CONFIDENCE, TAILS

POWER = 0.8
"""Share of the cases in which a difference of the detectable size is found."""

TYPICAL_SD, TYPICAL_SEED_SD, TYPICAL_ICC = 0.11, 0.01, 0.2
"""Of paired differences in Pearson-delta on K562 (AdaPert minus ridge, test perturbations): SD over
perturbations, between seeds, and correlation within families."""

FEWEST_SEEDS = 3
"""Seeds without which the variance between seeds is hardly known."""


def smallest_p(n: int) -> float:
    """Compute the smallest two-sided p of signed ranks over n perturbations or families: 2 / 2^n."""
    return float(min(2.0 ** (1 - n), 1.0))


def detectable_difference(
    family_sizes: Sequence[int],
    n_seeds: int,
    sd: float = TYPICAL_SD,
    seed_sd: float = TYPICAL_SEED_SD,
    icc: float = TYPICAL_ICC,
) -> float:
    """Compute the mean difference that a two-sided test at .05 finds in `POWER` of the cases, about.

    (t_.975 + t_.8) standard errors, SE^2 = D sd^2 / n + seed_sd^2 / n_seeds with the design effect D, at
    Satterthwaite's degrees of freedom; those of the first part are one less than there are families.

    Args:
        family_sizes: Number of perturbations of each family, two families or more.
        n_seeds: One or more; one says nothing of other seeds, and its part is left out.
        sd: SD of the differences over perturbations.
        seed_sd: SD that seeds give all perturbations at once.
        icc: Correlation of differences within families.
    """
    sizes = np.asarray(family_sizes, dtype=np.float64)
    parts = [(design_effect(sizes, icc) * sd**2 / sizes.sum(), len(sizes) - 1)]
    if n_seeds > 1:
        parts.append((seed_sd**2 / n_seeds, n_seeds - 1))
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / own for part, own in parts)
    return float((stdtrit(freedom, TAILS[1]) + stdtrit(freedom, POWER)) * np.sqrt(variance))


DETECTED_PER_HALF_WIDTH = float((ndtri(TAILS[1]) + ndtri(POWER)) / ndtri(TAILS[1]))
"""Detectable difference over half the width of an interval, of a normal distribution."""


def describe_power(families: Sequence[str], n_seeds: int) -> str:
    """Say what difference some perturbations and seeds can detect, and under which assumptions.

    Args:
        families: Name of each perturbation's family, (n_perturbations,).
        n_seeds: Number of seeds of each model.
    """
    sizes = np.unique(families, return_counts=True)[1].tolist()
    n = len(families)
    if len(sizes) < 2:
        return f"{n} perturbations of one family can detect no difference: nothing tells how families differ."
    smallest = detectable_difference(sizes, n_seeds)
    seeds = "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"
    return (
        f"Power: {n} perturbations of {len(sizes)} families and {seeds} detect a difference in Pearson-delta "
        f"of about {smallest:.3f} in {POWER:.0%} of cases (two-sided p below {1 - CONFIDENCE:.2g}, one "
        f"comparison; assumed, as on K562: SD of differences {TYPICAL_SD:g} over perturbations and "
        f"{TYPICAL_SEED_SD:g} between seeds, ICC {TYPICAL_ICC:g})."
    )


def warn_of_tests(families: Sequence[str], n_seeds: int, n_tests: int) -> list[str]:
    """Warn where no p can pass, or hardly any, in a sentence each.

    Args:
        families: Name of each perturbation's family, (n_perturbations,).
        n_seeds: Number of seeds of each model.
        n_tests: Comparisons of a metric that are corrected together.
    """
    warnings = []
    n, n_families = len(families), len(set(families))
    level = 1 - CONFIDENCE
    least = smallest_p(n)
    over = f"Holm's correction over {format_count(n_tests, 'test')}"
    corrected = f", and {min(least * n_tests, 1):.2g} after {over}" if n_tests > 1 else ""
    if least * n_tests >= level:
        warnings.append(
            f"No p can pass: the smallest of {n} perturbations is {least:.2g}{corrected}. Compare on more "
            "perturbations."
        )
    elif smallest_p(n_families) * n_tests >= level:
        warnings.append(
            f"Where members of families correlate, no p can pass: the smallest of {n_families} families is "
            f"{smallest_p(n_families):.2g}{f', before {over}' if n_tests > 1 else ''}."
        )
    if n_families < FEWEST_FAMILIES:
        warnings.append(
            f"With {n_families} families of perturbations, fewer than {FEWEST_FAMILIES}, intervals may be "
            "too narrow."
        )
    if n_seeds == 1:
        warnings.append(
            "One seed says nothing about other seeds: every p is about this one fit. Give --seeds 3 or more."
        )
    elif n_seeds < FEWEST_SEEDS:
        times = stdtrit(n_seeds - 1, TAILS[1])
        warnings.append(
            f"With {n_seeds} seeds hardly any p can pass: a difference must be {times:.0f} times the "
            f"standard error that they show between seeds. Give --seeds {FEWEST_SEEDS} or more."
        )
    return warnings
