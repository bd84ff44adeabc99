"""Whether importance intervals cover the truth: functions of six fields with known variance shares.

python -m benchmarks importance --replicates 200

Each replicate draws a scrambled Sobol sequence, adds normal noise, and asks for the shares of all fields, all
pairs and the rest. A line a function and kind of part: how often the 95 % intervals cover the analytic value.
The last lines give Optuna's fANOVA on the same trials: the share of its intervals (bootstrap over trials)
that cover the analytic value of a field.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats.qmc import Sobol

from adapert.records import OBJECTIVE, TrialStatus
from adapert.seeding import numpy_generator
from analysis.importance import REST, field_positions, summarize_importance
from benchmarks.measurement import build_parser

FloatArray = NDArray[np.float64]

FIELDS = (
    "loss.lambda_non",
    "loss.lambda_align",
    "loss.huber_delta",
    "model.tau",
    "model.threshold",
    "graph.top_k",
)
CHOICES = (5, 10, 20, 50)
N_FANOVA_RESAMPLES = 20
LEAST_COVERAGE = 0.9
"""Least coverage of a function's fields and pairs that have an effect; of all where none has."""


@dataclass(frozen=True)
class KnownFunction:
    """A function on the unit cube and its analytic variances.

    Attributes:
        evaluate: Settings (n_configs, 6), the last one a choice of four, to responses (n_configs,).
        variances: Places of one or two fields to the variance that they cause; others cause none.
        variance: Variance of the function, with what more than two fields do together.
    """

    evaluate: Callable[[FloatArray], FloatArray]
    variances: Mapping[tuple[int, ...], float]
    variance: float


def ishigami() -> KnownFunction:
    """Build Ishigami's function, sin x1 + 7 sin^2 x2 + 0.1 x3^4 sin x1 on [-pi, pi]; the rest is inert."""

    def evaluate(settings: FloatArray) -> FloatArray:
        x = np.pi * (2 * settings - 1)
        return np.asarray(np.sin(x[:, 0]) * (1 + 0.1 * x[:, 2] ** 4) + 7 * np.sin(x[:, 1]) ** 2)

    variances = {
        (0,): (1 + 0.1 * np.pi**4 / 5) ** 2 / 2,
        (1,): 49 / 8,
        (0, 2): 0.01 * np.pi**8 * (1 / 18 - 1 / 50),
    }
    return KnownFunction(evaluate, variances, sum(variances.values()))


def sobol_g() -> KnownFunction:
    """Build Sobol's g, prod_j (|4 u_j - 2| + a_j) / (1 + a_j): kinks, and all fields act together."""
    a = np.array([0.5, 1.0, 2.0, 4.5, 9.0])

    def evaluate(settings: FloatArray) -> FloatArray:
        return np.asarray(((np.abs(4 * settings[:, : len(a)] - 2) + a) / (1 + a)).prod(axis=1))

    own = 1 / (3 * (1 + a) ** 2)
    variances: dict[tuple[int, ...], float] = {(j,): float(own[j]) for j in range(len(a))}
    variances |= {(j, k): float(own[j] * own[k]) for j, k in combinations(range(len(a)), 2)}
    return KnownFunction(evaluate, variances, float(np.prod(1 + own) - 1))


Term = tuple[float, Mapping[int, Callable[[FloatArray], FloatArray]]]


def sum_of_products(terms: Sequence[Term]) -> KnownFunction:
    """Build a sum of products of one-field functions, each taken off its mean: a term a set of fields."""
    grid = (np.arange(4096) + 0.5) / 4096  # the means and variances are this quadrature's
    factors = [{j: (h, float(h(grid).mean())) for j, h in product.items()} for _, product in terms]

    def evaluate(settings: FloatArray) -> FloatArray:
        response = np.zeros(len(settings))
        for (size, _), product in zip(terms, factors, strict=True):
            response += size * np.prod([h(settings[:, j]) - mean for j, (h, mean) in product.items()], axis=0)
        return response

    variances = {
        tuple(sorted(product)): size**2 * float(np.prod([h(grid).var() for h in product.values()]))
        for size, product in terms
    }
    return KnownFunction(evaluate, variances, sum(variances.values()))


