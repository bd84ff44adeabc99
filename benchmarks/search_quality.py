"""How good a search is for its time: samplers with and without early stopping, on a simulated clock.

    python -m benchmarks search_quality [--seeds 30] [--figure PNG] [--methods random,tpe+asha,...] [--vary]

Virtual workers train configs of problems whose learning curves are known: `learning_curves` made continuous,
and two standard functions. The suggestions and the rungs are the project's own. A worker that is free asks
for the next config, reports every epoch and tells how the trial ended, until the time is used up that random
search needs for `N_FULL_TRIALS` full trials. An epoch costs one unit, as measured: no hyperparameter makes it
slower.

At any time, the incumbent is the finished trial of best reported objective, as `adapert pick` has it: trials
that were stopped do not count. Its regret is (optimum - value) / (optimum - median of random configs), where
value is without the noise of the report: 0 is the optimum, 1 a random config, and 1 too before any finished.
The speed-up is the time of the whole random search over the time from which on the mean regret of a method is
as low as random's at its end. Intervals are 95 % bootstraps over seeds, the same seeds for each method.
"""

import math
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
import pandas as pd
from matplotlib.figure import Figure
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from adapert.records import OBJECTIVE, EndReason, TrialRecord, TrialStatus
from adapert.seeding import derive_seed, numpy_generator
from adapert.study.engine.comparisons import Comparisons
from adapert.study.engine.events import EpochReported, TrialAsked, TrialEnded
from adapert.study.engine.search import ConfigEnd, Suggestions
from adapert.study.engine.state import StudyState
from adapert.study.plan.study import FixedRung, LearnedRung, Search
from adapert.testing import SimulatedWorkers
from benchmarks.learning_curves import (
    Array,
    Surrogate,
    config_to_unit,
    drawn_configs,
    read_curves,
    truncate_curves,
)
from benchmarks.measurement import Measurement, build_parser
from search_spaces.adapert import SPACE

N_SEEDS = 30
N_WORKERS = 4
N_FULL_TRIALS = 64
"""Full trials' worth of time that every search has."""

START_EPOCHS = 1.0
"""What starting a trial costs, in epochs: data into memory, model and graph."""

N_RESAMPLES = 2000
STEPS_PER_TRIAL = 4
"""Times at which regret is read, for each full trial's worth."""

RANK_TIMES = (4, 16, 64)
TARGET_SPEED_UP = 5.0


@dataclass(frozen=True)
class Curve:
    """What a trial of a config would report.

    Attributes:
        reported: Best objective so far, an epoch each, (n_epochs,).
        value: The objective at the end, without noise.
    """

    reported: Array
    value: float


@dataclass(frozen=True)
class Problem:
    """A space whose learning curves are known.

    Attributes:
        name: One word.
        space: What is searched.
        max_epochs: Of a full trial.
        curve: From a config and the seed of the search to its curve.
        optimum: The best value.
        median: Of random configs' values.
    """

    name: str
    space: Mapping[str, BaseDistribution]
    max_epochs: int
    curve: Callable[[Mapping[str, Any], int], Curve]
    optimum: float
    median: float

    def regret(self, value: float) -> float:
        """Normalise a value: 0 is the optimum, 1 the median of random configs."""
        return (self.optimum - value) / (self.optimum - self.median)

    @property
    def horizon(self) -> float:
        """Time that every search has."""
        return N_FULL_TRIALS * (self.max_epochs + START_EPOCHS) / N_WORKERS


def build_adapert_problem(table_name: str, max_epochs: int) -> Problem:
    """Make tabulated runs continuous, with the tabulated noise between training seeds."""
    table = truncate_curves(read_curves(table_name), max_epochs)
    surrogate = Surrogate(table)
    drawn = np.array([config_to_unit(config) for config in drawn_configs(1024, "median")])

    def replay(config: Mapping[str, Any], seed: int) -> Curve:
        (curve,) = surrogate.curves(np.array([config_to_unit(config)]))
        noise = numpy_generator(seed, f"noise of {sorted(config.items())}")
        return Curve(surrogate.with_noise(curve, noise), float(curve[-1]))

    return Problem(
        name=f"{table_name}_{max_epochs}",
        space=SPACE,
        max_epochs=max_epochs,
        curve=replay,
        optimum=surrogate.optimum(),
        median=float(np.median(surrogate.final(drawn))),
    )


