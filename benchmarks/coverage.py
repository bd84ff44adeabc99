"""How often intervals cover a known truth, and how often tests find what is not there.

    python -m benchmarks coverage --simulations 2000 --seed 0

Simulates paired differences of a variant and a reference, (n_seeds, n_perturbations), as the sum of an effect
of each perturbation, an effect of each seed that all perturbations share, and noise. The truth is the mean
over both populations, of perturbations and of seeds: 0. Prints a line for each scenario and size: coverage of
the 95 % interval; its mean width over that of the best interval, with all variances known; how often equal
variants have a p of at most .05, by Wilcoxon's test alone and with the variance between seeds; and how often
any p of a family of equal variants is at most .05 after Holm's correction. Takes half an hour. Exits 0 only
if every line with at least 30 perturbations and 3 seeds is within its bounds, three binomial standard errors
of the simulations allowed. A scenario's "seed SD" is its variation between seeds.
"""

import sys
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import stats

from adapert.seeding import numpy_generator
from adapert.statistics.paired import compare_pairs
from adapert.statistics.significance import holm
from adapert.statistics.two_level import CONFIDENCE
from benchmarks.measurement import build_parser

FloatArray = npt.NDArray[np.float64]

SIZES = (10, 30, 100, 300)
SEEDS = (1, 3, 5)
LEVEL = 0.05
N_RESAMPLES = 1000
COVERAGE = (0.93, 0.97)
FEWEST_PERTURBATIONS, FEWEST_SEEDS = 30, 3
FAMILY_VARIANTS = 4
FAMILY_GROUPS = 3


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
    """

    perturbations: float
    seeds: float
    noise: float
    shape: str = "normal"
    stream: str = ""

    def standard_error(self, n_seeds: int, n_perturbations: int) -> float:
        """SD of the mean difference over simulations."""
        noise = self.noise**2 / (n_seeds * n_perturbations)
        return float(np.sqrt(self.perturbations**2 / n_perturbations + self.seeds**2 / n_seeds + noise))


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


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a number of simulations gave.

    Attributes:
        coverage: Share of intervals that hold the truth.
        width: Mean width over that of the interval with the variances known.
        false_wilcoxon: Share of p of `scipy.stats.wilcoxon` at most `LEVEL` where nothing differs.
        false_p: The same for the p that allows for the variance between seeds.
    """

    coverage: float
    width: float
    false_wilcoxon: float
    false_p: float

    def __str__(self) -> str:
        """Write the four columns of the table."""
        shares = f"{self.false_wilcoxon:<8.3f}  {self.false_p:<4.3f}"
        return f"{self.coverage:<8.3f}  {self.width:<5.2f}  {shares}"


def simulate(
    scenario: Scenario, n_seeds: int, n_perturbations: int, generator: np.random.Generator
) -> FloatArray:
    """Draw paired differences of mean 0, (n_seeds, n_perturbations)."""
    effects = scenario.perturbations * _draw(scenario.shape, (1, n_perturbations), generator)
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
    for _ in range(n_simulations):
        variant, reference = (simulate(scenario, n_seeds, n_perturbations, generator) for _ in range(2))
        interval = compare_pairs(variant, generator, n_resamples)
        # Equal variants differ symmetrically, whatever the shape of either: so the ranks' null holds.
        equal = compare_pairs(variant - reference, generator, n_resamples)
        is_covered = interval["low"] <= 0 <= interval["high"]
        is_false = (equal["p_wilcoxon"] <= LEVEL, equal["p"] <= LEVEL)
        found.append((is_covered, interval["high"] - interval["low"], *is_false))
    coverage, width, false_wilcoxon, false_p = np.mean(np.array(found, dtype=float), axis=0)
    best = 2 * stats.norm.ppf((1 + CONFIDENCE) / 2) * scenario.standard_error(n_seeds, n_perturbations)
    return Rates(coverage=coverage, width=width / best, false_wilcoxon=false_wilcoxon, false_p=false_p)


def measure_family(
    scenario: Scenario,
    n_seeds: int,
    n_perturbations: int,
    n_simulations: int,
    generator: np.random.Generator,
    n_resamples: int = N_RESAMPLES,
) -> float:
    """Count how often a family of equal variants has any p of at most `LEVEL` after Holm's correction.

    The family is `FAMILY_VARIANTS` variants against one reference, in `FAMILY_GROUPS` groups of perturbations
    and in all together; its tests are dependent, as they share the reference and the perturbations.
    """
    n_found = 0
    for _ in range(n_simulations):
        arms = [simulate(scenario, n_seeds, n_perturbations, generator) for _ in range(FAMILY_VARIANTS + 1)]
        groups = [np.arange(n_perturbations), *np.array_split(np.arange(n_perturbations), FAMILY_GROUPS)]
        p = [
            compare_pairs((arm - arms[0])[:, group], generator, n_resamples)["p"]
            for arm in arms[1:]
            for group in groups
        ]
        n_found += bool((holm(np.array(p)) <= LEVEL).any())
    return n_found / n_simulations


def main(words: list[str]) -> None:
    """Simulate every scenario in every size."""
    parser = build_parser("benchmarks coverage", __doc__)
    parser.add_argument("--simulations", type=int, default=1000, help="of each line's intervals")
    parser.add_argument("--families", type=int, default=200, help="of each line's families of tests")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(words)
    print(f"{'scenario':<15}  perturbations  seeds  coverage  width  wilcoxon  p     family")
    is_ok = True
    for name, scenario in SCENARIOS.items():
        for n_perturbations, n_seeds in product(SIZES, SEEDS):
            generator = numpy_generator(
                arguments.seed, f"{scenario.stream or name}/{n_perturbations}/{n_seeds}"
            )
            sizes = (scenario, n_seeds, n_perturbations)
            rates = measure_rates(*sizes, arguments.simulations, generator)
            family = measure_family(*sizes, arguments.families, generator)
            verdict = ""
            if n_perturbations >= FEWEST_PERTURBATIONS and n_seeds >= FEWEST_SEEDS:
                is_held = is_within(rates.coverage, family, arguments.simulations, arguments.families)
                verdict, is_ok = "ok" if is_held else "short", is_ok and is_held
            line = f"{name:<15}  {n_perturbations:<13}  {n_seeds:<5}  {rates}  {family:<6.3f}  {verdict}"
            print(line.rstrip(), flush=True)
    sys.exit(0 if is_ok else 1)


def is_within(coverage: float, family: float, n_simulations: int, n_families: int) -> bool:
    """Check a line against its bounds, `COVERAGE` and `LEVEL`, each with three binomial standard errors."""
    low, high = (
        bound + side * binomial_error(bound, n_simulations)
        for bound, side in zip(COVERAGE, (-3, 3), strict=True)
    )
    return bool(low <= coverage <= high and family <= LEVEL + 3 * binomial_error(LEVEL, n_families))


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
