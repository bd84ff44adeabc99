"""CPU seconds and memory of an epoch of each system, as published, on means where it can.

Each system trains in a process of its own, without validation; seconds are set beside AdaPert's.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from adapert.config import OF_CELLS, Config
from adapert.data.prepared import read_prepared
from adapert.models.networks import NETWORKS
from adapert.study.plan.peers import published_config
from adapert.training.loop import run_alone
from adapert.training.state import Training
from adapert.training.threads import threads
from benchmarks.measurement import Measurement
from benchmarks.simulated import prepared

ON_MEANS = {"perturbed_vae.rows": "means", "morph.rows": "means"}
"""What lets systems that would take single cells take their means; those of cells alone take cells."""

N_EPOCHS = 6
"""Epochs at most, of which the first compiles and warms caches up."""

ENOUGH_SECONDS = 30.0
"""CPU seconds after which no further epoch begins."""

LOOK_SECONDS = 0.05
"""Between two looks at a process's memory."""


class Cost(NamedTuple):
    """What a system's training takes.

    Attributes:
        seconds: CPU seconds of an epoch on one thread.
        gigabytes: Memory of the process at most, less mapped files.
        n_parameters: Trained ones.
    """

    seconds: float
    gigabytes: float
    n_parameters: int


def measure(scratch: Path) -> Iterator[Measurement]:
    """Train every system in turn."""
    data = prepared(scratch)
    costs = {}
    for name in NETWORKS:
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            costs[name] = alone.submit(train_alone, data, name).result()
        cost = costs[name]
        rows = "cells" if name in OF_CELLS else "means"
        yield Measurement(
            name=f"epoch_of_{name}",
            value=cost.seconds / costs["adapert"].seconds,
            unit="times",
            note=f"{cost.seconds:.2f} CPU s on {rows}, {cost.gigabytes:.2f} GB, "
            f"{cost.n_parameters:,} parameters",
        )


def train_alone(data: Path, name: str) -> Cost:
    """Train a system for a few epochs, and watch the process's memory."""
    peak, is_done = [0], threading.Event()

    def watch() -> None:
        while not is_done.wait(LOOK_SECONDS):
            memory = psutil.Process().memory_info()
            peak[0] = max(peak[0], memory.rss - memory.shared)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with threads(1):
        training = Training(
            published_config(name, Config().with_changes(ON_MEANS)),
            read_prepared(data),
            0,
            torch.device("cpu"),
        )
        seconds = list(_time_epochs(training))
    is_done.set()
    watcher.join()
    n_parameters = int(training.resolved["n_parameters"])
    return Cost(statistics.median(seconds[1:] or seconds), peak[0] / 1e9, n_parameters)


def _time_epochs(training: Training) -> Iterator[float]:
    used = 0.0
    for _ in range(N_EPOCHS):
        started = time.process_time()
        run_alone(training)
        taken = time.process_time() - started
        yield taken
        used += taken
        if used > ENOUGH_SECONDS:
            return
