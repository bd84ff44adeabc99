"""Run a study's trial again, as a study of one trial, and compare every metric with what it reported.

The trial runs as in a study, but in this process: the engine writes what it reports into a ledger.
Only MLflow keeps a rerun; the ledger's folder is a temporary one, so that the workspace gets no new study.
"""

import logging
import math
import os
import socket
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from adapert.config import Config
from adapert.errors import InputError
from adapert.html import build_card, build_sentences, build_table
from adapert.records import CODE_DIFF_FILE, SYSTEM, EndReason, Tag, TrialStatus
from adapert.results.find import find_trial
from adapert.results.inputs import find_data
from adapert.results.study import StudyResults
from adapert.results.trial import TrialResult
from adapert.study.engine.events import SessionOpened, UsedResources
from adapert.study.engine.ledger import LEDGER_FILE, Ledger
from adapert.study.engine.reports import order_reported
from adapert.study.engine.runner import Closing, LeftError, StudyObserver, StudyRunner
from adapert.study.engine.sources import ListedTrials
from adapert.study.engine.state import StudyState
from adapert.study.engine.trial_files import trial_folder
from adapert.study.execution.resources import Resources, count_cpus, count_gpus
from adapert.study.execution.run import run_trials
from adapert.study.plan.definition import describe_code, find_changes
from adapert.study.plan.study import Design, Study
from adapert.tracking.provenance import DIRTY, code_diff, git_commit, package_versions
from adapert.tracking.reruns import Rerun, tracked_rerun
from adapert.tracking.store import open_store

_LOGGER = logging.getLogger(__name__)

COST = (*SYSTEM, "seconds", "total_seconds")
"""Time and memory of a trial, which differ from run to run."""

COLUMNS = ("metric", "tracked", "again", "difference")


class RerunError(LeftError):
    """A trial did not get as far as it did before."""


@dataclass(frozen=True)
class RerunResult:
    """A trial, and the same trial again.

    Attributes:
        name: The trial: ``"search/007"``.
        rerun: Run id in MLflow of the repetition.
        metrics: `COLUMNS`, one row a metric; NaN where one side has none, and differences of 0 where the two
            are equal, NaN included.
        changes: What has changed since the trial ran, each in a few words.
    """

    name: str
    rerun: str
    metrics: pd.DataFrame
    changes: Sequence[str]

    def _repr_html_(self) -> str:
        """Show a notebook what came of it, and the metrics that differ."""
        differing = self.metrics[self.metrics["difference"] != 0]
        rows = differing.to_numpy().tolist()
        return build_card(
            f"{self.name}, run again",
            build_sentences([describe_result(self)]),
            build_table(COLUMNS, rows) if rows else "",
        )

    @property
    def is_same(self) -> bool:
        """Whether every metric is exactly what was tracked."""
        return bool((self.metrics["difference"] == 0).all())


def rerun_trial(workspace: Path, run: str, data: Path | None = None) -> RerunResult:
    """Run a trial again on this machine, for as many epochs as it had.

    The rerun is tracked as a run of its own, which is part of no study.

    Args:
        workspace: Folder of the study and of the MLflow store.
        run: A run's id in MLflow, ``"search/007"``, or a study's name, which stands for its best finished
            trial.
        data: Prepared data set of the trial, where it has been moved.

    Raises:
        InputError: No such study, trial or run, a trial without an epoch, other data than the trial's, or no
            space on the disk.
        RerunError: The trial failed, such as by a loss that is not finite.
        KeyboardInterrupt: Ctrl-C, or a request to end.
    """
    study, original = find_trial(workspace, run)
    n_epochs = int(original.metrics.get("epoch", 0))
    if not n_epochs:
        raise InputError(
            f"A trial is run again to compare what it reported, but '{original.name}' reported no epoch. "
            "Name another trial."
        )
    config = original.build_config()
    config = config.with_changes({"data.path": str(find_data(config, workspace, data))})
    resources = _resources_of(original)
    changes = compare_origins(study, original, resources)
    for change in changes:
        _LOGGER.warning(f"Changed since {original.name} ran: {change}.")
    tags = _tags_of(original, config, study.run_id, resources)
    with tracked_rerun(open_store(workspace), original.name, config, tags) as rerun:
        _LOGGER.info(f"Training {original.name} again: {n_epochs} epochs at most, on {resources.device}.")
        again = _train(original, config, n_epochs, resources, rerun)
        metrics = compare_metrics(original.metrics, again)
        result = RerunResult(original.name, rerun.run_id, metrics, changes)
        rerun.log_comparison(metrics, describe_result(result))
    return result