def branin(x: Array) -> float:
    """Branin on the unit square, negated; its optimum is -0.397887."""
    a, b = 15 * x[0] - 5, 15 * x[1]
    valley = b - 5.1 * a**2 / (4 * np.pi**2) + 5 * a / np.pi - 6
    return float(-(valley**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(a) + 10))


def hartmann6(x: Array) -> float:
    """Hartmann's function of six variables, negated; its optimum is 3.32237."""
    weights = np.array([1.0, 1.2, 3.0, 3.2])
    scales = np.array(
        [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
    )
    centres = 1e-4 * np.array(
        [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    )
    return float(weights @ np.exp(-(scales * (x - centres) ** 2).sum(axis=1)))


SLOWEST, FASTEST = 2.0, 6.0
"""Rates k of `build_standard_problem`."""

NOISE = 0.02
"""Standard deviation of a config's report, in units of the optimum minus the median."""


def build_standard_problem(
    name: str, function: Callable[[Array], float], n_fields: int, optimum: float, max_epochs: int = 40
) -> Problem:
    """Give a function f on the unit cube learning curves that cross.

    v(x, e) = b + (f(x) + s(x) - b) (1 - exp(-k(x) e / E)) / (1 - exp(-k(x))) at epoch e of E, cut below at b:
    all start from b = 2 median(f) - optimum and end at f(x) plus a fixed noise s(x), at rates
    k(x) = 2 * 3^((1 + cos(2 pi sum(x))) / 2), so that a slow good config is long behind a fast poor one.
    """
    space = {f"x{index}": FloatDistribution(0.0, 1.0) for index in range(n_fields)}
    drawn = numpy_generator(0, f"median of {name}").random((2**12, n_fields))
    median = float(np.median([function(point) for point in drawn]))
    spread = optimum - median
    progress = np.arange(1, max_epochs + 1) / max_epochs

    def curve(config: Mapping[str, Any], seed: int) -> Curve:
        x = np.array([config[field] for field in space])
        value = function(x)
        reported = value + NOISE * spread * numpy_generator(seed, f"noise of {x.tolist()}").normal()
        rate = SLOWEST * (FASTEST / SLOWEST) ** ((1 + np.cos(2 * np.pi * x.sum())) / 2)
        risen = (1 - np.exp(-rate * progress)) / (1 - np.exp(-rate))
        start = median - spread
        return Curve(start + max(reported - start, 0.0) * risen, value)

    return Problem(name, space, max_epochs, curve, optimum, median)


def build_problems() -> list[Problem]:
    """Build all problems."""
    return [
        build_adapert_problem("simulated", 40),
        build_adapert_problem("simulated", 200),
        build_adapert_problem("responses", 60),
        build_standard_problem("branin", branin, 2, -0.397887),
        build_standard_problem("hartmann6", hartmann6, 6, 3.32237),
    ]


class Suggester(Protocol):
    """Suggests configs by number, and is notified how they ended."""

    def suggest(self, number: int) -> dict[str, Any]:
        """Suggest a config."""

    def tell(self, number: int, end: ConfigEnd) -> None:
        """Tell how it ended."""


class OtherSuggestions(Suggestions):
    """The project's suggestions with a sampler of Optuna's that it does not offer."""

    def __init__(self, plan: Search, sampler: BaseSampler) -> None:
        super().__init__(plan, "search", InMemoryStorage())
        self._study.sampler = sampler

    def suggest(self, number: int) -> dict[str, Any]:
        """Ask for a config, and leave the sampler as it is."""
        # The project's own `suggest` would put its sampler in place of this one.
        self._trials[number] = self._study.ask(dict(self.plan.space))  # type: ignore[arg-type]  # no conditions
        return dict(self._trials[number].params)


def build_qmc(seed: int) -> BaseSampler:
    """Build a scrambled Sobol sequence; choices are drawn independently."""
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


# A Gaussian process with expected improvement does not look at stopped trials.
OTHER_SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "qmc": build_qmc,
    "gp": lambda seed: GPSampler(seed=seed),
}


@dataclass(frozen=True)
class Method:
    """A sampler, which rungs stop its trials, and how its best trial is found.

    Attributes:
        sampler: The project's or one of `OTHER_SAMPLERS`.
        plan: The rest, but for space and seed.
        has_asha: Whether rungs stop trials.
        min_share: Share of a problem's epochs at which the first rung is; None for the plan's own.
        has_race: Whether the leaders are trained with further seeds before one is chosen.
    """

    sampler: str
    plan: Search
    has_asha: bool = False
    min_share: float | None = None
    has_race: bool = False

    def plan_of(self, problem: Problem, seed: int) -> Search:
        """Plan of a search."""
        first_rung = self.plan.first_rung if self.has_asha else FixedRung(problem.max_epochs)
        if self.min_share is not None:
            first_rung = FixedRung(round(self.min_share * problem.max_epochs))
        return replace(self.plan, space=dict(problem.space), seed=seed, first_rung=first_rung)

    def suggestions(self, problem: Problem, seed: int) -> Suggester:
        """Begin a search."""
        plan = self.plan_of(problem, seed)
        if self.sampler in OTHER_SAMPLERS:
            sampler = OTHER_SAMPLERS[self.sampler](derive_seed(seed, "sampler") % 2**32)
            return OtherSuggestions(plan, sampler)
        return Suggestions(plan, "search", InMemoryStorage())


def build_method(name: str, min_share: float | None = None, **changes: Any) -> Method:
    """Build a method from its name and changes of the default plan.

    ``SAMPLER``, then ``+asha`` with the default first rung or ``+asha@EPOCH`` with that one, then ``+race``.
    """
    sampler, *further = name.split("+")
    stopping = next((word for word in further if word.startswith("asha")), "")
    own: dict[str, Any] = {} if sampler in OTHER_SAMPLERS else {"sampler": sampler}
    if epoch := stopping.partition("@")[2]:
        own["first_rung"] = FixedRung(int(epoch))
    plan = Search(space=SPACE, n_trials=N_FULL_TRIALS, **own, **changes)
    return Method(sampler, plan, bool(stopping), min_share, "race" in further)


METHODS = ("random", "tpe", "random+asha", "tpe+asha@1", "tpe+asha@10", "tpe+asha", "tpe+asha+race")
MORE_METHODS = ("qmc", "qmc+asha", "gp", "gp+asha")
"""Only on demand: a Gaussian process takes tenths of a second a suggestion."""


@dataclass(frozen=True)
class Finished:
    """A trial that ran to its end.

    Attributes:
        time: When it ended.
        reported: Its last report.
        value: The same without noise.
        config: Its config.
    """

    time: float
    reported: float
    value: float
    config: Mapping[str, Any] = field(default_factory=dict)


class SearchInProgress:
    """A search as an engine of `adapert.testing`: suggestions and comparisons alone, without a ledger."""

    def __init__(self, problem: Problem, plan: Search, suggestions: Suggester, seed: int) -> None:
        self._problem, self._suggestions, self._seed = problem, suggestions, seed
        self._state = StudyState()
        self._comparisons = Comparisons(plan, self._state, problem.max_epochs)
        self._curves: list[Curve] = []
        self.finished: list[Finished] = []
        self.clock: Callable[[], float] = lambda: 0.0

    def next_trial(self) -> TrialRecord:
        """Ask for a config; there is always another."""
        number = len(self._curves)
        config = self._suggestions.suggest(number)
        self._curves.append(self._problem.curve(config, self._seed))
        asked = TrialAsked(
            trial=str(number),
            number=number,
            variant="search",
            seed=self._seed,
            changes=config,
            suggested={},
            config_digest="",
        )
        self._state.see(asked)
        return self._state.records[asked.trial]

    def started(self, trial_id: str) -> None:
        """Nobody waits for it."""

    def report(self, record: TrialRecord, epoch: int) -> dict[str, Any]:
        """Look a trial's epoch up in its curve."""
        return {OBJECTIVE: float(self._curves[record.number].reported[epoch - 1]), "epoch": epoch}

    def reported(self, trial_id: str, report: Mapping[str, Any]) -> bool:
        """Decide whether a trial continues; tell the sampler how it ended if it does not."""
        record, value, epoch = self._state.records[trial_id], report[OBJECTIVE], report["epoch"]
        curve = self._curves[record.number]
        is_over = epoch == len(curve.reported)
        metrics = {OBJECTIVE: value}
        self._state.see(EpochReported(trial=trial_id, epoch=epoch, host="", is_over=is_over, metrics=metrics))
        if is_over:
            self._end(record, TrialStatus.FINISHED, EndReason.EPOCHS)
            self._suggestions.tell(record.number, ConfigEnd(TrialState.COMPLETE, value, epoch))
            self.finished.append(Finished(self.clock(), value, curve.value, record.changes))
            return False
        line = self._comparisons.compare(record)
        if line is None:
            return True
        self._state.see(line)
        if line.is_stopped:
            self._end(record, TrialStatus.STOPPED, EndReason.RUNG)
            self._suggestions.tell(record.number, ConfigEnd(TrialState.PRUNED, value, epoch))
        return not line.is_stopped

    def _end(self, record: TrialRecord, status: TrialStatus, reason: EndReason) -> None:
        self._state.see(TrialEnded(trial=record.trial_id, status=status, reason=reason, message=""))
        if line := self._comparisons.learn():
            self._state.see(line)
            self._comparisons.place()

    def should_close(self) -> bool:
        """The clock says when."""
        return False


def simulate(
    problem: Problem, plan: Search, suggestions: Suggester, seed: int, n_workers: int = N_WORKERS
) -> list[Finished]:
    """Search until the problem's time is used up; workers never wait for each other.

    The seed is that of the curves' noise.

    Returns:
        The trials that ran to their ends, in that order.
    """
    search = SearchInProgress(problem, plan, suggestions, seed)
    workers = SimulatedWorkers(
        search, search.report, n_workers, lambda _, epoch: 1.0 + START_EPOCHS * (epoch == 1)
    )
    search.clock = lambda: workers.now
    workers.run(until=problem.horizon)
    return search.finished


def read_times() -> Array:
    """Times at which regret is read, in full trials' worth."""
    return np.arange(1, N_FULL_TRIALS * STEPS_PER_TRIAL + 1) / STEPS_PER_TRIAL


def regret_over_time(problem: Problem, finished: Sequence[Finished]) -> Array:
    """Read the incumbent's regret at `read_times`; 1 before there is one."""
    times = read_times() * problem.horizon / N_FULL_TRIALS
    regrets, best = np.ones(len(times)), -np.inf
    for trial in finished:
        if trial.reported > best:
            best = trial.reported
            regrets[times >= trial.time] = problem.regret(trial.value)
    return regrets


N_LEADERS, N_FRESH = 3, 2
"""Best finished trials that race, and the seeds that each is trained with once more."""


def race_over_time(problem: Problem, finished: Sequence[Finished], seed: int) -> Array:
    """Read the regret at `read_times` of the best of the leaders by their mean over seeds.

    At each time the search has ended early enough for the leaders' further seeds to be trained, in full.
    """
    rounds = math.ceil(N_LEADERS * N_FRESH / N_WORKERS)
    times = read_times() * problem.horizon / N_FULL_TRIALS
    regrets, means = np.ones(len(times)), dict[int, float]()
    for place, until in enumerate(times - rounds * (problem.max_epochs + START_EPOCHS)):
        in_time = [number for number, trial in enumerate(finished) if trial.time <= until]
        leaders = sorted(in_time, key=lambda number: -finished[number].reported)[:N_LEADERS]
        for number in leaders:
            if number not in means:
                trial = finished[number]
                fresh = [problem.curve(trial.config, derive_seed(seed, f"race {n}")) for n in range(N_FRESH)]
                means[number] = float(np.mean([trial.reported, *(each.reported[-1] for each in fresh)]))
        if leaders:
            regrets[place] = problem.regret(finished[max(leaders, key=means.__getitem__)].value)
    return regrets


def run_method(problem: Problem, method: Method, n_seeds: int) -> Array:
    """Search with each seed; regrets, (n_seeds, n_times)."""
    rows = []
    for seed in range(n_seeds):
        plan, suggestions = method.plan_of(problem, seed), method.suggestions(problem, seed)
        finished = simulate(problem, plan, suggestions, seed)
        race = race_over_time(problem, finished, seed) if method.has_race else None
        rows.append(regret_over_time(problem, finished) if race is None else race)
    return np.array(rows)


def resampled_shares(n_seeds: int) -> Array:
    """Draw bootstrap samples of seeds: the share of each seed in each, after the sample itself.

    Returns:
        (1 + n_resamples, n_seeds); rows sum to 1.
    """
    generator = numpy_generator(0, "bootstrap")
    counts = generator.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), size=N_RESAMPLES)
    return np.vstack([np.ones(n_seeds), counts]) / n_seeds


