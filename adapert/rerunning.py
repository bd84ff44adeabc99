"""Run a tracked trial again, in this process, and compare every metric with what was tracked."""

import json
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd
import torch

from adapert.comparison import evaluate_model
from adapert.config import Config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.regroup import redraw
from adapert.errors import InputError
from adapert.long_table import build_long_table, write_long_table
from adapert.models.protocol import Fit, PerturbationModel
from adapert.records import (
    CODE_DIFF_FILE,
    ORIGIN_FILE,
    PER_PERTURBATION_FILE,
    REPORTED,
    SYSTEM,
    WEIGHTS_FILE,
    Tag,
)
from adapert.registry import build_model
from adapert.study.definition import describe_code, find_changes
from adapert.tracking.artifacts import read_text
from adapert.tracking.find import find_trial, name_of
from adapert.tracking.inputs import find_data, read_run_config
from adapert.tracking.provenance import DIRTY, code_diff, git_commit, package_versions
from adapert.tracking.read import open_client, tag_of
from adapert.tracking.reruns import Rerun, tracked_rerun
from adapert.tracking.store import quiet_mlflow, tracking_uri
from adapert.trainable import READABLE_SPLITS, tracked_metrics
from adapert.training.fit import begin_fit

if TYPE_CHECKING:
    from mlflow.entities import Run

COMPARED = tuple(metric for metric in REPORTED if metric not in (*SYSTEM, "seconds"))
"""What a trial's numbers are: all that it reported but the time and the machine that it took."""

COLUMNS = ("metric", "tracked", "again", "difference")

Note = Callable[[str], None]
"""Takes a line on what was just done."""


@dataclass(frozen=True)
class RerunResult:
    """A trial, and the same trial again.

    Attributes:
        name: Of the trial: ``"search/007"``.
        run: Its run.
        rerun: The run of this time.
        metrics: `COLUMNS`, one row a metric; NaN where one side has none, and differences of 0 where the two
            are equal, NaN included.
        changes: What differs between then and now, each in a few words.
    """

    name: str
    run: str
    rerun: str
    metrics: pd.DataFrame
    changes: Sequence[str]

    @property
    def is_same(self) -> bool:
        """Whether every metric is exactly what was tracked."""
        return bool((self.metrics["difference"] == 0).all())


def rerun_trial(
    workspace: Path, run: str, data: Path | None = None, note: Note = lambda line: None
) -> RerunResult:
    """Run a trial again from its run in MLflow, for as many epochs as it had.

    The rerun is tracked as a run of its own, which is part of no study.

    Args:
        workspace: Where the study lies.
        run: A run's id, ``"search/007"``, or a study's name, which stands for its best finished trial.
        data: Prepared data set of the trial, where it no longer lies where it was.
        note: Told what differs from then, and of the training.

    Raises:
        InputError: No such store or run, a trial without an epoch, or other data than the trial's.
        DivergedError: The loss, or a prediction, became NaN or infinite.
    """
    quiet_mlflow()
    uri = tracking_uri(workspace)
    original = find_trial(uri, run)
    n_epochs = _count_epochs(original)
    config = read_run_config(uri, original)
    config = config.with_changes({"data.path": str(find_data(config, data))})
    device = _device_of(original)
    changes = compare_origins(uri, original, device)
    for change in changes:
        note(f"Not as then: {change}.")
    machine: dict[str, str] = {
        Tag.DEVICE: device,
        Tag.N_THREADS: str(_set_threads(original)),
        Tag.HOST: socket.gethostname(),
    }
    with tracked_rerun(open_client(uri), original, config, machine) as rerun:
        note(f"Training {name_of(original)} again: {n_epochs} epochs at most, on {device}.")
        again = _train(config, original, torch.device(device), n_epochs, rerun)
        metrics = compare_metrics(original.data.metrics, again)
        result = RerunResult(name_of(original), original.info.run_id, rerun.run_id, metrics, changes)
        rerun.log_comparison(metrics, describe_result(result))
    return result


def compare_metrics(tracked: Mapping[str, float], again: Mapping[str, float]) -> pd.DataFrame:
    """Lay out each metric that either side has, see `RerunResult.metrics`."""
    rows = []
    for metric in COMPARED:
        if metric in tracked or metric in again:
            was, is_now = tracked.get(metric, math.nan), again.get(metric, math.nan)
            is_equal = was == is_now or (math.isnan(was) and math.isnan(is_now))
            rows.append((metric, was, is_now, 0.0 if is_equal else is_now - was))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def compare_origins(tracking_uri: str, original: "Run", device: str) -> list[str]:
    """Name what a trial's numbers may depend on and is not as it was, each in a few words.

    Args:
        tracking_uri: MLflow's.
        original: The trial's run.
        device: Where it is run again.
    """
    was = {tag: tag_of(original, tag) for tag in (Tag.GIT_COMMIT, Tag.DEVICE, Tag.HOST)}
    commit = git_commit()
    pairs = [
        ("the commit", was[Tag.GIT_COMMIT], commit),
        ("the device", was[Tag.DEVICE], device),
        ("the machine", was[Tag.HOST], socket.gethostname()),
    ]
    changes = [f"{what} was {before} and is {now}" for what, before, now in pairs if before and before != now]
    origin, diff = _study_files(tracking_uri, original)
    if was[Tag.GIT_COMMIT].endswith(DIRTY) and diff != code_diff():
        changes.append(
            f"the code's changes since that commit are others: see {CODE_DIFF_FILE} of the study's run"
        )
    if origin:
        changes += find_changes(origin | {"data": ""}, describe_code() | {"data": ""})
    return changes + _compare_versions(tag_of(original, Tag.VERSIONS), changes)


