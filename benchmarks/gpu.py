"""What a GPU makes of AdaPert's training, at the size of K562's responses, in about 6 minutes.

    python -m benchmarks gpu [--device cuda] [--slots 8,16,32] [--minutes 6] [--small]

The losses of the GPU beside those of the CPU; trials an hour of one process a trial, of four processes that
share the card, and of slots; memory; the share of an epoch that the card computes; other precisions. Data are
drawn. Of packages it needs torch, numpy, scipy, numba, pydantic, psutil and threadpoolctl; run it from a
checkout. Nothing is begun after the minutes; what that leaves out is said.

`--small` is a set of data that a CPU trains on in seconds, to see that it works.
"""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.synchronize import Barrier
from typing import Any

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.training.loop import run_alone
from adapert.training.slots import Slots
from adapert.training.threads import threads
from benchmarks.measurement import Measurement, build_parser
from benchmarks.random_data import draw_dataset
from benchmarks.slots import build_trials, clock, measure_equality, measure_slots, trials_an_hour

N_PROCESSES = 4
"""Processes that share the card, as with ``--gpus-per-trial 0.25``."""

READY_SECONDS = 120.0
"""Until all of them have trained an epoch; after that one of them must have failed."""

N_EPOCHS = 3

SMALL_DATA = {"n_nodes": 60, "n_training": 30, "n_validation": 8}
SMALL_MODEL = {
    "model.structural_size": 8,
    "model.latent_size": 8,
    "model.hidden_size": 8,
    "model.score_size": 8,
    "model.spectral_size": 8,
    "model.output_basis": 4,
}

GOAL_SLOTS = 32
GOALS = {"alone": 12.0, "processes": 4.0}
"""How many times as many trials so many slots should train as one process, and as four processes."""


def main(words: Sequence[str]) -> None:
    """Measure, and print a line a figure."""
    parser = build_parser("benchmarks gpu", __doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--slots", default="8,16,32")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args(words)
    device = torch.device(arguments.device)
    until = time.monotonic() + 60 * arguments.minutes
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores, 1 thread"
    print(f"{on}, torch {torch.__version__}, numpy {np.__version__}", flush=True)
    config = Config().with_changes(SMALL_MODEL if arguments.small else {})
    dataset = draw_dataset(**(SMALL_DATA if arguments.small else {}))
    n_slots = [int(number) for number in arguments.slots.split(",")]
    with threads(1):
        for name, work in _works(dataset, config, n_slots, device, arguments.small):
            if time.monotonic() > until:
                print(f"{name:<22}  left out: {arguments.minutes:g} minutes are over", flush=True)
                continue
            for measurement in work():
                print(measurement, flush=True)


def _works(
    dataset: PreparedDataset, config: Config, n_slots: Sequence[int], device: torch.device, is_small: bool
) -> Iterator[tuple[str, Callable[[], list[Measurement]]]]:
    """What is measured, by name and in turn."""
    rates: dict[str, float] = {}

    def alone() -> list[Measurement]:
        (single,) = build_trials(dataset, config, 1, device)
        rates["alone"] = trials_an_hour(lambda: run_alone(single), 1, N_EPOCHS, device)
        return [Measurement(name="alone", value=rates["alone"], unit="an hour")]

    def processes() -> list[Measurement]:
        rates["processes"] = share_card(device, is_small)
        note = f"{N_PROCESSES} processes at once"
        return [Measurement(name="processes", value=rates["processes"], unit="an hour", note=note)]

    def slots(number: int, precision: str) -> list[Measurement]:
        name = f"slots_{number}" + ("" if precision == "float32" else f"_{precision}")
        changed = config.with_changes({"training.precision": precision})
        measured = measure_slots(dataset, changed, number, N_EPOCHS, device, rates["alone"], name)
        rates[name] = measured.value * rates["alone"]
        return [measured]

    def share() -> list[Measurement]:
        return [measure_share(dataset, config, n_slots[-1], device)]

    def goals() -> list[Measurement]:
        largest = rates.get(f"slots_{n_slots[-1]}", float("nan"))
        return [
            Measurement(
                name=f"slots_to_{name}",
                value=largest / rates[name],
                unit="times",
                target=None if is_small or n_slots[-1] != GOAL_SLOTS else GOALS[name],
                bound="at least",
            )
            for name in GOALS
            if name in rates
        ]

    yield "equality", lambda: measure_equality(dataset, config, N_EPOCHS, device)
    yield "alone", alone
    for number in n_slots:
        yield f"slots_{number}", lambda number=number: slots(number, "float32")  # type: ignore[misc]
    yield "processes", processes
    yield "goals", goals
    yield "share", share
    for precision in ("tf32", "bfloat16"):
        yield precision, lambda precision=precision: slots(n_slots[-1], precision)  # type: ignore[misc]


def share_card(device: torch.device, is_small: bool) -> float:
    """Train a trial in each of several processes at the same time, and add up their trials an hour."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        rates: Any = manager.list()
        barrier = context.Barrier(N_PROCESSES)
        workers = [
            context.Process(target=_train_beside, args=(seed, str(device), is_small, barrier, rates))
            for seed in range(N_PROCESSES)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return float(sum(rates)) if len(rates) == N_PROCESSES else float("nan")


def _train_beside(seed: int, device: str, is_small: bool, barrier: Barrier, rates: Any) -> None:
    """Time a trial while others train theirs; those that are not ready keep them waiting."""
    torch.set_num_threads(1)
    config = Config().with_changes(SMALL_MODEL if is_small else {})
    dataset = draw_dataset(**(SMALL_DATA if is_small else {}))
    training = build_trials(dataset, config, seed + 1, torch.device(device))[seed]
    run_alone(training)
    barrier.wait(timeout=READY_SECONDS)
    rates.append(trials_an_hour(lambda: run_alone(training), 1, N_EPOCHS, torch.device(device)))


def measure_share(
    dataset: PreparedDataset, config: Config, n_slots: int, device: torch.device
) -> Measurement:
    """Measure how much of an epoch's time the card computes; of a CPU, how much torch's operations take."""
    slots = Slots(build_trials(dataset, config, n_slots, device))
    slots.train_epoch()
    is_cuda = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if is_cuda else [])]
    with profile(activities=activities) as profiled:
        started = time.perf_counter()
        slots.train_epoch()
        clock(device)  # until the card has done its work
        seconds = time.perf_counter() - started
    times = {
        # Operators have their kernels' time once more.
        event.key: event.self_device_time_total if is_cuda else event.self_cpu_time_total
        for event in profiled.key_averages()
        if not is_cuda or (event.device_type.name == "CUDA" and not event.is_user_annotation)
    }
    return Measurement(
        name="share_in_kernels",
        value=sum(times.values()) / 1e6 / seconds,
        unit="of an epoch",
        note=f"{n_slots} slots, while profiled; most in {max(times, key=lambda name: times[name])[:40]}",
    )
