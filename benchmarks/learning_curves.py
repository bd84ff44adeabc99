"""Tabulate the learning curves of many configs, trained to the end: what `search_quality` replays.

    python -m benchmarks.learning_curves simulated PREPARED     (data of `make demo`)
    python -m benchmarks.learning_curves responses PREPARED     (Replogle's K562 responses)

Configs are a scrambled Sobol sequence over the six hyperparameters, each trained as a trial trains it, with
its patience; the first are trained once more with another seed, to tell the noise. A run that was
interrupted resumes where it ended, and the stored table is written at the end.
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution
from scipy.stats import qmc, spearmanr
from sklearn.ensemble import ExtraTreesRegressor

from adapert.config import Config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.records import OBJECTIVE
from adapert.registry import build_model
from adapert.seeding import numpy_generator
from adapert.study.engine.search import round_suggestion
from adapert.training.fit import begin_fit
from benchmarks.measurement import build_parser
from search_spaces.adapert import SPACE

KEYS = ("config", "seed", "epoch")
COLUMNS = (*KEYS, *SPACE, OBJECTIVE, "seconds")


@dataclass(frozen=True)
class Tabulation:
    """What is tabulated of a data set.

    Attributes:
        settings: Changes of the default config.
        n_configs: Configs to train, at most.
        n_repeated: Of these, configs that are trained with a second seed, too.
    """

    settings: Mapping[str, Any]
    n_configs: int
    n_repeated: int


TABULATIONS = {
    "simulated": Tabulation({"training.max_epochs": 200, "training.minibatch_size": 16}, 320, 40),
    "responses": Tabulation({"training.max_epochs": 60}, 96, 16),
}
"""By data set: 60 simulated perturbations to train on, 4 steps an epoch; 394 real ones, 7 steps an epoch."""

N_TREES = 100
MIN_RUNS_IN_LEAF = 2
"""So that a prediction at a tabulated config averages out some of its noise."""

N_ALIKE = 16
"""Repeated configs that a curve's noise is drawn from."""

N_REFINED = 64
"""Best points around which the optimum is looked for."""

Array = npt.NDArray[np.float64]


def table_file(name: str) -> Path:
    """File of a stored table."""
    return Path(__file__).parent / "data" / f"learning_curves_{name}.csv.gz"


def read_curves(name: str) -> pd.DataFrame:
    """Read a stored table of `TABULATIONS`: `COLUMNS`, a row for each epoch, runs in order."""
    return pd.read_csv(table_file(name))


def unit_to_config(point: Array) -> dict[str, Any]:
    """Map a point of the unit cube to a config, logarithmic fields evenly by their logarithm."""
    config: dict[str, Any] = {}
    for (name, distribution), share in zip(SPACE.items(), point, strict=True):
        if isinstance(distribution, CategoricalDistribution):
            n_choices = len(distribution.choices)
            config[name] = distribution.choices[min(int(share * n_choices), n_choices - 1)]
        else:
            assert isinstance(distribution, FloatDistribution)
            ends = np.array([distribution.low, distribution.high])
            low, high = np.log(ends) if distribution.log else ends
            value = low + share * (high - low)
            config[name] = float(np.exp(value) if distribution.log else value)
    return config


def config_to_unit(config: Mapping[str, Any]) -> list[float]:
    """Map a config into the unit cube; a choice takes the middle of its share."""
    point = []
    for name, distribution in SPACE.items():
        if isinstance(distribution, CategoricalDistribution):
            index = distribution.choices.index(config[name])
            point.append((index + 0.5) / len(distribution.choices))
        else:
            assert isinstance(distribution, FloatDistribution)
            ends, value = np.array([distribution.low, distribution.high]), config[name]
            low, high = np.log(ends) if distribution.log else ends
            point.append(float(((np.log(value) if distribution.log else value) - low) / (high - low)))
    return point


def drawn_configs(n_configs: int, stream: str = "learning_curves") -> list[dict[str, Any]]:
    """Draw configs evenly over the space, rounded as trials round theirs."""
    sobol = qmc.Sobol(d=len(SPACE), rng=numpy_generator(0, stream))
    points = sobol.random_base2(int(np.ceil(np.log2(n_configs))))[:n_configs]
    return [
        {name: round_suggestion(value, SPACE[name]) for name, value in unit_to_config(point).items()}
        for point in points
    ]