def describe_result(result: RerunResult) -> str:
    """Say in a sentence or two what came of a rerun."""
    differing = result.metrics.loc[result.metrics["difference"] != 0, "metric"]
    told = f"All {len(result.metrics)} metrics are exactly those of {result.name}."
    if len(differing):
        worst = result.metrics["difference"].abs().max()
        told = (
            f"{len(differing)} of {len(result.metrics)} metrics differ from those of {result.name}, by "
            f"{worst:.3g} at most."
        )
    reasons = f" Not as then: {'; '.join(result.changes)}." if result.changes else ""
    return told + reasons


def _count_epochs(original: "Run") -> int:
    n_epochs = int(original.data.metrics.get("epoch", 0))
    if not n_epochs:
        raise InputError(
            f"A trial is run again to compare what it reported, but '{name_of(original)}' reported no epoch. "
            "Name another trial."
        )
    return n_epochs


def _device_of(original: "Run") -> str:
    is_on_gpu = tag_of(original, Tag.DEVICE) == "cuda" and torch.cuda.is_available()
    return "cuda" if is_on_gpu else "cpu"


def _set_threads(original: "Run") -> int:
    """Take as many threads as the trial had, where that is tracked: sums may depend on their number."""
    n_threads = int(tag_of(original, Tag.N_THREADS) or 1)
    torch.set_num_threads(n_threads)
    return n_threads


def _study_files(tracking_uri: str, original: "Run") -> tuple[dict[str, object], str]:
    """What the study kept of its origin, and its code's diff; empty where it kept none."""
    parent = original.data.tags.get("mlflow.parentRunId")
    if not parent:
        return {}, ""
    study = open_client(tracking_uri).get_run(parent)
    text = read_text(study, tracking_uri, ORIGIN_FILE)
    return json.loads(text or "{}"), read_text(study, tracking_uri, CODE_DIFF_FILE)


def _compare_versions(tracked: str, known: Sequence[str]) -> list[str]:
    """Name packages of other versions, those aside of which it is known."""
    before = dict(entry.split(" ", 1) for entry in tracked.split(", ") if " " in entry)
    now = dict(entry.split(" ", 1) for entry in package_versions().split(", "))
    told = [
        f"{package} was {version} and is {now.get(package, 'not installed')}"
        for package, version in before.items()
        if now.get(package) != version
    ]
    return [change for change in told if change not in known]


def _train(
    config: Config, original: "Run", device: torch.device, n_epochs: int, rerun: Rerun
) -> dict[str, float]:
    """Train and evaluate as a study's worker does; return the last value of every metric."""
    seed = int(tag_of(original, Tag.SEED))
    prepared = read_prepared(Path(config.data.path), READABLE_SPLITS)
    dataset = redraw(prepared, config.data.split_seed, config.data.control == "cell")
    model = build_model(config, seed, device)
    fit = begin_fit(model, dataset)
    metrics: dict[str, float] = {}
    for _ in range(n_epochs):
        report = {name: value for name, value in fit.step().items() if name in REPORTED}
        if fit.is_over:
            fit.finish()
            report |= _evaluate(model, fit, dataset, original, rerun)
        rerun.log_epoch(report)
        metrics |= report
        if fit.is_over:
            break
    return metrics


def _evaluate(
    model: PerturbationModel, fit: Fit, dataset: PreparedDataset, original: "Run", rerun: Rerun
) -> dict[str, float]:
    evaluation = evaluate_model(model, dataset, "validation", int(tag_of(original, Tag.SEED)))
    identity = {
        "run": rerun.run_id,
        "study": tag_of(original, Tag.STUDY),
        "variant": tag_of(original, Tag.VARIANT),
        "config_digest": tag_of(original, Tag.CONFIG_DIGEST),
        "seed": int(tag_of(original, Tag.SEED)),
    }
    with TemporaryDirectory() as folder:
        table, weights = Path(folder) / PER_PERTURBATION_FILE, Path(folder) / WEIGHTS_FILE
        write_long_table(
            build_long_table(identity, dataset, "validation", evaluation.per_perturbation), table
        )
        fit.write_weights(weights)
        for path in (table, weights):
            if path.is_file():
                rerun.log_file(path)
    return tracked_metrics(evaluation)
