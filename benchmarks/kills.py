"""Kill a study at random moments, resume it each time, and compare it with one that was left alone.

    python -m benchmarks kills --kills 20 --seed 0
    python -m benchmarks kills --kills 20 --seed 0 --executor local
    python -m benchmarks kills --kills 20 --seed 0 --slots 4

SIGKILL goes to the driver, to a worker that runs trials, or to both, at random points of the study's
progress, its start and its resumption among them. Without Ray there is only the driver. Afterwards ledger,
Optuna and MLflow must hold the same trials, ends, reports and best config as those of the unbroken study:
none lost, none twice, none running on. In slots the numbers may differ by rounding (1e-5), since who shares a
step with whom depends on the kills; all else may not.
"""

import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from adapert.data.choices import PrepareChoices
from adapert.data.prepare import prepare
from adapert.data.simulate import simulate
from adapert.records import Tag
from adapert.seeding import numpy_generator
from adapert.study.engine.ledger import LEDGER_FILE, read_events
from adapert.study.engine.search import JOURNAL_FILE
from adapert.study.engine.state import fold
from adapert.tracking.store import open_store
from benchmarks.measurement import build_parser

NAME = "search"
TARGETS = {"ray": ("driver", "worker", "both"), "local": ("driver",)}
"""Executor to what of it is killed, in turn."""

ACTORS = ("TrialTrainable", "SlotsWorker")
"""Class names in the command lines of Ray's workers."""

WAIT_SECONDS = 1200
COMMAND = [sys.executable, "-c", "from adapert.cli import main; main()"]

ROUNDING = 1e-5
"""How far a trial's numbers may depend on the trials that shared its steps."""

TIMED = ("seconds", "total_seconds", "wall_hours", "trial_hours", "system/")
"""Beginnings of the names of metrics that no two runs share."""


@dataclass(frozen=True)
class Kill:
    """One SIGKILL: of what, and where the study was then."""

    target: str
    n_lines: int
    n_ended: int


def prepare_small(folder: Path) -> Path:
    """Simulate and prepare a data set on which an epoch takes milliseconds."""
    made = folder / "input"
    simulate(made, n_perturbations=24, n_genes=60, cells_per_perturbation=12, n_controls=80, n_batches=2)
    choices = PrepareChoices(split_fractions=(0.5, 0.25, 0.25), effect_size_groups="tertiles")
    files = made / "cells.h5ad", made / "network.tsv.gz", made / "text.npz"
    prepare(*files, choices, out=folder / "prepared")
    return folder / "prepared"


def launch_words(
    prepared: Path, workspace: Path, n_trials: int, n_epochs: int, executor: str = "ray", n_slots: int = 1
) -> list[str]:
    """The command that launches the study; deterministic, so that a broken one can be compared."""
    where = ["--data", str(prepared), "--workspace", str(workspace)]
    size = ["--trials", str(n_trials), "--max-epochs", str(n_epochs), "--deterministic"]
    # Small minibatches make an epoch slow enough to be killed in; so do cells, whose trials share no step.
    rows = "data.control=cell training.minibatch_size=4" if n_slots == 1 else "training.minibatch_size=1"
    slow = ["--set", f"{rows} model.n_heads=1"]
    resources = ["--device", "cpu", "--executor", executor, "--slots", str(n_slots)]
    return ["launch", NAME, *where, *size, *slow, "--set", f"training.patience={n_epochs}", *resources]


def resume_words(workspace: Path) -> list[str]:
    """The command that resumes it."""
    return ["resume", NAME, "--workspace", str(workspace)]


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command, its output appended to a file."""
    with log.open("ab") as out:
        return subprocess.Popen([*COMMAND, *words], stdout=out, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for a command that must succeed."""
    if process.wait(WAIT_SECONDS):
        sys.exit(f"status {process.returncode}:\n{log.read_text()[-3000:]}")


def count_lines(workspace: Path) -> int:
    """Lines of the study's ledger."""
    ledger = _ledger(workspace)
    return ledger.read_bytes().count(b"\n") if ledger.is_file() else 0


def find_workers(driver: int) -> list[psutil.Process]:
    """Worker processes that run trials."""
    workers = []
    with suppress(psutil.Error):
        for process in psutil.Process(driver).children(recursive=True):
            with suppress(psutil.Error):  # it has ended meanwhile
                if any(actor in " ".join(process.cmdline()) for actor in ACTORS):
                    workers.append(process)
    return workers


