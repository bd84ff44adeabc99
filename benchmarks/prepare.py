"""Minutes and peak memory of `adapert prepare` at the size of Replogle K562, and at twice its cells."""

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measurement import Measurement
from benchmarks.simulated import N_CELLS, input_files

BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024


def measure(scratch: Path) -> Iterator[Measurement]:
    """Run the command on simulated cells; what it writes is removed."""
    seconds, peak = _run(scratch, N_CELLS)
    yield Measurement(
        name="prepare", value=seconds / 60, unit="min", target=6, note=f"{N_CELLS:,} cells x 8,500 genes"
    )
    yield Measurement(name="prepare_peak", value=peak, unit="GB", target=4, note="largest resident set")
    twice_seconds, twice_peak = _run(scratch, 2 * N_CELLS)
    yield Measurement(
        name="prepare_peak_at_twice",
        value=twice_peak / peak,
        unit="times",
        target=1.1,
        note=f"{twice_peak:.2f} GB at {2 * N_CELLS:,} cells, in {twice_seconds / 60:.1f} min",
    )


def _run(scratch: Path, n_cells: int) -> tuple[float, float]:
    """Prepare in a process of its own; return seconds and its largest resident set in GB."""
    cells, network, text = input_files(scratch, n_cells)
    out = scratch / f"prepare_{n_cells}"
    shutil.rmtree(out, ignore_errors=True)
    options = ["--network", str(network), "--embeddings", str(text), "--out", str(out)]
    # Below a small process: a child's peak is counted from its parent's size when it was made.
    words = [sys.executable, "-m", "benchmarks.prepare", "prepare", str(cells), *options]
    seconds, peak = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-2:]
    shutil.rmtree(out)
    return float(seconds), float(peak) * BYTES_OF_MAXRSS / 1e9


def main() -> None:
    """Run the command line of `adapert` with this one's arguments; print its seconds and peak."""
    started = time.perf_counter()
    adapert = [sys.executable, "-c", "from adapert.cli import main; main()", *sys.argv[1:]]
    subprocess.run(adapert, check=True, stdout=subprocess.DEVNULL)
    print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


if __name__ == "__main__":
    main()