class Surrogate:
    """The tabulated runs made continuous: extremely randomised trees over the unit cube.

    One forest has the best objective after each epoch, another the run's length. A mean over runs of what
    never falls never falls either. The noise of a training seed is the difference between two runs of one
    config over the square root of two: whole curves of it are drawn, so that its epochs belong together, from
    configs of about the same objective, since poor configs are the noisier ones.
    """

    def __init__(self, table: pd.DataFrame, n_trees: int = N_TREES) -> None:
        """Fit to the runs of seed 0 of a table from `read_curves`, and take the noise from repeated ones."""
        first, again = (_curves(table[table["seed"] == seed]) for seed in (0, 1))
        self.points, lengths = _points(table)
        pairs = first.loc[again.index]
        by_value = np.argsort((pairs + again).iloc[:, -1].to_numpy())
        self.noise = ((again - pairs) / np.sqrt(2)).to_numpy()[by_value]
        self._noise_values = ((pairs + again) / 2).iloc[:, -1].to_numpy()[by_value]
        forest = partial(ExtraTreesRegressor, n_trees, min_samples_leaf=MIN_RUNS_IN_LEAF, random_state=0)
        self._curves = forest().fit(self.points, first.to_numpy())
        self._lengths = forest().fit(self.points, np.log(lengths))

    def curves(self, points: Array) -> list[Array]:
        """Predict the best objective so far, without noise, an array of the run's own length each."""
        values = np.maximum.accumulate(_predict(self._curves, points), axis=1)
        lengths = np.exp(_predict(self._lengths, points)).round().astype(int).ravel()
        return [row[:length] for row, length in zip(values, lengths, strict=True)]

    def final(self, points: Array) -> Array:
        """Predict the objective at the runs' ends, (n_points,)."""
        return np.array([curve[-1] for curve in self.curves(points)])

    def with_noise(self, curve: Array, generator: np.random.Generator) -> Array:
        """Add the noise of a training seed; what it makes fall stays level."""
        place = int(np.searchsorted(self._noise_values, curve[-1])) - N_ALIKE // 2
        first = min(max(place, 0), max(len(self.noise) - N_ALIKE, 0))
        row = generator.choice(self.noise[first : first + N_ALIKE]) * generator.choice([-1.0, 1.0])
        return np.maximum.accumulate(curve + row[: len(curve)])

    def optimum(self) -> float:
        """Find the best predicted objective: many points, then around the best of them."""
        generator = numpy_generator(0, "optimum")
        points = np.vstack([self.points, generator.random((2**13, self.points.shape[1]))])
        for width in (0.2, 0.1, 0.05, 0.02):
            values = self.final(points)
            best = points[np.argsort(values)[-N_REFINED:]]
            moved = np.repeat(best, 32, axis=0) + width * generator.normal(
                size=(32 * N_REFINED, best.shape[1])
            )
            points = np.vstack([best, moved.clip(0, 1)])
        return float(self.final(points).max())


def truncate_curves(table: pd.DataFrame, max_epochs: int) -> pd.DataFrame:
    """Leave what a budget of so many epochs would have shown: the learning rate is constant."""
    return table[table["epoch"] <= max_epochs]


def rank_correlations(table: pd.DataFrame, n_folds: int = 10) -> dict[str, float]:
    """Compare the surrogate with runs that it has not seen, and repeated runs with each other.

    Returns:
        Spearman correlation of the last objective, predicted with run (``"surrogate"``) and between seeds
        (``"seeds"``); and of objectives at a quarter of the epochs with the last, of the runs
        (``"early"``) and of predictions (``"early_surrogate"``).
    """
    runs = _curves(table[table["seed"] == 0])
    again = _curves(table[table["seed"] == 1])
    predicted = np.full(runs.shape, np.nan)
    for fold in range(n_folds):
        held = runs.index[fold::n_folds]
        surrogate = Surrogate(table[~table["config"].isin(held)])
        points, _ = _points(table[table["config"].isin(held)])
        for row, curve in zip(range(fold, len(runs), n_folds), surrogate.curves(points), strict=True):
            predicted[row] = np.pad(curve, (0, runs.shape[1] - len(curve)), mode="edge")
    quarter, final = runs.shape[1] // 4 - 1, runs.iloc[:, -1]
    return {
        "surrogate": _spearman(predicted[:, -1], final),
        "seeds": _spearman(again.iloc[:, -1], final.loc[again.index]),
        "early": _spearman(runs.iloc[:, quarter], final),
        "early_surrogate": _spearman(predicted[:, quarter], predicted[:, -1]),
    }