def interval(resampled: Array) -> tuple[float, float, float]:
    """Estimate and ends of its 95 % interval, from the sample's statistic and the resamples' after it."""
    low, high = np.percentile(resampled[1:], [2.5, 97.5])
    return float(resampled[0]), float(low), float(high)


def speed_ups(regrets: Array, random_regrets: Array, shares: Array) -> Array:
    """Divide the time of the whole random search by the time at which a method is as good as its end.

    Regrets are (n_seeds, n_times), the shares of seeds (n_resamples, n_seeds).

    Returns:
        (n_resamples,); 1 where the method is not so good at its end, so that 1 means at most 1.
    """
    means, levels = shares @ regrets, (shares @ random_regrets)[:, -1]
    # From the end backwards: a mean that falls below the level for a while is chance.
    is_below = np.logical_and.accumulate((means <= levels[:, None] + 1e-12)[:, ::-1], axis=1)
    first = means.shape[1] - np.maximum(is_below.sum(axis=1), 1)
    times = read_times()
    return np.asarray(times[-1] / times[first])


Regrets = dict[str, dict[str, Array]]
"""Problem to method to regrets, (n_seeds, n_times)."""


SPEED_UP = ("speed_up", "speed_up_low", "speed_up_high")
REGRET = ("regret", "regret_low", "regret_high")


