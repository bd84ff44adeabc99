"""Run a study's trials on Ray Tune, on this machine or a cluster."""

import gc
import logging
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from adapert.data.shipping import ShippedFolder
from adapert.errors import InputError, first_line
from adapert.process import log_levels, signal_handlers
from adapert.study.engine.runner import StudyRunner
from adapert.study.execution.ray_head import (
    CLUSTER_PATIENCE,
    LOCAL_PATIENCE,
    Address,
    Processes,
    Watch,
    abandon,
    draw_token,
    find_parts,
    private_folder,
    ray_environment,
    run_watched,
    wait_for_parts,
)
from adapert.study.execution.resources import Resources, count_cpus

_LOGGER = logging.getLogger(__name__)

RAY_SETTINGS: dict[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Relative paths of the user's stay true in workers.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # Tune's own CSV, JSON and TensorBoard loggers halve the speed of a report.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # The study takes Ctrl-C itself.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The ledger stands for Tune's own snapshots, which grow with every trial.
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Actors made at once: by default one after the other; how many trials there are is the searcher's to say.
    "TUNE_MAX_PENDING_TRIALS_PG": "256",
}

RAY_LEVELS = {
    "ray": logging.ERROR,
    # A failed trial is recorded with its message; Tune would print its traceback as well.
    "ray.tune": logging.CRITICAL,
}
"""Levels of what Ray logs in this process."""

SCRATCH = "ray"
"""Ray Tune's folder below a study's: nobody reads it."""

SHIPPED_PACKAGES = ("adapert", "search_spaces", "studies")
"""Code that is shipped to the workers of a cluster."""


def run_on_ray(runner: StudyRunner, resources: Resources, take_signals: Callable[[], None]) -> None:
    """Run what a runner hands out in worker processes, as many as fit: of a trial each, or of several slots.

    Args:
        runner: Says what is run, and when to leave.
        resources: What the study may use.
        take_signals: Sets the study's signal handlers again, after Ray has set its own.

    Raises:
        InputError: There is no cluster at the address.
    """
    try:
        with _joined_ray(resources.address) as head:
            take_signals()
            if not runner.should_close():
                work = _build_work(runner, resources)
                head.lost = run_watched(work, head.watch(), head.processes.note)
                if head.lost:
                    runner.lose_ray(head.lost)
    finally:
        clear_scratch(runner.folder)


