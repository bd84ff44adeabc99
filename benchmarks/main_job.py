"""Seconds and peak memory of the main job on simulated data: what `make demo` runs.

    python -m benchmarks.main_job

Memory is the sum over all processes of the job, shared pages counted once (PSS; Linux), sampled.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.25
SPLIT = ("--split-fractions", "0.5", "0.2", "0.3")
BUDGET = ("--trials", "12", "--seeds", "3", "--max-epochs", "40", "--min-epochs", "30")


def commands(directory: Path) -> list[list[str]]:
    """List the job's commands, each in a directory of its own."""
    cells, prepared = directory / "input", directory / "prepared"
    runs = str(directory / "runs")
    network, text = ("--network", f"{cells}/network.tsv.gz"), ("--embeddings", f"{cells}/text.npz")
    return [
        ["simulate", "--out", str(cells)],
        ["prepare", f"{cells}/cells.h5ad", *network, *text, *SPLIT, "--out", str(prepared)],
        ["reproduce", "--data", str(prepared), "--workspace", runs, *BUDGET],
    ]


def measure(arguments: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and its processes' peak memory in GB."""
    started, peak = time.perf_counter(), 0.0
    adapert = [sys.executable, "-c", "from adapert.cli import main; main()", *arguments]
    with subprocess.Popen(adapert, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, memory(psutil.Process(process.pid)))
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        sys.exit(f"adapert {' '.join(arguments)} ended with status {process.returncode}")
    return time.perf_counter() - started, peak


def memory(process: psutil.Process) -> float:
    """Sum the proportional memory of a process and all below it, GB."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_full_info().pss
        except psutil.Error:  # it ended in between
            continue
    return total / 1e9


def main() -> None:
    """Run and measure each command of the job."""
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as directory:
        measured = [(words[0], *measure(words)) for words in commands(Path(directory))]
    for name, seconds, peak in measured:
        print(f"{name:<10}{seconds:6.1f} s  {peak:.2f} GB")
    print(f"{'all':<10}{sum(row[1] for row in measured):6.1f} s  {max(row[2] for row in measured):.2f} GB")


if __name__ == "__main__":
    main()
