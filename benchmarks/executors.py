"""What a short study takes on Ray and in the command's own process, launched in turn.

Counted are wall time, and CPU seconds and resident memory of the command and of all that it starts, Ray's own
processes among them.
"""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.kills import COMMAND, prepare_small
from benchmarks.measurement import Measurement

EXECUTORS = ("ray", "local")
N_TRIALS, N_EPOCHS = 2, 2
N_ROUNDS = 3
LOOK_SECONDS = 0.1


@dataclass(frozen=True)
class Use:
    """What a command and its processes took."""

    wall_seconds: float
    cpu_seconds: float
    memory_bytes: int


def measure(scratch: Path) -> Iterator[Measurement]:
    """Launch the same search by each executor, in turn."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        data = prepare_small(folder)
        uses: dict[str, list[Use]] = {executor: [] for executor in EXECUTORS}
        for number in range(N_ROUNDS):
            for executor in EXECUTORS:
                uses[executor].append(_launch(data, folder / f"{executor}_{number}", executor))
    for name, unit, scale in (
        ("wall_seconds", "s", 1),
        ("cpu_seconds", "s", 1),
        ("memory_bytes", "GB", 1e9),
    ):
        on_ray, here = (
            statistics.median(getattr(use, name) for use in uses[each]) / scale for each in EXECUTORS
        )
        yield Measurement(
            name=f"local_{name}",
            value=here,
            unit=unit,
            target=on_ray,
            note=f"{N_TRIALS} trials of {N_EPOCHS} epochs, median of {N_ROUNDS}; on Ray {on_ray:.3g}, "
            f"{on_ray / here:.1f} times",
        )


def _launch(data: Path, workspace: Path, executor: str) -> Use:
    size = ("--trials", str(N_TRIALS), "--max-epochs", str(N_EPOCHS))
    where = ("--data", str(data), "--workspace", str(workspace))
    words = [*COMMAND, "launch", "search", *where, *size, "--device", "cpu", "--executor", executor]
    started = time.perf_counter()
    command = psutil.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    cpu: dict[int, float] = {}
    memory = 0
    while command.poll() is None:
        memory = max(memory, _look(command, cpu))
        time.sleep(LOOK_SECONDS)
    assert command.returncode == 0
    return Use(time.perf_counter() - started, sum(cpu.values()), memory)


def _look(command: psutil.Process, cpu: dict[int, float]) -> int:
    """Note each process's CPU seconds so far; return the memory that they do not share with each other."""
    memory = 0
    with suppress(psutil.Error):
        for process in (command, *command.children(recursive=True)):
            with suppress(psutil.Error):  # it has ended meanwhile
                times = process.cpu_times()
                cpu[process.pid] = times.user + times.system
                memory += process.memory_full_info().uss
    return memory