def summarize_speed_ups(regrets: Regrets) -> pd.DataFrame:
    """A row a method and problem, and the geometric mean over problems: speed-up and regret at the end."""
    rows: list[tuple[str | float, ...]] = []
    for method in next(iter(regrets.values())):
        logs = []
        for problem, of in regrets.items():
            shares = resampled_shares(len(of[method]))
            resampled = speed_ups(of[method], of["random"], shares)
            logs.append(np.log(resampled))
            regret = interval((shares @ of[method])[:, -1])
            rows.append((method, problem, *interval(resampled), *regret))
        rows.append((method, "geometric mean", *interval(np.exp(np.mean(logs, axis=0))), *[math.nan] * 3))
    return pd.DataFrame(rows, columns=["method", "problem", *SPEED_UP, *REGRET])


def summarize_ranks(regrets: Regrets) -> pd.DataFrame:
    """Mean rank of each method, 1 is best, over problems and seeds, at `RANK_TIMES`."""
    methods = list(next(iter(regrets.values())))
    # (n_problems, n_methods, n_seeds, n_times)
    stacked = np.array([[of[method] for method in methods] for of in regrets.values()])
    rows = []
    for full_trials in RANK_TIMES:
        at = stacked[..., full_trials * STEPS_PER_TRIAL - 1]
        ranks = pd.DataFrame(np.moveaxis(at, 1, -1).reshape(-1, len(methods))).rank(axis=1).to_numpy()
        by_seed = ranks.reshape(len(regrets), -1, len(methods)).mean(axis=0)  # (n_seeds, n_methods)
        resampled = resampled_shares(len(by_seed)) @ by_seed
        rows += [(name, full_trials, *interval(resampled[:, i])) for i, name in enumerate(methods)]
    return pd.DataFrame(rows, columns=["method", "full_trials", "rank", "low", "high"])