def compare_metrics(tracked: Mapping[str, float], again: Mapping[str, float]) -> pd.DataFrame:
    """Lay out each metric that either side has, see `RerunResult.metrics`."""
    rows = []
    for metric in order_reported([*tracked, *again]):
        if metric not in COST:
            was, is_now = tracked.get(metric, math.nan), again.get(metric, math.nan)
            # A difference of two NaN would be NaN, of two infinities too.
            is_equal = was == is_now or (math.isnan(was) and math.isnan(is_now))
            rows.append((metric, was, is_now, 0.0 if is_equal else is_now - was))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def compare_origins(study: StudyResults, original: TrialResult, resources: Resources) -> list[str]:
    """Name what a trial's numbers may depend on and has changed since, each in a few words."""
    pairs = [
        ("the commit", original.git_commit, git_commit()),
        ("the device", original.device, resources.device),
        # Sums of floating-point numbers depend on how they are split among threads.
        ("the number of threads", original.n_threads, resources.cpus_per_trial),
        ("the number of slots", original.n_slots, resources.slots),
        ("the machine", original.host, socket.gethostname()),
    ]
    changes = [f"{what} was {before} and is {now}" for what, before, now in pairs if before and before != now]
    if original.git_commit.endswith(DIRTY) and study.code_diff != code_diff():
        changes.append(f"the uncommitted changes of the code are not those of the study's {CODE_DIFF_FILE}")
    if study.origin:
        changes += find_changes(
            {**study.origin, "data": ""}, describe_code([original.build_config().model.name]) | {"data": ""}
        )
    before = dict(entry.split(" ", 1) for entry in original.packages.split(", ") if " " in entry)
    now = dict(entry.split(" ", 1) for entry in package_versions().split(", "))
    changes += [
        f"{package} was {version} and is {now.get(package, 'not installed')}"
        for package, version in before.items()
        if now.get(package) != version
    ]
    return list(dict.fromkeys(changes))  # some packages are part of the origin too


def describe_result(result: RerunResult) -> str:
    """Say in a sentence or two what came of a rerun."""
    differing = result.metrics.loc[result.metrics["difference"] != 0, "metric"]
    outcome = f"All {len(result.metrics)} metrics are exactly those of {result.name}."
    if len(differing):
        worst = result.metrics["difference"].abs().max()
        outcome = (
            f"{len(differing)} of {len(result.metrics)} metrics differ from those of {result.name}, by "
            f"{worst:.3g} at most."
        )
    return outcome + (f" Changed since it ran: {'; '.join(result.changes)}." if result.changes else "")


def _resources_of(original: TrialResult) -> Resources:
    """Give a trial what it had, as far as this machine has it."""
    is_on_gpu = original.device == "cuda" and count_gpus() > 0
    return Resources(
        executor="local",
        cpus_per_trial=min(original.n_threads or 1, count_cpus()),
        gpus_per_trial=float(is_on_gpu),
        device="cuda" if is_on_gpu else "cpu",
    )


def _tags_of(original: TrialResult, config: Config, parent: str, resources: Resources) -> dict[str, str]:
    """What a rerun's run says of its original, whose study's run is its parent where MLflow has one."""
    tags: dict[str, str] = {
        Tag.STUDY: original.study,
        Tag.TRIAL: original.trial_id,
        Tag.VARIANT: original.variant,
        Tag.SEED: str(original.seed),
        Tag.CONFIG_DIGEST: original.config_digest,
        Tag.DATA_FINGERPRINT: config.data.fingerprint,
        Tag.DEVICE: resources.device,
        Tag.N_THREADS: str(resources.cpus_per_trial),
        Tag.N_SLOTS: str(resources.slots),
        Tag.HOST: socket.gethostname(),
    }
    return tags | ({"mlflow.parentRunId": parent} if parent else {})


class _OneTrial(StudyRunner):
    """Ends its trial after as many epochs as the original had, which may have been stopped early."""

    def __init__(
        self, study: Study, folder: Path, n_epochs: int, max_failures: int, observer: StudyObserver
    ) -> None:
        ledger = Ledger(folder / LEDGER_FILE)
        super().__init__(
            study, ledger, StudyState(), ListedTrials(study.plan), None, [observer], max_failures
        )
        self._n_epochs = n_epochs

    def reported(self, trial_id: str, report: Mapping[str, Any]) -> bool:
        """Leave the study once its trial has as many epochs."""
        goes_on = super().reported(trial_id, report)
        if goes_on and self.state.records[trial_id].n_epochs >= self._n_epochs:
            message = f"The original had {self._n_epochs} epochs."
            self.closing = Closing(TrialStatus.STOPPED, EndReason.LIMIT, message)
        return goes_on and not self.closing


def _train(
    original: TrialResult, config: Config, n_epochs: int, resources: Resources, rerun: Rerun
) -> dict[str, float]:
    """Run a study of one trial; return the last value of every metric."""
    name, question = original.name, f"Does {original.name} report the same again?"
    plan = Design(kind="ablation", variants={original.variant: {}}, n_seeds=1, first_seed=original.seed)
    study = Study(name="rerun", question=question, base=config, plan=plan)
    with tempfile.TemporaryDirectory() as folder:
        runner = _OneTrial(study, Path(folder), n_epochs, resources.max_failures, rerun)
        runner.open(
            SessionOpened(
                pid=os.getpid(),
                host=socket.gethostname(),
                resources=cast("UsedResources", asdict(resources)),
            )
        )
        try:
            run_trials(runner, resources)
        finally:
            closing = runner.close()
            runner.ledger.close()
        _check_closing(closing, name)
        (record,) = runner.state.records.values()
        rerun.log_files(trial_folder(Path(folder), record.trial_id))
    if record.status == TrialStatus.FAILED:
        raise RerunError(f"{name} failed when it was run again: {record.message}", closing)
    return record.metrics


def _check_closing(closing: Closing, name: str) -> None:
    if closing.status == TrialStatus.INTERRUPTED:
        raise KeyboardInterrupt(f"The rerun of {name} was interrupted.")
    if closing.status == TrialStatus.FAILED and closing.message:  # without one the trial's own says why
        raise InputError(
            f"A rerun needs space for its checkpoints, but '{tempfile.gettempdir()}' takes no more. Free "
            "some, or set TMPDIR to another directory."
        )
