"""How often intervals cover a known truth, and how often tests find what is not there.

    python -m benchmarks coverage --simulations 2000 --seed 0
    python -m benchmarks coverage --grid families

Simulates paired differences of a variant and a reference, (n_seeds, n_perturbations), as the sum of an effect
of each perturbation, an effect of each seed that all perturbations share, and noise. The truth is the mean
over both populations, of perturbations and of seeds: 0. Prints a line for each scenario and size: coverage of
the 95 % interval; its mean width over that of the best interval, with all variances known; how often equal
variants have a p of at most .05, by Wilcoxon's test alone and as `p`; and how often any p of a test family of
equal variants is at most .05 after Holm's correction. A scenario's "seed SD" is its variation between seeds.

In the grid of families, effects correlate within families by the ICC: families of 8, or a few large ones and
many of one perturbation, as complexes are among essential genes (sizes fall with a power of their rank). Its
lines also show the coverage of the interval that takes perturbations for independent. Exits 0 only if every
line with at least 30 perturbations (of families: `FEWEST_FAMILIES`) and 3 seeds is within its bounds, three
binomial standard errors of the simulations allowed. `--grid few` shows how many families are needed. A grid
takes half an hour.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import stats

from adapert.seeding import numpy_generator
from adapert.statistics.families import FEWEST_FAMILIES
from adapert.statistics.paired import compare_pairs
from adapert.statistics.significance import holm
from adapert.statistics.two_level import CONFIDENCE
from benchmarks.measurement import build_parser

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SIZES = (10, 30, 100, 300)
SEEDS = (1, 3, 5)
FAMILY_SIZE = 8
RELATED_SIZES = (20, 80, 300)
RELATED_SEEDS = (3, 5)
FEW_SIZES = tuple(FAMILY_SIZE * n_families for n_families in (3, 4, 5, 6, 8, 10, 15))
LEVEL = 0.05
N_RESAMPLES = 1000
COVERAGE = (0.93, 0.97)
FEWEST_PERTURBATIONS, FEWEST_SEEDS = 30, 3
N_VARIANTS = 4
N_GROUPS = 3


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What differences are made of.

    Attributes:
        perturbations: SD of a perturbation's own effect.
        seeds: SD of what all perturbations of a seed share.
        noise: SD of what is left.
        shape: Distribution of the first and the last: ``"normal"``, ``"heavy"`` (Student's t of 3 degrees of
            freedom) or ``"skewed"`` (exponential).
        stream: Name of its random draws; the scenario's own if empty.
        families: ``"equal"`` of 8, ``"unequal"``, or ``"none"``.
        icc: Share of the variance of the perturbations' effects that is between families.
    """

    perturbations: float
    seeds: float
    noise: float
    shape: str = "normal"
    stream: str = ""
    families: str = "none"
    icc: float = 0.0

    def standard_error(self, n_seeds: int, n_perturbations: int) -> float:
        """SD of the mean difference over simulations."""
        noise = self.noise**2 / (n_seeds * n_perturbations)
        sizes = np.bincount(self.family(n_perturbations))
        design_effect = 1 + ((sizes**2).sum() / n_perturbations - 1) * self.icc
        effects = self.perturbations**2 / n_perturbations * design_effect
        return float(np.sqrt(effects + self.seeds**2 / n_seeds + noise))

    def family(self, n_perturbations: int) -> IntArray:
        """Number of each perturbation's family, (n_perturbations,)."""
        places = np.arange(n_perturbations)
        if self.families == "equal":
            return places // FAMILY_SIZE
        if self.families == "unequal":
            sizes = np.maximum(1, (0.14 * n_perturbations / (places + 1) ** 0.9).astype(int))
            return np.repeat(places, sizes)[:n_perturbations]
        return places


# The streams keep the draws behind the table of docs/statistics.md.
SCENARIOS = {
    "seed SD 0": Scenario(perturbations=1.0, seeds=0.0, noise=0.4, stream="no luck"),
    "seed SD .05": Scenario(perturbations=1.0, seeds=0.05, noise=0.4, stream="little luck"),
    "seed SD .15": Scenario(perturbations=1.0, seeds=0.15, noise=0.4, stream="some luck"),
    "seed SD .5": Scenario(perturbations=1.0, seeds=0.5, noise=0.4, stream="much luck"),
    "noise alone": Scenario(perturbations=0.0, seeds=0.0, noise=1.0),
    "noise, SD .2": Scenario(perturbations=0.0, seeds=0.2, noise=1.0, stream="noise and luck"),
    "heavy tails": Scenario(perturbations=1.0, seeds=0.05, noise=0.4, shape="heavy"),
    "skewed": Scenario(perturbations=1.0, seeds=0.05, noise=0.4, shape="skewed"),
}

