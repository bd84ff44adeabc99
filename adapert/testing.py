"""Studies without Ray, for tests and simulations, as `optuna.testing` is for Optuna's samplers.

The engine is the one of every study: its ledger, rungs, samplers, limits and requests. Only the training is
made up, on a simulated clock, so that a whole study takes milliseconds::

    from adapert.testing import run_study
    from studies.ablation import study

    def test_my_study(tmp_path):
        state = run_study(study(Config()), tmp_path / "ablation")
        assert all(record.status == "finished" for record in state.records.values())
"""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from optuna.storages import BaseStorage, InMemoryStorage

from adapert.records import HOST, IS_OVER, OBJECTIVE, TrialRecord
from adapert.seeding import derive_seed
from adapert.study.engine.events import SessionOpened, StudyDefined
from adapert.study.engine.ledger import FORMAT, LEDGER_FILE, Ledger, held
from adapert.study.engine.limits import Limits
from adapert.study.engine.runner import StudyObserver, StudyRunner
from adapert.study.engine.search import Suggestions
from adapert.study.engine.sources import build_source
from adapert.study.engine.state import StudyState, read_state
from adapert.study.plan.definition import describe_code, describe_study
from adapert.study.plan.study import Study

Report = Callable[[TrialRecord, int], Mapping[str, Any]]
"""What a trial reports after an epoch, from 1: as `adapert.study.execution.trainer.TrialTrainer.step`."""

EpochTime = Callable[[TrialRecord, int], float]
"""How long an epoch of a trial takes, on the simulated clock."""


class Engine(Protocol):
    """Hands out trials and decides which continue: a `StudyRunner`, or a simulation's own."""

    def next_trial(self) -> TrialRecord | None:
        """Hand out the next trial to run; None where there is none now."""

    def started(self, trial_id: str) -> None:
        """Note that a worker took a trial up."""

    def reported(self, trial_id: str, report: Mapping[str, Any]) -> bool:
        """Take a report in; return whether the trial continues."""

    def should_close(self) -> bool:
        """Whether to leave the study now, whatever runs."""


@dataclass(frozen=True)
class SimulatedTraining:
    """Learning curves that rise to a value of their config, with noise; a `Report`.

    The same config, seed and epoch report the same, whenever and however often they are asked.

    Attributes:
        max_epochs: After which a trial is over.
        value: Objective that a config's changes rise to; a number in (0, 1) drawn for each config where None.
        noise: Largest deviation of a report from its curve.
    """

    max_epochs: int = 4
    value: Callable[[Mapping[str, Any]], float] | None = None
    noise: float = 0.05

    def __call__(self, record: TrialRecord, epoch: int) -> dict[str, Any]:
        """Report an epoch of a trial."""
        changes = str(sorted(record.changes.items()))
        value = self.value(record.changes) if self.value else _uniform(0, changes)
        objective = value * (1 - math.exp(-epoch / 2)) + self.noise * _uniform(
            record.seed, f"{changes} {epoch}"
        )
        return {OBJECTIVE: objective, "epoch": epoch, HOST: "here", IS_OVER: epoch >= self.max_epochs}


def _uniform(seed: int, stream: str) -> float:
    return derive_seed(seed, stream) / 2**63