def summarize_regret(regrets: Regrets) -> pd.DataFrame:
    """Mean regret of each method over time, with its interval: a row a problem, method and time."""
    frames = []
    for problem, of in regrets.items():
        for method, rows in of.items():
            resampled = resampled_shares(len(rows)) @ rows
            low, high = np.percentile(resampled[1:], [2.5, 97.5], axis=0)
            values = {"time": read_times(), "regret": resampled[0], "low": low, "high": high}
            frames.append(pd.DataFrame({"problem": problem, "method": method, **values}))
    return pd.concat(frames, ignore_index=True)


N_COLUMNS = 3
COLOURS = {"random": "#8c8c8c", "qmc": "#c98a1b", "tpe": "#0b62a4", "gp": "#2a8c4a"}


LINES: dict[str, Any] = {"": "--", "asha": "-", "asha@10": "-.", "asha+race": (0, (5, 1, 1, 1))}


def plot_regret(summary: pd.DataFrame) -> Figure:
    """Draw mean regret over time, a panel a problem, a line style for each way of stopping early."""
    problems = list(dict.fromkeys(summary["problem"]))
    n_rows = math.ceil((len(problems) + 1) / N_COLUMNS)  # one more for the legend
    figure = Figure(figsize=(10, 3.1 * n_rows), layout="constrained")
    panels = [figure.add_subplot(n_rows, N_COLUMNS, 1 + place) for place in range(len(problems))]
    for panel, problem in zip(panels, problems, strict=True):
        of_problem = summary[summary["problem"] == problem]
        for method, rows in of_problem.groupby("method", sort=False):
            sampler, _, stopping = str(method).partition("+")
            look: dict[str, Any] = {"color": COLOURS[sampler], "linewidth": 1.6, "label": method}
            panel.plot(rows["time"], rows["regret"], linestyle=LINES.get(stopping, ":"), **look)
            panel.fill_between(
                rows["time"], rows["low"], rows["high"], color=COLOURS[sampler], alpha=0.12, linewidth=0
            )
        panel.set(title=problem, xscale="log", yscale="log", xlim=(1, N_FULL_TRIALS))
        panel.set_ylim(top=1.2)
        panel.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
        panel.tick_params(axis="x", which="minor", bottom=False)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel("time, in full trials' worth", fontsize="medium")
    figure.supylabel("mean normalised regret", fontsize="medium")
    legend = figure.add_subplot(n_rows, N_COLUMNS, 1 + len(problems))
    legend.axis("off")
    legend.legend(*panels[0].get_legend_handles_labels(), loc="center", frameon=False)
    return figure