def _rise(u: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(12) * u)


def _hump(u: FloatArray) -> FloatArray:
    return np.asarray(-np.sqrt(180) * (u - 0.5) ** 2)


def _cliff(u: FloatArray) -> FloatArray:
    return np.asarray(-2.5 / (1 + np.exp(-40 * (u - 0.8))))


def _choice(u: FloatArray) -> FloatArray:
    levels = np.array([-1.2, -0.3, 0.4, 1.1])
    return np.asarray(levels[np.minimum((u * 4).astype(int), 3)])


FUNCTIONS = {
    "no effect": KnownFunction(lambda settings: np.zeros(len(settings)), {}, 0.0),
    "additive": sum_of_products([(1, {0: _rise}), (0.7, {1: _hump}), (0.4, {2: _rise}), (0.5, {5: _choice})]),
    "pairs": sum_of_products(
        [(1, {0: _rise}), (0.3, {3: _hump}), (0.7, {0: _rise, 1: _rise}), (0.5, {2: _rise, 5: _choice})]
    ),
    "cliff": sum_of_products([(1, {0: _cliff}), (0.4, {1: _hump}), (0.8, {0: _cliff, 2: _rise})]),
    "Sobol g": sobol_g(),
    "Ishigami": ishigami(),
}


def draw_trials(function: KnownFunction, noise_share: float, seed: int, n_configs: int = 128) -> pd.DataFrame:
    """Draw the trials of an importance study of a known function.

    The function takes the place of training. Of a function without effect, all variance is noise.

    Returns:
        As `analysis.importance.load_importance`, as far as estimates need it.
    """
    generator = numpy_generator(seed, "importance trials")
    settings = Sobol(len(FIELDS), scramble=True, rng=generator).random(n_configs)
    is_choice = np.array([field == "graph.top_k" for field in FIELDS])
    choices = (settings * len(CHOICES)).astype(int)
    settings = np.where(is_choice, (choices + 0.5) / len(CHOICES), settings)
    noise = noise_variance(function, noise_share)
    response = function.evaluate(settings) + generator.normal(0, np.sqrt(noise), n_configs)
    frame = pd.DataFrame(settings, columns=list(FIELDS))
    frame["graph.top_k"] = np.array(CHOICES)[choices[:, is_choice.argmax()]]
    return frame.assign(study="importance", status=TrialStatus.FINISHED.value, **{OBJECTIVE: response})


def noise_variance(function: KnownFunction, noise_share: float) -> float:
    """Compute the noise that makes up a share of the variance."""
    return function.variance * noise_share / (1 - noise_share) if function.variance else 1.0


def known_shares(function: KnownFunction, noise_share: float, summary: pd.DataFrame) -> FloatArray:
    """Compute the analytic share of each row of `summarize_importance`, the rest included."""
    total = function.variance + noise_variance(function, noise_share)
    place = {field: index for index, field in enumerate(FIELDS)}
    shares = []
    for field, other, kind in summary[["field", "other", "kind"]].itertuples(index=False):
        key = () if kind == REST else tuple(sorted(place[name] for name in (field, other) if name))
        shares.append(function.variances.get(key, 0.0) / total)
    rest = summary["kind"].to_numpy() == REST
    return np.where(rest, 1 - sum(shares), shares)


def measure_coverage(
    function: KnownFunction, noise_share: float, n_replicates: int, n_configs: int
) -> pd.DataFrame:
    """Estimate the same shares from many studies.

    Returns:
        One row a replicate and part: kind, truth, importance, is_covered, is_real (above 0.4 %).
    """
    rows = []
    for replicate in range(n_replicates):
        trials = draw_trials(function, noise_share, replicate, n_configs)
        summary = summarize_importance(trials, FIELDS, seed=replicate)
        truth = known_shares(function, noise_share, summary)
        is_covered = (summary["low"] <= truth + 1e-12) & (truth <= summary["high"])
        rows.append(summary[["kind", "importance"]].assign(truth=truth, is_covered=is_covered))
    return pd.concat(rows, ignore_index=True).assign(is_real=lambda frame: frame["truth"] > 0.004)


