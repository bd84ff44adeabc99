"""What a report costs the trial that makes it: adapert's one writer compared with Ray's own MLflow callback.

Eight trials run at once on a Ray cluster of this machine that pretends to have eight cores, and report to a
SQLite store. Timed is what the driver does with a report before the trial may continue.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from adapert.records import IS_OVER
from adapert.study.engine.limits import Limits
from adapert.study.engine.reports import values_of
from adapert.study.engine.runner import StudyRunner
from adapert.study.execution.on_ray import started_ray
from adapert.study.execution.resources import Resources
from adapert.study.execution.trainable import REPORT, TrialTrainable
from adapert.study.plan.study import FixedRung, Search, Study
from adapert.tracking.read import trial_runs
from adapert.tracking.store import open_store, tracking_uri
from adapert.workspace.launch import build_base, launch
from benchmarks.kills import prepare_small
from benchmarks.measurement import Measurement
from benchmarks.scheduling import QUIET, fit_with_tune, settings
from search_spaces.adapert import SPACE

AT_ONCE = 8
N_TRIALS = 8
N_EPOCHS = 60


def measure(scratch: Path) -> Iterator[Measurement]:
    """Run the same reports through both."""
    with tempfile.TemporaryDirectory() as directory, pretended_cores(AT_ONCE) as address:
        folder = Path(directory)
        data = prepare_small(folder)
        own, n_found = time_own(data, folder, address)
        theirs = time_callback(data, folder, address)
    yield Measurement(
        name="report",
        value=1000 * float(np.mean(own)),
        unit="ms",
        target=25,
        note=f"{len(own)} reports of {AT_ONCE} trials at once, 99 % below {_percentile(own):.1f} ms; "
        f"Ray's MLflowLoggerCallback {1000 * float(np.mean(theirs)):.0f} ms, "
        f"99 % below {_percentile(theirs):.0f} ms",
    )
    yield Measurement(
        name="reports_lost",
        value=N_TRIALS * N_EPOCHS - n_found,
        unit="reports",
        target=0,
        note=f"{n_found} of {N_TRIALS * N_EPOCHS} in SQLite, no database locked",
    )


def _percentile(seconds: list[float]) -> float:
    return 1000 * float(np.percentile(seconds, 99))


@contextmanager
def pretended_cores(n_cores: int) -> Iterator[str]:
    """A Ray cluster of one node that takes this many trials, whatever the machine has."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_AUTH_MODE"] = "disabled"
    head = {"num_cpus": n_cores, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def time_own(data: Path, folder: Path, address: str) -> tuple[list[float], int]:
    """Seconds of each report under adapert, and how many MLflow has in the end."""
    changes = {"training.max_epochs": N_EPOCHS, "training.patience": N_EPOCHS}
    plan = Search(space=SPACE, n_trials=N_TRIALS, sampler="random", first_rung=FixedRung(N_EPOCHS))
    base = build_base(data, None, changes)
    study = Study(name="reports", question="What does a report cost?", base=base, plan=plan)
    seconds: list[float] = []
    with timed(StudyRunner, "reported", seconds):
        result = launch(study, folder / "own", Resources(address=address), Limits(), QUIET)
    assert not result.n_undelivered, result.trouble
    assert not result.trouble, result.trouble
    client, _ = open_store(folder / "own")
    runs = trial_runs(tracking_uri(folder / "own"), study.name)
    return seconds, sum(len(client.get_metric_history(run.info.run_id, "pearson_delta")) for run in runs)


def time_callback(data: Path, folder: Path, address: str) -> list[float]:
    """Seconds of each report under Ray Tune with its own callback for MLflow."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    class Plain(TrialTrainable):
        def step(self) -> dict[str, Any]:
            report = super().step()[REPORT]
            return values_of(report) | {"done": report[IS_OVER]}

    seconds: list[float] = []
    base = build_base(data, None, {"training.max_epochs": N_EPOCHS, "training.patience": N_EPOCHS})
    trials = [settings(base, folder, number) for number in range(N_TRIALS)]
    store = tracking_uri(folder / "theirs")
    (folder / "theirs").mkdir()
    callback = MLflowLoggerCallback(tracking_uri=store, experiment_name="theirs")
    with timed(MLflowLoggerCallback, "log_trial_result", seconds), started_ray(address):
        fit_with_tune(Plain, trials, folder, callback)
    return seconds


@contextmanager
def timed(owner: type, name: str, seconds: list[float]) -> Iterator[None]:
    """Note how long each call of a method takes while the block runs."""
    method: Callable[..., Any] = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*arguments, **options)
        finally:
            seconds.append(time.perf_counter() - started)

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, method)