def run_all(problems: Sequence[Problem], methods: Mapping[str, Method], n_seeds: int) -> Regrets:
    """Run every method on every problem."""
    regrets: Regrets = {}
    for problem in problems:
        regrets[problem.name] = {}
        for name, method in methods.items():
            started = time.perf_counter()
            regrets[problem.name][name] = run_method(problem, method, n_seeds)
            print(f"  {problem.name} {name}: {time.perf_counter() - started:.1f} s", flush=True)
    return regrets


VARIATIONS: Mapping[str, Sequence[Any]] = {
    "first_rung": (FixedRung(2), FixedRung(4), *(LearnedRung(n_trials=n) for n in (6, 12))),
    "min_share": (0.25, 0.5, 0.75),
    "reduction_factor": (2, 4),
    "n_startup": (4, 8, 16, 20),
}
"""Fields of `adapert.study.plan.study.Search`, and `Method.min_share`, to the values that are tried."""


def varied_methods() -> dict[str, Method]:
    """Change one default of tpe+asha at a time; all are compared with random search."""
    varied = {
        f"{field}={value}": build_method("tpe+asha", **{field: value})
        for field, values in VARIATIONS.items()
        for value in values
    }
    return {"random": build_method("random"), **varied}


def describe_speed_ups(summary: pd.DataFrame) -> str:
    """Write a line a method: speed-ups by problem, with intervals."""
    columns = summary[["speed_up", "speed_up_low", "speed_up_high", "regret"]]
    written = [
        f"{speed_up:.1f} ({low:.1f}-{high:.1f})" + ("" if math.isnan(regret) else f" {regret:.3f}")
        for speed_up, low, high, regret in columns.to_numpy()
    ]
    return _lay_out(summary.assign(written=written), "problem")


