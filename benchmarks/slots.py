"""Trials an hour and memory of trials side by side in one process, and how far their numbers are from alone.

    python -m benchmarks slots --data DIR [--device cuda] [--slots 1,8,16,32] [--epochs 3]

Trials differ in settings that AdaPert's search varies, and in their seeds. On a GPU the same trials are also
trained on the CPU, for equality, with the noise that the CPU draws. An epoch is of training alone on a CPU,
and includes validation on a GPU, where that is part of it; a trial counts as 50 of them. On a CPU its own
seconds count, on a GPU those of the clock.
"""

import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adapert.config import Config
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.seeding import numpy_generator, torch_generator
from adapert.training.loop import TrainedEpoch, run_alone
from adapert.training.slots import Slots
from adapert.training.state import Training
from adapert.training.threads import threads
from benchmarks.measurement import Measurement, build_parser

EPOCHS_PER_TRIAL = 50
N_ALIKE = 4
"""Trials whose numbers are compared."""

HOST_READS = ("_local_scalar_dense", "is_nonzero", "_to_copy")
"""Calls that may wait for the device."""


class CountedCalls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what a block asks torch to compute."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count a call that computes; views of memory cost nothing."""
        if not function.is_view:
            self.calls[function._schema.name.partition("::")[2]] += 1
        return function(*args, **kwargs or {})


def build_trials(
    dataset: PreparedDataset, config: Config, n_trials: int, device: torch.device
) -> list[Training]:
    """Build trials of drawn settings, a seed each."""
    generator = numpy_generator(0, "slots")
    return [
        Training(config.with_changes(_draw_changes(generator)), dataset, seed, device)
        for seed in range(n_trials)
    ]


def _draw_changes(generator: np.random.Generator) -> dict[str, Any]:
    """Draw what a search of AdaPert beside other systems varies, without the package that searches."""
    return {
        "loss.lambda_non": 10 ** generator.uniform(-5, -1),
        "loss.lambda_align": 10 ** generator.uniform(-4, 0),
        "loss.huber_delta": generator.uniform(0.1, 2),
        "model.tau": 10 ** generator.uniform(-1, 0.3),
        "model.threshold": 2 ** generator.uniform(-2, 5),
        "model.dropout": generator.uniform(0.1, 0.7),
        "graph.top_k": int(generator.choice([5, 10, 20])),
        "training.learning_rate": 10 ** generator.uniform(-3.5, -2.5),
    }


def clock(device: torch.device) -> float:
    """Seconds of the CPU, or of the clock when a GPU has done its work."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def trials_an_hour(
    run_epoch: Callable[[], object], n_trials: int, n_epochs: int, device: torch.device
) -> float:
    """Time epochs of several trials, after one that warms up."""
    run_epoch()
    started = clock(device)
    for _ in range(n_epochs):
        run_epoch()
    return 3600 * n_trials * n_epochs / EPOCHS_PER_TRIAL / (clock(device) - started)


def largest_difference(one: Sequence[TrainedEpoch], other: Sequence[TrainedEpoch]) -> float:
    """Relative to the second's losses."""
    return max(
        abs(value / known.losses[name] - 1) if known.losses[name] else abs(value)
        for found, known in zip(one, other, strict=True)
        for name, value in found.losses.items()
    )


def train_together(trainings: Sequence[Training], n_epochs: int) -> list[TrainedEpoch]:
    """Train slots, and return the last epoch of each.

    Raises:
        DivergedError: A loss is not finite.
    """
    slots = Slots(trainings)
    for _ in range(n_epochs):
        epochs = slots.train_epoch()
    for epoch in epochs:
        if not isinstance(epoch, TrainedEpoch):
            raise epoch
    return [epoch for epoch in epochs if isinstance(epoch, TrainedEpoch)]


def train_apart(trainings: Sequence[Training], n_epochs: int) -> list[TrainedEpoch]:
    """Train trials one after the other, and return the last epoch of each."""
    return [[run_alone(training) for _ in range(n_epochs)][-1] for training in trainings]


def measure_equality(
    dataset: PreparedDataset, config: Config, n_epochs: int, device: torch.device
) -> list[Measurement]:
    """Compare slots with the same trials alone, and on a GPU with the CPU."""

    def build(device: torch.device) -> list[Training]:
        trainings = build_trials(dataset, config, N_ALIKE, device)
        for training in trainings:
            # A GPU's own generator draws other numbers from the same seed.
            training.generator = torch_generator(training.seed, "noise")
        return trainings

    together, alone = train_together(build(device), n_epochs), train_apart(build(device), n_epochs)
    found = [_difference("slots_and_alone", largest_difference(together, alone), 1e-5, n_epochs)]
    if device.type != "cpu":
        on_cpu = train_apart(build(torch.device("cpu")), n_epochs)
        found.append(_difference(f"{device.type}_and_cpu", largest_difference(alone, on_cpu), 1e-4, n_epochs))
    return found


def _difference(name: str, value: float, target: float, n_epochs: int) -> Measurement:
    note = f"of losses after {n_epochs} epochs, {N_ALIKE} trials"
    return Measurement(name=name, value=value, unit="relative", target=target, note=note)


def measure_slots(
    dataset: PreparedDataset,
    config: Config,
    n_slots: int,
    n_epochs: int,
    device: torch.device,
    alone: float,
    name: str = "",
) -> Measurement:
    """Train so many slots; `alone` is the trials an hour of one after the other."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    slots = Slots(build_trials(dataset, config, n_slots, device))
    rate = trials_an_hour(slots.train_epoch, n_slots, n_epochs, device)
    with CountedCalls() as counted:
        slots.train_epoch()
    n_steps = -(-len(dataset.splits["train"].table.perturbations) // config.training.minibatch_size)
    reads = sum(counted.calls[name] for name in HOST_READS) / n_steps
    calls = f"{counted.calls.total() / n_steps:,.0f} calls a step, {reads:.0f} may wait"
    note = f"{rate:,.0f} trials an hour; {calls}"
    return Measurement(
        name=name or f"slots_{n_slots}",
        value=rate / alone,
        unit="times",
        note=f"{note}; {_peak_memory(device)}",
    )


def _peak_memory(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB of the GPU at most"
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB so far"


def main(words: Sequence[str]) -> None:
    """Measure, and print a line a figure."""
    parser = build_parser("benchmarks slots", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="prepared data set")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--slots", default="1,8,16,32")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--precision", default="float32", choices=["float32", "tf32", "bfloat16"])
    arguments = parser.parse_args(words)
    device = torch.device(arguments.device)
    dataset = read_prepared(arguments.data, ("train", "validation"))
    config = Config().with_changes({"training.precision": arguments.precision})
    on = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores, 1 thread"
    print(f"{on}, torch {torch.__version__}, numpy {np.__version__}; data {dataset.fingerprint}", flush=True)
    with threads(1):
        for measurement in measure_equality(dataset, config, arguments.epochs, device):
            print(measurement, flush=True)
        (single,) = build_trials(dataset, config, 1, device)
        alone = trials_an_hour(lambda: run_alone(single), 1, arguments.epochs, device)
        print(Measurement(name="alone", value=alone, unit="an hour", note=_peak_memory(device)), flush=True)
        for n_slots in map(int, arguments.slots.split(",")):
            print(measure_slots(dataset, config, n_slots, arguments.epochs, device, alone), flush=True)
