"""Seconds and private memory of reading a prepared data set into a trial, imports not counted."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.measurement import Measurement
from benchmarks.simulated import prepared


def measure(scratch: Path) -> Iterator[Measurement]:
    """Read the data set and build a trial on it, in a process of its own."""
    data = prepared(scratch)
    n_bytes = sum(path.stat().st_size for path in data.rglob("*.npy"))
    words = [sys.executable, "-m", "benchmarks.reading", str(data)]
    printed = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    reading, building, private_reading, private = map(float, printed)
    yield Measurement(
        name="reading",
        value=reading + building,
        unit="s",
        target=1,
        note=f"{reading:.3f} s to map the files, the rest to build the model and its rows",
    )
    yield Measurement(
        name="reading_private",
        value=100 * private / n_bytes,
        unit="%",
        target=5,
        note=f"{private / 1e6:.0f} MB of {n_bytes / 1e9:.2f} GB; files alone {private_reading / 1e6:.1f} MB",
    )


def main() -> None:
    """Print seconds to read and to build, and the private bytes after each."""
    import torch

    from adapert.config import Config
    from adapert.data.prepared import read_prepared
    from adapert.training.state import Training

    torch.set_num_threads(2)
    torch.optim.AdamW(torch.nn.Linear(1, 1).parameters(), fused=True)  # imports more on its first use
    process = psutil.Process()
    before, started = process.memory_full_info().uss, time.perf_counter()
    dataset = read_prepared(Path(sys.argv[1]))
    read, private_reading = time.perf_counter(), process.memory_full_info().uss - before
    training = Training(Config(), dataset, 0, torch.device("cpu"))
    built = time.perf_counter()
    private = process.memory_full_info().uss - before
    print(read - started, built - read, private_reading, private)
    del training


if __name__ == "__main__":
    main()