# Of about the size of differences in Pearson-delta on K562: SD .11 over perturbations, .01 between seeds.
_RELATED = Scenario(perturbations=1.0, seeds=0.09, noise=0.45)
RELATED = {
    "independent": _RELATED,
    "independent, skewed": replace(_RELATED, shape="skewed"),
    **{
        f"{label}, ICC {icc:g}": replace(_RELATED, families=families, icc=icc)
        for label, families in (("families of 8", "equal"), ("unequal", "unequal"))
        for icc in (0.0, 0.2, 0.5)
    },
}
"""Scenarios of the grid of families."""

FEW = {f"few of 8, ICC {icc:g}": replace(_RELATED, families="equal", icc=icc) for icc in (0.2, 0.5)}
"""Scenarios that show how many families are needed."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a number of simulations gave.

    Attributes:
        coverage: Share of intervals that hold the truth.
        unrelated: The same of intervals that take perturbations for independent.
        width: Mean width over that of the interval with the variances known.
        false_wilcoxon: Share of p of `scipy.stats.wilcoxon` at most `LEVEL` where nothing differs.
        false_p: The same for the p that allows for seeds and families.
    """

    coverage: float
    unrelated: float
    width: float
    false_wilcoxon: float
    false_p: float

    def __str__(self) -> str:
        """Write the five columns of the table."""
        shares = f"{self.false_wilcoxon:<8.3f}  {self.false_p:<4.3f}"
        return f"{self.coverage:<8.3f}  {self.unrelated:<9.3f}  {self.width:<5.2f}  {shares}"


def simulate(
    scenario: Scenario, n_seeds: int, n_perturbations: int, generator: np.random.Generator
) -> FloatArray:
    """Draw paired differences of mean 0, (n_seeds, n_perturbations)."""
    effects = scenario.perturbations * _draw(scenario.shape, (1, n_perturbations), generator)
    if scenario.icc:
        family = scenario.family(n_perturbations)
        shared = scenario.perturbations * _draw(scenario.shape, (1, family.max() + 1), generator)[:, family]
        effects = np.sqrt(scenario.icc) * shared + np.sqrt(1 - scenario.icc) * effects
    between_seeds = scenario.seeds * generator.standard_normal((n_seeds, 1))
    noise = scenario.noise * _draw(scenario.shape, (n_seeds, n_perturbations), generator)
    return np.asarray(effects + between_seeds + noise)


def measure_rates(
    scenario: Scenario,
    n_seeds: int,
    n_perturbations: int,
    n_simulations: int,
    generator: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
) -> Rates:
    """Compare pairs of simulated variants, and count how often interval and p are right."""
    found = []
    families = scenario.family(n_perturbations).astype(str)
    for _ in range(n_simulations):
        variant, reference = (simulate(scenario, n_seeds, n_perturbations, generator) for _ in range(2))
        interval = compare_pairs(variant, generator, n_resamples, families)
        # Equal variants differ symmetrically, whatever the shape of either: so the ranks' null holds.
        equal = compare_pairs(variant - reference, generator, n_resamples, families)
        is_covered = [interval["low"] <= 0 <= interval["high"]]
        is_covered.append(interval["low_unrelated"] <= 0 <= interval["high_unrelated"])
        is_false = (equal["p_wilcoxon"] <= LEVEL, equal["p"] <= LEVEL)
        found.append((*is_covered, interval["high"] - interval["low"], *is_false))
    coverage, unrelated, width, false_wilcoxon, false_p = np.mean(np.array(found, dtype=float), axis=0)
    best = 2 * stats.norm.ppf((1 + CONFIDENCE) / 2) * scenario.standard_error(n_seeds, n_perturbations)
    return Rates(
        coverage=coverage,
        unrelated=unrelated,
        width=width / best,
        false_wilcoxon=false_wilcoxon,
        false_p=false_p,
    )


