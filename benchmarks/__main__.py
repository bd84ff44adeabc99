"""Run benchmarks and compare them with their targets.

python -m benchmarks core                 the tables of speed and memory, an hour on 2 cores
python -m benchmarks epoch mann_whitney   some of its rows
python -m benchmarks studies              what orchestration and tracking cost, a quarter of an hour
python -m benchmarks at_scale             reading commands over 1,000 trials and 20 studies
python -m benchmarks parity               agreement with cell-eval, a line a metric
python -m benchmarks systems              CPU seconds and memory of an epoch of each system
python -m benchmarks executors            what a short study takes on Ray and without it
python -m benchmarks search_quality       speed-up of samplers and early stopping; has options of its own
python -m benchmarks kills                a study killed at random moments equals one left alone
python -m benchmarks fuzz                 damaged inputs are read, or refused in one sentence
python -m benchmarks importance           importance intervals cover what is known
python -m benchmarks training_size        how Pearson-delta grows with the training set; --data DIR
python -m benchmarks slots                trials side by side in one process; --data DIR, for a GPU
python -m benchmarks gpu                  the same on drawn data, all that a card is asked, about 6 minutes
python -m benchmarks coverage             how often intervals cover a known truth, and tests err

Prints ``NAME measured target ok|short`` a line a target, and exits 0 only if none is short.
"""

import importlib
import os
import platform
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.measurement import build_parser

GROUPS = {
    "core": (
        "epoch",
        "step",
        "denormals",
        "context",
        "graph_attention",
        "evaluation",
        "mann_whitney",
        "prepare",
        "reading",
    ),
    "studies": ("scheduling", "tracking"),
}
"""Name of a group to its benchmarks; a benchmark is the function `measure` of its module here."""

SINGLE = ("at_scale", "executors", "parity", "systems")
"""Benchmarks of no group."""

WITH_OPTIONS = ("search_quality", "kills", "importance", "coverage", "fuzz", "training_size", "slots", "gpu")
"""Benchmarks with a command line of their own, `main` of their module; each is run alone."""


def main() -> None:
    """Run the benchmarks that were named."""
    if sys.argv[1:2] and sys.argv[1] in WITH_OPTIONS:
        importlib.import_module(f"benchmarks.{sys.argv[1]}").main(sys.argv[2:])
        return
    names = {*SINGLE, *(name for group in GROUPS.values() for name in group)}
    parser = build_parser("benchmarks", __doc__)
    parser.add_argument("names", nargs="+", choices=[*GROUPS, *sorted(names)], metavar="NAME")
    parser.add_argument(
        "--scratch", type=Path, default=Path("benchmark-data"), help="where simulated data are kept"
    )
    arguments = parser.parse_args()
    chosen = dict.fromkeys(part for name in arguments.names for part in GROUPS.get(name, (name,)))
    print(
        f"{os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}, "
        f"torch {torch.__version__}",
        flush=True,
    )
    is_ok = True
    for name in chosen:
        for measurement in importlib.import_module(f"benchmarks.{name}").measure(arguments.scratch):
            print(measurement, flush=True)
            is_ok &= measurement.is_ok
    sys.exit(0 if is_ok else 1)


if __name__ == "__main__":
    main()
