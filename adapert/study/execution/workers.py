"""Ray's workers with slots: each a share of the machine or of a cluster's node, with several trials in it.

These are plain actors and no trials of Ray Tune's. To Tune a trial reports and is told to go on or to stop,
and no more; a worker with slots must be told after each epoch which of its trials end and which others come
in. Here that goes with the call that trains the next epoch.
"""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from adapert.data.shipping import ShippedFolder
from adapert.records import FAILURE, EndReason, TrialStatus
from adapert.study.engine.runner import StudyRunner
from adapert.study.execution.local import RETRY_SECONDS
from adapert.study.execution.lost_workers import describe_loss
from adapert.study.execution.resources import Resources, SlotNumber
from adapert.study.execution.settings import trial_settings
from adapert.study.execution.trainer import TrialSettings
from adapert.study.execution.trial_slots import TrialSlots

LOOK_SECONDS = 0.2
"""Seconds between two checks of limits and requests while all workers train."""


class Answer(NamedTuple):
    """What a worker answers.

    Attributes:
        n_slots: Trials that it takes at once at most.
        reports: Trial and report of its epoch, in turn.
    """

    n_slots: int
    reports: Sequence[tuple[str, dict[str, Any]]] = ()


class SlotsWorker:
    """What an actor runs: the slots of one process."""

    def __init__(self, slots: SlotNumber, shipped: ShippedFolder | None = None) -> None:
        """Make the slots, see `TrialSlots`."""
        self._slots = TrialSlots(slots, shipped)

    def get_ready(self) -> Answer:
        """Answer once the actor is there; no trial has anything to report."""
        return Answer(self._slots.n_slots)

    def train_epoch(self, left: Sequence[str], taken: Sequence[TrialSettings]) -> Answer:
        """Train an epoch of each trial.

        Args:
            left: Trials that have ended.
            taken: Trials that come in.
        """
        for trial_id in left:
            self._slots.leave(trial_id)
        for settings in taken:
            self._slots.take(settings)
        reports = list(self._slots.train_epoch())
        if any(report.get(FAILURE) == EndReason.WORKER for _, report in reports):
            time.sleep(RETRY_SECONDS)
        return Answer(self._slots.n_slots, reports)


@dataclass(eq=False)
class _Worker:
    """An actor, as the driver sees it.

    Attributes:
        actor: Ray's handle.
        n_slots: Trials that it takes at once at most; 0 until it has answered.
        trials: Those in its slots.
        left: Trials that have ended since its last epoch began.
        taken: Trials that came in since then.
    """

    actor: Any
    n_slots: int = 0
    trials: set[str] = field(default_factory=set)
    left: list[str] = field(default_factory=list)
    taken: list[TrialSettings] = field(default_factory=list)


class Workers:
    """Runs what a runner hands out in as many workers as find a place."""

    def __init__(self, runner: StudyRunner, resources: Resources, shipped: ShippedFolder | None = None):
        """Start no worker yet.

        Args:
            runner: Says what is run, and when to leave.
            resources: What the study may use; the share of a trial is that of a worker.
            shipped: The prepared data set, for nodes that do not see its path.
        """
        self._runner, self._resources = runner, resources
        self._arguments = resources.slots, None if shipped is None else ray.put(shipped)
        self._actor: Any = ray.remote(
            num_cpus=resources.cpus_per_trial, num_gpus=resources.gpus_per_trial, max_restarts=0
        )(SlotsWorker)
        self._idle: list[_Worker] = []
        self._busy: dict[Any, _Worker] = {}

    def run(self) -> None:
        """Run until nothing is left to hand out and to wait for, or the runner leaves the study."""
        try:
            while not self._runner.should_close() and not self._runner.is_done:
                self._start_workers()
                if not self._fill() and not self._runner.n_running:
                    return
                finished, _ = ray.wait(list(self._busy), timeout=LOOK_SECONDS)
                for answer in finished:
                    self._take_answer(answer)
        finally:
            for worker in [*self._idle, *self._busy.values()]:
                ray.kill(worker.actor)

    def _start_workers(self) -> None:
        """Start the workers that find a place, and on a cluster one more, so that it knows to grow."""
        n_wanted = self._count_places() + bool(self._resources.address)
        for _ in range(min(n_wanted, self._n_left) - len(self._idle) - len(self._busy)):
            worker = _Worker(self._actor.remote(*self._arguments))
            self._busy[worker.actor.get_ready.remote()] = worker

    def _count_places(self) -> int:
        if not self._resources.address:
            return self._resources.n_workers
        n_fitting = self._resources.count_fitting(ray.cluster_resources())
        return min(n_fitting, self._resources.max_concurrent or n_fitting)

    @property
    def _n_left(self) -> int:
        """Trials that have not ended, at most."""
        state = self._runner.state
        n_ended = sum(record.status != TrialStatus.RUNNING for record in state.records.values())
        return state.n_asked - n_ended

    def _fill(self) -> bool:
        """Hand trials to the workers that wait for some, and let those train; whether more may be had."""
        may_have_more = True
        while (worker := self._choose_worker()) and may_have_more:
            record = self._runner.next_trial()
            if record is None:
                may_have_more = False
            else:
                runner = self._runner
                worker.trials.add(record.trial_id)
                worker.taken.append(trial_settings(record, runner.study, runner.folder, self._resources))
                runner.started(record.trial_id)
        for worker in [each for each in self._idle if each.trials]:
            self._idle.remove(worker)
            self._busy[worker.actor.train_epoch.remote(worker.left, worker.taken)] = worker
            worker.left, worker.taken = [], []
        return may_have_more

    def _choose_worker(self) -> _Worker | None:
        """Choose the worker with the fewest trials, if another trial may begin and a slot is free.

        Remaining trials are divided evenly, so that two GPUs share what would fit into one.
        """
        most = self._resources.max_concurrent
        if most is not None and self._runner.n_running >= most:
            return None
        n_each = math.ceil(self._n_left / max(1, self._count_places()))
        free = [worker for worker in self._idle if len(worker.trials) < min(worker.n_slots, n_each)]
        return min(free, key=lambda worker: len(worker.trials), default=None)

    def _take_answer(self, answer: Any) -> None:
        worker = self._busy.pop(answer)
        try:
            n_slots, reports = ray.get(answer)
        except RayError as error:
            self._lose(worker, error)
            return
        worker.n_slots = n_slots
        for trial_id, report in reports:
            if not self._runner.reported(trial_id, report):
                worker.trials.remove(trial_id)
                worker.left.append(trial_id)
        self._idle.append(worker)

    def _lose(self, worker: _Worker, error: RayError) -> None:
        """Hand the trials of a lost worker out again."""
        with suppress(RayError):
            ray.kill(worker.actor)
        reason, message = describe_loss(error)
        if reason == EndReason.MEMORY and len(worker.trials) > 1:
            reason = EndReason.WORKER  # of several it cannot be said which took the memory
        trials = worker.trials
        if not worker.n_slots and (record := self._runner.next_trial()):
            trials = {record.trial_id}  # else workers that never come up would be started without end
        for trial_id in sorted(trials, reverse=True):
            self._runner.failed(trial_id, reason, message)