class SimulatedWorkers:
    """Workers that run an engine's trials side by side, in this process and without waiting.

    A free worker asks for the next trial at once. Where two report at the same time, the trial that was
    handed out first does so first.

    Attributes:
        now: Time on the simulated clock.
    """

    def __init__(
        self,
        engine: Engine,
        report: Report,
        n_workers: int = 1,
        epoch_time: EpochTime = lambda record, epoch: 1.0,
    ) -> None:
        """Begin at time 0, with every worker free.

        Args:
            engine: Hands out the trials.
            report: Says what they report.
            n_workers: Trials that run side by side.
            epoch_time: Says how long their epochs take; each takes 1 by default.
        """
        self._engine, self._report, self._n_workers, self._epoch_time = engine, report, n_workers, epoch_time
        # Time, place in the queue, epoch, trial.
        self._reports: list[tuple[float, int, int, TrialRecord]] = []
        self._n_started = 0
        self.now = 0.0

    def run(self, n_reports: float = math.inf, until: float = math.inf) -> None:
        """Work until the engine leaves the study or has no more trials; another call continues from there.

        Args:
            n_reports: Reports after which to pause.
            until: Time at which to pause; reports at this time are still made.
        """
        n_made = 0
        while n_made < n_reports and not self._engine.should_close():
            while len(self._reports) < self._n_workers and (record := self._engine.next_trial()):
                self._engine.started(record.trial_id)
                # From its newest checkpoint, which is at most as new as its last report.
                self._queue(record, self._n_started, max(1, record.n_epochs))
                self._n_started += 1
            if not self._reports or self._reports[0][0] > until:
                break
            self.now, place, epoch, record = heapq.heappop(self._reports)
            if self._engine.reported(record.trial_id, self._report(record, epoch)):
                self._queue(record, place, epoch + 1)
            n_made += 1

    def _queue(self, record: TrialRecord, place: int, epoch: int) -> None:
        heapq.heappush(self._reports, (self.now + self._epoch_time(record, epoch), place, epoch, record))


def begin_study(study: Study, folder: Path) -> None:
    """Write the first line of a study's ledger, and nothing else.

    Args:
        study: What is asked.
        folder: The study's, with no ledger yet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / LEDGER_FILE)
    ledger.append(define_study(study))
    ledger.close()


def define_study(study: Study, recipe: str = "", git_commit: str = "", packages: str = "") -> StudyDefined:
    """Build the first line of a study's ledger."""
    code = _describe_code(frozenset(study.plan.models(study.base)))
    return StudyDefined(
        format=FORMAT,
        study=describe_study(study),
        origin={"data": study.base.data.fingerprint} | code,
        recipe=recipe,
        optuna_storage="",
        git_commit=git_commit,
        packages=packages,
    )


@cache
def _describe_code(models: frozenset[str]) -> dict[str, Any]:
    """As `describe_code` does, read once: no trial runs, so an edit of the code changes none."""
    return describe_code(models)


def open_study(
    folder: Path,
    limits: Limits | None = None,
    observers: Sequence[StudyObserver] = (),
    max_failures: int = 0,
    storage: BaseStorage | None = None,
) -> StudyRunner:
    """Take a study up where its ledger leaves it, as each process does; nothing runs yet.

    Args:
        folder: The study's, after `begin_study`.
        limits: The study's limits.
        observers: Called with each new line.
        max_failures: Workers that a trial may lose before it fails.
        storage: Optuna's; in memory by default.

    Returns:
        To be closed, and its ledger after it.
    """
    state = read_state(folder)
    study = state.study
    storage = storage or InMemoryStorage()
    source = build_source(study.plan, state, lambda plan: Suggestions(plan, study.name, storage))
    runner = StudyRunner(study, Ledger(folder / LEDGER_FILE), state, source, limits, observers, max_failures)
    runner.open(SessionOpened(pid=1, host="here"))
    return runner


def run_study(
    study: Study,
    folder: Path,
    report: Report | None = None,
    n_workers: int = 1,
    limits: Limits | None = None,
) -> StudyState:
    """Run a study, or resume it where the folder has its ledger.

    Args:
        study: What is asked.
        folder: The study's.
        report: Says what trials report; `SimulatedTraining` for as many epochs as the base config has at most
            by default.
        n_workers: Trials that run side by side.
        limits: The study's limits.

    Returns:
        The study as its ledger records it.
    """
    if not (folder / LEDGER_FILE).is_file():
        begin_study(study, folder)
    with held(folder):
        runner = open_study(folder, limits)
        try:
            training = report or SimulatedTraining(study.base.training.max_epochs)
            SimulatedWorkers(runner, training, n_workers).run()
        finally:
            runner.close()
            runner.ledger.close()
    return read_state(folder)