def describe_ranks(summary: pd.DataFrame) -> str:
    """Write a line a method: mean ranks by time, with intervals."""
    columns = summary[["rank", "low", "high"]].to_numpy()
    written = [f"{rank:.2f} ({low:.2f}-{high:.2f})" for rank, low, high in columns]
    return _lay_out(summary.assign(written=written), "full_trials")


def _lay_out(summary: pd.DataFrame, columns: str) -> str:
    """Write a row for each method, both sides in the order of the summary."""
    table = summary.pivot(index="method", columns=columns, values="written")
    ordered = table.loc[list(dict.fromkeys(summary["method"])), list(dict.fromkeys(summary[columns]))]
    return ordered.to_string(index_names=False)


def main(words: Sequence[str] | None = None) -> None:
    """Run, print the tables and draw the figure."""
    parser = build_parser("benchmarks search_quality", __doc__)
    parser.add_argument("--seeds", type=int, default=N_SEEDS)
    parser.add_argument("--methods", default=",".join(METHODS), help=f"more: {', '.join(MORE_METHODS)}")
    parser.add_argument(
        "--vary",
        action="store_true",
        help="defaults of tpe+asha instead, one at a time; not the long problem",
    )
    parser.add_argument("--figure", type=Path, help="PNG of regret over time")
    parser.add_argument("--out", type=Path, help="CSV of regret over time")
    arguments = parser.parse_args(words)
    names = dict.fromkeys(["random", *arguments.methods.split(",")])
    methods = varied_methods() if arguments.vary else {name: build_method(name) for name in names}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problems = [problem for problem in build_problems() if not arguments.vary or problem.max_epochs <= 60]
    regrets = run_all(problems, methods, arguments.seeds)
    speed = summarize_speed_ups(regrets)
    print(
        f"\nSpeed-up over random search (95 % interval), and mean regret at the end; {arguments.seeds} seeds"
    )
    print(describe_speed_ups(speed))
    print("\nMean rank after so many full trials' worth of time")
    print(describe_ranks(summarize_ranks(regrets)), "\n")
    summary = summarize_regret(regrets)
    if arguments.figure:
        plot_regret(summary).savefig(arguments.figure, dpi=160)
    if arguments.out:
        summary.to_csv(arguments.out, index=False)
    is_ok = True
    for measurement in measure(speed):
        print(measurement)
        is_ok &= measurement.is_ok
    sys.exit(0 if is_ok else 1)


def measure(speed: pd.DataFrame, method: str = "tpe+asha") -> Iterator[Measurement]:
    """Compare a method's speed-ups with the target: one for each problem, and their geometric mean."""
    rows = speed[speed["method"] == method].set_index("problem")
    for problem, (value, low, high) in zip(rows.index, rows[list(SPEED_UP)].to_numpy(), strict=True):
        yield Measurement(
            name=str(problem).replace(" ", "_"),
            value=float(value),
            unit="times",
            target=TARGET_SPEED_UP,
            bound="at least",
            note=f"{method} over random, 95 % interval {low:.1f} to {high:.1f}",
        )


if __name__ == "__main__":
    main()