def _spearman(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    return float(spearmanr(one, other).statistic)


def _curves(table: pd.DataFrame) -> pd.DataFrame:
    # (n_configs, n_epochs); a run that ended early keeps its best.
    return table.pivot(index="config", columns="epoch", values=OBJECTIVE).ffill(axis=1)


def _points(table: pd.DataFrame) -> tuple[Array, Array]:
    ends = table[table["seed"] == 0].groupby("config").last()
    rows = ends[list(SPACE)].itertuples(index=False)
    points = [config_to_unit(dict(zip(SPACE, row, strict=True))) for row in rows]
    return np.array(points), ends["epoch"].to_numpy(float)


def _predict(forest: ExtraTreesRegressor, points: Array) -> Array:
    # The forest's own `predict` checks its input once for each tree, which takes 10 ms even for one point.
    rows = np.ascontiguousarray(points, dtype=np.float32)
    predicted = sum(tree.tree_.predict(rows).reshape(len(rows), -1) for tree in forest.estimators_)
    return np.asarray(predicted / len(forest.estimators_))


def train_curve(
    dataset: PreparedDataset, changes: Mapping[str, Any], seed: int
) -> Iterator[dict[str, float]]:
    """Train one config as a trial does, with its patience; a row an epoch."""
    fit = begin_fit(build_model(Config().with_changes(changes), seed, torch.device("cpu")), dataset)
    while not fit.is_over:
        report = fit.step()
        yield {"epoch": int(report["epoch"]), OBJECTIVE: report[OBJECTIVE], "seconds": report["seconds"]}


def tabulate(tabulation: Tabulation, data: Path, partial: Path, seconds: float) -> None:
    """Train what is missing in `partial`, a table of finished runs; start none after so many seconds."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    dataset = read_prepared(data, ("train", "validation"))
    done = set[tuple[int, int]]()
    if partial.exists():
        runs_before = pd.read_csv(partial)[["config", "seed"]].to_numpy()
        done = {(int(config), int(seed)) for config, seed in runs_before}
    configs = drawn_configs(tabulation.n_configs)
    runs = [(config, 0) for config in range(tabulation.n_configs)]
    # Repeated runs come early, so that a table that stopped short has its noise, too.
    early = 2 * tabulation.n_repeated
    runs[early:early] = product(range(tabulation.n_repeated), [1])
    for config, seed in runs:
        if (config, seed) in done:
            continue
        if time.perf_counter() - started > seconds:
            break
        rows = [
            {"config": config, "seed": seed, **configs[config], **row}
            for row in train_curve(dataset, {**configs[config], **tabulation.settings}, seed)
        ]
        frame = pd.DataFrame(rows, columns=list(COLUMNS)).round({OBJECTIVE: 6, "seconds": 5})
        frame.to_csv(partial, mode="a", header=not partial.exists(), index=False)
        last = rows[-1]
        print(f"config {config} seed {seed}: {len(rows)} epochs, {last[OBJECTIVE]:.4f}", file=sys.stderr)


def main() -> None:
    """Train, and write the stored table."""
    parser = build_parser("benchmarks.learning_curves", __doc__)
    parser.add_argument("name", choices=list(TABULATIONS))
    parser.add_argument("data", type=Path, metavar="PREPARED")
    parser.add_argument("--partial", type=Path, default=Path("learning_curves.csv"), help="finished runs")
    parser.add_argument("--minutes", type=float, default=35, help="start no run after these")
    parser.add_argument("--out", type=Path, help="the stored table otherwise")
    arguments = parser.parse_args()
    tabulation = TABULATIONS[arguments.name]
    tabulate(tabulation, arguments.data, arguments.partial, arguments.minutes * 60)
    table = pd.read_csv(arguments.partial).sort_values(list(KEYS), ignore_index=True)
    # Without a time stamp, the same runs make the same file.
    table.to_csv(
        arguments.out or table_file(arguments.name), index=False, compression={"method": "gzip", "mtime": 0}
    )


if __name__ == "__main__":
    main()