def break_study(
    words: list[str], workspace: Path, n_kills: int, seed: int, log: Path, executor: str = "ray"
) -> list[Kill]:
    """Run a study to its end, killed on the way."""
    targets = TARGETS[executor]
    generator = numpy_generator(seed, "kills")
    kills: list[Kill] = []
    process = start(words, log)
    while len(kills) < n_kills:
        target = targets[len(kills) % len(targets)]
        more = int(generator.integers(0, 40))
        begun_at = count_lines(workspace)
        if not more:  # somewhere in the start of command, store and Ray
            time.sleep(float(generator.uniform(0.2, 8)))
        while process.poll() is None and count_lines(workspace) < begun_at + more:
            time.sleep(0.005)
        while target != "driver" and process.poll() is None and not find_workers(process.pid):
            time.sleep(0.05)
        if process.poll() is not None:
            sys.exit(f"The study ended before kill {len(kills) + 1}: give it more trials or epochs.")
        if target != "driver":
            for worker in find_workers(process.pid)[:1]:
                with suppress(psutil.Error):
                    worker.kill()
        if target != "worker":
            process.kill()
            process.wait()
        n_lines = count_lines(workspace)
        records = fold(read_events(_ledger(workspace))).records.values() if n_lines else []
        kills.append(Kill(target, n_lines, sum(record.reason is not None for record in records)))
        if process.poll() is not None:
            begun = count_lines(workspace) > 0
            process = start(resume_words(workspace) if begun else words, log)
    finish(process, log)
    return kills


def _ledger(workspace: Path) -> Path:
    return workspace / "studies" / NAME / LEDGER_FILE


def describe(workspace: Path) -> dict[str, Any]:
    """What ledger, Optuna and MLflow hold, without times, hosts and ids."""
    return {
        "ledger": _describe_ledger(workspace),
        "optuna": _describe_optuna(workspace),
        "mlflow": _describe_mlflow(workspace),
    }


def _describe_ledger(workspace: Path) -> list[tuple[Any, ...]]:
    state = fold(read_events(_ledger(workspace)))
    return [
        (r.trial_id, r.status, r.reason, r.n_epochs, dict(r.changes), _untimed(r.metrics))
        for r in state.records.values()
    ]


def _describe_optuna(workspace: Path) -> list[tuple[Any, ...]]:
    journal = JournalFileBackend(str(_ledger(workspace).parent / JOURNAL_FILE))
    study = optuna.load_study(study_name=NAME, storage=JournalStorage(journal))
    return [
        (trial.number, trial.state.name, trial.value, trial.params, trial.intermediate_values)
        for trial in study.trials
    ]


def _describe_mlflow(workspace: Path) -> list[tuple[Any, ...]]:
    client, experiment_id = open_store(workspace)
    found = []
    for run in client.search_runs([experiment_id], max_results=10_000):
        tags = run.data.tags
        history = client.get_metric_history(run.info.run_id, "pearson_delta")
        found.append(
            (
                tags.get(Tag.TRIAL, ""),
                run.info.status,
                tags[Tag.STATUS],
                _untimed(run.data.metrics),
                [(metric.step, metric.value) for metric in history],
                sorted(file.path for file in client.list_artifacts(run.info.run_id)),
            )
        )
    return sorted(found, key=lambda each: each[0])


def _untimed(metrics: dict[str, float]) -> dict[str, float]:
    kept = {name: value for name, value in metrics.items() if not name.startswith(TIMED)}
    return {name: value for name, value in kept.items() if not np.isnan(value)}


def is_alike(found: Any, expected: Any, tolerance: float) -> bool:
    """Whether two descriptions are equal, numbers within a tolerance, relative or absolute."""
    if isinstance(expected, float) and isinstance(found, float):
        return math.isclose(found, expected, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(expected, dict) and isinstance(found, dict):
        same = found.keys() == expected.keys()
        return same and all(is_alike(found[name], expected[name], tolerance) for name in expected)
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(is_alike(*pair, tolerance) for pair in pairs)
    return bool(found == expected)


def main(words: list[str]) -> None:
    """Run both studies and print the table of kills and the comparison."""
    parser = build_parser("benchmarks kills", __doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--executor", choices=TARGETS, default="ray")
    parser.add_argument("--slots", type=int, default=1)
    arguments = parser.parse_args(words)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        prepared = prepare_small(folder)
        log, size = folder / "log", (arguments.trials, arguments.epochs)
        whole, broken = folder / "whole", folder / "broken"
        executor, n_slots = arguments.executor, arguments.slots
        finish(start(launch_words(prepared, whole, *size, executor, n_slots), log), log)
        broken_words = launch_words(prepared, broken, *size, executor, n_slots)
        kills = break_study(broken_words, broken, arguments.kills, arguments.seed, log, executor)
        print("kill  of      ledger lines  trials ended")
        for number, kill in enumerate(kills, start=1):
            print(f"{number:<6}{kill.target:<8}{kill.n_lines:>12}{kill.n_ended:>14}")
        expected, found = describe(whole), describe(broken)
    tolerance = 0.0 if n_slots == 1 else ROUNDING
    is_equal = {where: is_alike(found[where], expected[where], tolerance) for where in expected}
    for where, equal in is_equal.items():
        print(f"{where}: {len(found[where])} entries, {'as unbroken' if equal else 'NOT as unbroken'}")
        if not equal:
            for one, other in zip(expected[where], found[where], strict=False):
                if not is_alike(other, one, tolerance):
                    print(f"  unbroken {one}\n  broken   {other}")
                    break
    sys.exit(0 if all(is_equal.values()) else 1)
