"""Run a study's trial again, in this process, and compare every metric with what it reported."""

import logging
import math
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from adapert.config import Config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.regroup import redraw
from adapert.errors import InputError
from adapert.evaluation.long_table import build_long_table, write_long_table
from adapert.models.protocol import Fit, PerturbationModel
from adapert.records import (
    CODE_DIFF_FILE,
    PER_PERTURBATION_FILE,
    SYSTEM,
    WEIGHTS_FILE,
    Tag,
)
from adapert.registry import build_model
from adapert.results.find import find_trial
from adapert.results.inputs import find_data
from adapert.results.study import StudyResults
from adapert.results.trial import TrialResult
from adapert.study.engine.reports import REPORTED
from adapert.study.execution.trainable import READABLE_SPLITS, tracked_metrics
from adapert.study.plan.definition import describe_code, find_changes
from adapert.tracking.provenance import DIRTY, code_diff, git_commit, package_versions
from adapert.tracking.reruns import Rerun, tracked_rerun
from adapert.tracking.store import open_store
from adapert.training.evaluation import evaluate_model
from adapert.training.fit import begin_fit
from adapert.training.threads import torch_threads

_LOGGER = logging.getLogger(__name__)

COMPARED = tuple(metric for metric in REPORTED if metric not in (*SYSTEM, "seconds"))
"""What a trial's numbers are: all that it reported but the time and the machine that it took."""

COLUMNS = ("metric", "tracked", "again", "difference")


@dataclass(frozen=True)
class RerunResult:
    """A trial, and the same trial again.

    Attributes:
        name: Of the trial: ``"search/007"``.
        rerun: Its run in MLflow this time.
        metrics: `COLUMNS`, one row a metric; NaN where one side has none, and differences of 0 where the two
            are equal, NaN included.
        changes: What differs between then and now, each in a few words.
    """

    name: str
    rerun: str
    metrics: pd.DataFrame
    changes: Sequence[str]

    @property
    def is_same(self) -> bool:
        """Whether every metric is exactly what was tracked."""
        return bool((self.metrics["difference"] == 0).all())


def rerun_trial(workspace: Path, run: str, data: Path | None = None) -> RerunResult:
    """Run a trial again, for as many epochs as it had.

    The rerun is tracked as a run of its own, which is part of no study.

    Args:
        workspace: Where the study lies.
        run: A run's id in MLflow, ``"search/007"``, or a study's name, which stands for its best finished
            trial.
        data: Prepared data set of the trial, where it no longer lies where it was.

    Raises:
        InputError: No such study, trial or run, a trial without an epoch, or other data than the trial's.
        DivergedError: The loss, or a prediction, became NaN or infinite.
    """
    study, original = find_trial(workspace, run)
    n_epochs = _count_epochs(original)
    config = original.build_config()
    config = config.with_changes({"data.path": str(find_data(config, workspace, data))})
    device = _device_of(original)
    changes = compare_origins(study, original, device)
    for change in changes:
        _LOGGER.warning(f"Not as then: {change}.")
    # As many as the trial had, where that is tracked: sums may depend on their number.
    n_threads = original.n_threads or 1
    tags = _tags_of(original, config, study.run_id) | {
        Tag.DEVICE: device,
        Tag.N_THREADS: str(n_threads),
        Tag.HOST: socket.gethostname(),
    }
    with tracked_rerun(open_store(workspace), original.name, config, tags) as rerun:
        _LOGGER.info(f"Training {original.name} again: {n_epochs} epochs at most, on {device}.")
        with torch_threads(n_threads):
            again = _train(config, original, torch.device(device), n_epochs, rerun)
        metrics = compare_metrics(original.metrics, again)
        result = RerunResult(original.name, rerun.run_id, metrics, changes)
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


def compare_origins(study: StudyResults, original: TrialResult, device: str) -> list[str]:
    """Name what a trial's numbers may depend on and is not as it was, each in a few words.

    Args:
        study: The trial's.
        original: The trial.
        device: Where it is run again.
    """
    pairs = [
        ("the commit", original.git_commit, git_commit()),
        ("the device", original.device, device),
        ("the machine", original.host, socket.gethostname()),
    ]
    changes = [f"{what} was {before} and is {now}" for what, before, now in pairs if before and before != now]
    if original.git_commit.endswith(DIRTY) and study.code_diff != code_diff():
        changes.append(f"the code's changes since that commit are others: see the study's {CODE_DIFF_FILE}")
    if study.origin:
        changes += find_changes({**study.origin, "data": ""}, describe_code() | {"data": ""})
    return changes + _compare_versions(original.packages, changes)


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


def _tags_of(original: TrialResult, config: Config, parent: str) -> dict[str, str]:
    """What a rerun's run says of its original, whose study's run is its parent where MLflow has one."""
    tags: dict[str, str] = {
        Tag.STUDY: original.study,
        Tag.TRIAL: original.trial_id,
        Tag.VARIANT: original.variant,
        Tag.SEED: str(original.seed),
        Tag.CONFIG_DIGEST: original.config_digest,
        Tag.DATA_FINGERPRINT: config.data.fingerprint,
    }
    return tags | ({"mlflow.parentRunId": parent} if parent else {})


def _count_epochs(original: TrialResult) -> int:
    n_epochs = int(original.metrics.get("epoch", 0))
    if not n_epochs:
        raise InputError(
            f"A trial is run again to compare what it reported, but '{original.name}' reported no epoch. "
            "Name another trial."
        )
    return n_epochs


def _device_of(original: TrialResult) -> str:
    is_on_gpu = original.device == "cuda" and torch.cuda.is_available()
    return "cuda" if is_on_gpu else "cpu"


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
    config: Config, original: TrialResult, device: torch.device, n_epochs: int, rerun: Rerun
) -> dict[str, float]:
    """Train and evaluate as a study's worker does; return the last value of every metric."""
    prepared = read_prepared(Path(config.data.path), READABLE_SPLITS)
    dataset = redraw(prepared, config.data.split_seed, config.data.control == "cell")
    model = build_model(config, original.seed, device)
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
    model: PerturbationModel, fit: Fit, dataset: PreparedDataset, original: TrialResult, rerun: Rerun
) -> dict[str, float]:
    evaluation = evaluate_model(model, dataset, "validation", original.seed)
    identity = {
        "run": rerun.run_id,
        "study": original.study,
        "variant": original.variant,
        "config_digest": original.config_digest,
        "seed": original.seed,
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