def measure_tests(
    scenario: Scenario,
    n_seeds: int,
    n_perturbations: int,
    n_simulations: int,
    generator: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
) -> float:
    """Count how often a test family of equal variants has any p of at most `LEVEL` after Holm's correction.

    It is `N_VARIANTS` variants against one reference, in `N_GROUPS` groups of perturbations
    and in all together; its tests are dependent, as they share the reference and the perturbations.
    """
    n_found = 0
    families = scenario.family(n_perturbations).astype(str)
    for _ in range(n_simulations):
        arms = [simulate(scenario, n_seeds, n_perturbations, generator) for _ in range(N_VARIANTS + 1)]
        places = np.arange(n_perturbations)
        # Groups that cut through families, as effect sizes do.
        groups = [places, *(places[start::N_GROUPS] for start in range(N_GROUPS))]
        p = [
            compare_pairs((arm - arms[0])[:, group], generator, n_resamples, families[group])["p"]
            for arm in arms[1:]
            for group in groups
        ]
        n_found += bool((holm(np.array(p)) <= LEVEL).any())
    return n_found / n_simulations


GRIDS: Mapping[str, Iterable[tuple[str, Scenario, int, int]]] = {
    "seeds": [
        (name, scenario, *sizes) for name, scenario in SCENARIOS.items() for sizes in product(SIZES, SEEDS)
    ],
    "families": [
        (name, scenario, *sizes)
        for name, scenario in RELATED.items()
        for sizes in product(RELATED_SIZES, RELATED_SEEDS)
    ],
    "few": [(name, scenario, size, 5) for name, scenario in FEW.items() for size in FEW_SIZES],
}


def main(words: list[str]) -> None:
    """Simulate every scenario in every size."""
    parser = build_parser("benchmarks coverage", __doc__)
    parser.add_argument("--grid", choices=GRIDS, help="of one kind only")
    parser.add_argument("--simulations", type=int, default=1000, help="of each line's intervals")
    parser.add_argument("--tests", type=int, default=200, help="test families of each line")
    parser.add_argument("--resamples", type=int, default=N_RESAMPLES, help="of each interval")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    print(
        f"{'scenario':<22}  perturbations  families  seeds  coverage  unrelated  width  wilcoxon  p     "
        "test family"
    )
    is_ok = True
    for grid in [arguments.grid] if arguments.grid else GRIDS:
        for name, scenario, n_perturbations, n_seeds in GRIDS[grid]:
            stream = f"{scenario.stream or name}/{n_perturbations}/{n_seeds}"
            generator = numpy_generator(arguments.seed, stream)
            sizes = (scenario, n_seeds, n_perturbations)
            rates = measure_rates(*sizes, arguments.simulations, generator, arguments.resamples)
            share = measure_tests(*sizes, arguments.tests, generator, arguments.resamples)
            n_families = int(scenario.family(n_perturbations).max()) + 1
            verdict = ""
            is_large = n_families >= (FEWEST_PERTURBATIONS if grid == "seeds" else FEWEST_FAMILIES)
            if is_large and n_seeds >= FEWEST_SEEDS:
                is_held = is_within(rates.coverage, share, arguments.simulations, arguments.tests)
                verdict, is_ok = "ok" if is_held else "short", is_ok and is_held
            counts = f"{n_perturbations:<13}  {n_families:<8}  {n_seeds:<5}"
            print(f"{name:<22}  {counts}  {rates}  {share:<11.3f}  {verdict}".rstrip(), flush=True)
    sys.exit(0 if is_ok else 1)


def is_within(coverage: float, share: float, n_simulations: int, n_tests: int) -> bool:
    """Check a line against its bounds, `COVERAGE` and `LEVEL`, each with three binomial standard errors."""
    low, high = (
        bound + side * binomial_error(bound, n_simulations)
        for bound, side in zip(COVERAGE, (-3, 3), strict=True)
    )
    return bool(low <= coverage <= high and share <= LEVEL + 3 * binomial_error(LEVEL, n_tests))


def binomial_error(rate: float, n: int) -> float:
    """SD of the observed share of an event of this rate in n trials."""
    return float(np.sqrt(rate * (1 - rate) / n))


def _draw(shape: str, size: tuple[int, int], generator: np.random.Generator) -> FloatArray:
    """Draw values of mean 0 and SD 1."""
    if shape == "heavy":
        return np.asarray(generator.standard_t(3, size) / np.sqrt(3))
    if shape == "skewed":
        return generator.standard_exponential(size) - 1
    return generator.standard_normal(size)