def measure_fanova(function: KnownFunction, noise_share: float, n_replicates: int) -> Iterator[bool]:
    """Say of each field that matters whether fANOVA's interval (bootstrap over trials) covers its share."""
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.importance import FanovaImportanceEvaluator
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions: dict[str, BaseDistribution] = dict.fromkeys(FIELDS, FloatDistribution(0, 1))
    distributions["graph.top_k"] = CategoricalDistribution(CHOICES)
    evaluator = FanovaImportanceEvaluator(n_trees=32, seed=0)
    total = function.variance + noise_variance(function, noise_share)
    for replicate in range(n_replicates):
        trials = draw_trials(function, noise_share, replicate)
        generator = numpy_generator(replicate, "fANOVA resamples")
        draws = []
        for drawn in generator.integers(len(trials), size=(N_FANOVA_RESAMPLES, len(trials))):
            resample = trials.iloc[drawn]
            # Ranges by their rank from 0 to 1, as `summarize_importance` takes them.
            settings = pd.DataFrame({field: field_positions(resample[field]) for field in FIELDS})
            settings["graph.top_k"] = resample["graph.top_k"].to_numpy()
            study = optuna.create_study(direction="maximize")
            study.add_trials(
                create_trial(
                    value=value, params=dict(zip(FIELDS, row, strict=True)), distributions=distributions
                )
                for value, row in zip(
                    resample[OBJECTIVE], settings.itertuples(index=False, name=None), strict=True
                )
            )
            found = evaluator.evaluate(study)
            draws.append([found[field] for field in FIELDS])
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        for key, variance in function.variances.items():
            if len(key) == 1:
                yield bool(low[key[0]] <= variance / total <= high[key[0]])


def main(arguments: list[str]) -> None:
    """Print coverage by function, noise and kind of part; exit 1 where one function falls short."""
    parser = build_parser("benchmarks importance", __doc__)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--configs", type=int, default=128)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.1, 0.3])
    parser.add_argument("--functions", nargs="+", choices=list(FUNCTIONS), default=list(FUNCTIONS))
    parser.add_argument("--fanova", type=int, default=20, help="replicates of Optuna's fANOVA")
    chosen = parser.parse_args(arguments)
    is_ok = True
    for name in chosen.functions:
        for noise in chosen.noise:
            coverage = measure_coverage(FUNCTIONS[name], noise, chosen.replicates, chosen.configs)
            is_ok &= _print(name, noise, chosen.configs, coverage)
    for name in chosen.functions if chosen.fanova else []:
        covered = list(measure_fanova(FUNCTIONS[name], chosen.noise[-1], chosen.fanova))
        if covered:
            print(
                f"{name}, noise {chosen.noise[-1]:.0%}: Optuna's fANOVA covers {np.mean(covered):.1%}",
                flush=True,
            )
    sys.exit(0 if is_ok else 1)


_WORDS = {True: "of effect", False: "of none"}


def _print(name: str, noise: float, n_configs: int, coverage: pd.DataFrame) -> bool:
    for (kind, is_real), rows in coverage.groupby(["kind", "is_real"]):
        print(
            f"{name}, noise {noise:.0%}, {n_configs} configs, {kind} {_WORDS[bool(is_real)]}: "
            f"truth {rows['truth'].mean():.3f}, estimate {rows['importance'].mean():.3f}, "
            f"covered {rows['is_covered'].mean():.1%} of {len(rows)}",
            flush=True,
        )
    parts = coverage[coverage["kind"] != REST]
    judged = parts[parts["is_real"]] if parts["is_real"].any() else parts
    return bool(judged["is_covered"].mean() >= LEAST_COVERAGE)