def clear_scratch(folder: Path) -> None:
    """Remove what Ray Tune wrote into a study's folder, also for a process that was killed."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)


class Head:
    """The Ray that a block runs on.

    Attributes:
        address: Address of a cluster; empty for this machine alone.
        lost: The part of it that no longer answers; empty while all do.
        processes: Processes that it consists of, where they are this process's own.
    """

    def __init__(self, address: str) -> None:
        self.address, self.lost = address, ""
        self.processes = Processes()

    @cached_property
    def _parts(self) -> dict[str, Address]:
        # Ray's client has a patience of its own.
        return {} if self.address.startswith("ray://") else find_parts()

    def watch(self) -> Watch:
        """Watch what this process cannot do without."""
        return Watch(self._parts, CLUSTER_PATIENCE if self.address else LOCAL_PATIENCE)


class _SharedRay:
    """What the studies of a `one_ray` block run on; the first of them starts it."""

    def __init__(self, started: ExitStack) -> None:
        self._started = started
        self._head: Head | None = None

    def join(self, address: str) -> Head:
        """Return the Ray that runs, or start one: the first, after a lost one, or at another address."""
        if self._head is not None and (lost := wait_for_parts(self._head.watch())):
            _LOGGER.warning(f"Ray's {lost} was lost between two studies. Another Ray is started.")
            self._head.lost = lost
            self.leave()
        if self._head is not None and self._head.address != address:
            self.leave()
        if self._head is None:
            self._head = self._started.enter_context(started_ray(address))
        return self._head

    def leave(self) -> None:
        """End the Ray that runs."""
        self._head = None
        self._started.close()


_SHARED: ContextVar[_SharedRay | None] = ContextVar("_SHARED", default=None)


@contextmanager
def one_ray() -> Iterator[None]:
    """Let the studies of a block, one after the other, share a Ray, which takes seconds to start and to end.

    None is started where no study asks for it. A block is of one thread, and one within it shares its Ray.

    Raises:
        KeyboardInterrupt: SIGTERM or SIGHUP came between two studies: unhandled, they would leave Ray behind.
    """
    if _SHARED.get() is not None:
        yield
        return
    with _interrupted_by_signals(), ExitStack() as started:
        before = _SHARED.set(_SharedRay(started))
        try:
            yield
        finally:
            _SHARED.reset(before)


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets only the main thread set handlers
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    # Under nohup studies outlive their terminal.
    ended_by = (signal.SIGTERM, signal.SIGHUP)
    with signal_handlers({each: interrupt for each in ended_by if signal.getsignal(each) != signal.SIG_IGN}):
        yield


@contextmanager
def _joined_ray(address: str) -> Iterator[Head]:
    shared = _SHARED.get()
    if shared is None:
        with started_ray(address) as head:
            yield head
        return
    head = shared.join(address)
    try:
        yield head
    finally:
        if head.lost:  # before its study is closed: whoever resumes it must not meet its workers
            shared.leave()


@contextmanager
def started_ray(address: str = "") -> Iterator[Head]:
    """Start Ray on this machine and leave no process of it behind, or join the cluster at an address.

    The process's environment and log levels are afterwards as they were.

    Raises:
        InputError: There is no cluster at the address, Ray does not start, or this process has a Ray of its
            own.
    """
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        raise InputError(
            "A study starts and ends its own Ray, but this process already has one. Call ray.shutdown() "
            "before, or run the study in a process of its own."
        )
    head, token = Head(address), {} if address else draw_token()
    breakpoint_of_ray = {"PYTHONBREAKPOINT": os.environ.get("PYTHONBREAKPOINT")}
    with ray_environment(RAY_SETTINGS | token | breakpoint_of_ray):
        import ray

        with nullcontext() if address else private_folder() as folder, log_levels(RAY_LEVELS):
            try:
                _connect(address, folder, head.processes)
                with _no_other_ray(head):
                    yield head
            finally:
                with _garbage_collected_before():
                    abandon() if head.lost else ray.shutdown()
                if head.lost and not address:
                    head.processes.kill()


@contextmanager
def _no_other_ray(head: Head) -> Iterator[None]:
    """Keep a call that comes late, once Ray is shut down, from starting another one without a token."""
    hook: Any = import_module("ray._private.auto_init_hook")
    before, hook.enable_auto_connect = hook.enable_auto_connect, False
    is_over = True
    try:
        yield
    except BaseException as error:
        is_over = isinstance(error, Exception)  # after a second Ctrl-C Tune's thread may still be at work
        raise
    finally:
        if is_over and not head.lost:
            hook.enable_auto_connect = before


def _connect(address: str, folder: Path | None, processes: Processes) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": RAY_LEVELS["ray"]}
    if folder is not None:
        options = {"_temp_dir": str(folder), "num_cpus": count_cpus(), "include_dashboard": False}
        try:
            ray.init(address="local", **options, **quiet)
        except Exception as error:  # Ray's own, such as of a node that is late: some are of no other class
            processes.note()
            processes.kill()  # those of a head that is half there
            raise InputError(
                f"A study needs Ray to start on this machine, but it did not: {first_line(error)} Try again "
                "when the machine is less busy, or do without: --executor local."
            ) from error
        return
    modules = [str(Path(import_module(package).__path__[0])) for package in SHIPPED_PACKAGES]
    try:
        ray.init(address=address, runtime_env={"py_modules": modules, "env_vars": RAY_SETTINGS}, **quiet)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--address must be that of a Ray cluster, but '{address}' is none: {first_line(error)} "
            "Start one with 'ray start --head', or leave it out to use this machine alone."
        ) from error


@contextmanager
def _garbage_collected_before() -> Iterator[None]:
    """Collect garbage before the block and none within it.

    Ray ends the process where another thread's collection frees a reference of it while it shuts down.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _build_work(runner: StudyRunner, resources: Resources) -> Callable[[], object]:
    """Build what runs the trials: Ray Tune, or workers with slots."""
    shipped = ShippedFolder.pack(Path(runner.study.base.data.path)) if resources.ships_data else None
    if resources.slots == 1:
        return _build_tuner(runner, resources, shipped).fit  # type: ignore[no-any-return]
    from adapert.study.execution.workers import Workers

    return Workers(runner, resources, shipped).run


def _build_tuner(runner: StudyRunner, resources: Resources, shipped: ShippedFolder | None) -> Any:
    from ray import tune

    from adapert.study.execution.trainable import TrialTrainable
    from adapert.study.execution.tune import RunnerCallback, RunnerScheduler, RunnerSearcher, RunnerStopper

    trainable: Any = TrialTrainable
    if shipped is not None:
        trainable = tune.with_parameters(trainable, shipped=shipped)
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": resources.cpus_per_trial, "gpu": resources.gpus_per_trial}),
        tune_config=tune.TuneConfig(
            num_samples=-1,  # the runner says when it is enough
            search_alg=RunnerSearcher(runner, resources),
            scheduler=RunnerScheduler(runner),
            reuse_actors=True,
            trial_name_creator=lambda trial: str(trial.config["trial"]),
            # A trial that is handed out again is another one to Tune.
            trial_dirname_creator=lambda trial: f"{trial.config['trial']}_{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=SCRATCH,
            storage_path=str(runner.folder),
            callbacks=[RunnerCallback(runner)],
            stop=RunnerStopper(runner),
            # Trials keep their own: Tune's copies are not written whole.
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            verbose=0,
        ),
    )
