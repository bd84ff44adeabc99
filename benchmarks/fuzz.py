"""Damage inputs of every kind in many ways, and see that each is read or refused in one sentence.

    python -m benchmarks fuzz --seed 0 --n 300

Each damaged input goes through the real command, or the reader behind it, in a process of its own: at most
20 s, at most 2 GB. An input is accepted (status 0) or refused (status 2, one sentence). Anything else is
counted by what it is, and is short of the target: a traceback, a crash, a hang, too much memory, output
half-written.
"""

import os
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from adapert.seeding import numpy_generator
from benchmarks.fuzz_inputs import KINDS, copy_inputs, damage, write_sound
from benchmarks.measurement import build_parser

LIMIT_SECONDS = 20
LIMIT_BYTES = 2_000_000_000

GOOD = ("accepted", "refused")
BAD = ("traceback", "crash", "hang", "memory", "half-written")

_BROKEN = 98
"""Status of a case that could not be made: an error of this benchmark."""


@dataclass(frozen=True)
class Case:
    """One damaged input.

    Attributes:
        number: From 0; number and seed together reproduce the input.
        kind: Kind of the input.
        way: File, and what was done to it.
        outcome: One of `GOOD` or `BAD`.
        said: What it printed to stderr; the last line is the refusal, the traceback's end or the signal.
    """

    number: int
    kind: str
    way: str
    outcome: str
    said: str


def run_cases(sound: Path, seed: int, numbers: list[int], n_jobs: int, kinds: list[str]) -> Iterator[Case]:
    """Run cases, `n_jobs` at a time, each in a fork of this process; they take the kinds in turn."""
    waiting = list(numbers)
    running: dict[int, tuple[int, str, Path, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        while waiting or running:
            while waiting and len(running) < n_jobs:
                number = waiting.pop(0)
                kind, folder = kinds[number % len(kinds)], Path(scratch) / str(number)
                folder.mkdir()
                running[_fork(sound, folder, kind, seed, number)] = (number, kind, folder, time.monotonic())
            time.sleep(0.01)
            for pid, (number, kind, folder, begun) in list(running.items()):
                is_late = time.monotonic() - begun > LIMIT_SECONDS
                if is_late:
                    with suppress(ProcessLookupError):
                        os.kill(pid, 9)
                ended, status, usage = os.wait4(pid, 0 if is_late else os.WNOHANG)
                if ended:
                    del running[pid]
                    yield _classify(number, kind, folder, "hang" if is_late else "", status, usage)


def _fork(sound: Path, folder: Path, kind: str, seed: int, number: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    # A fork has imports and compiled code at hand: a new process would spend seconds on them.
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = _run_case(sound, folder, kind, seed, number)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run_case(sound: Path, folder: Path, kind: str, seed: int, number: int) -> int:
    inside = folder / "in"
    inside.mkdir()
    for name, stream in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), stream)
    try:
        copy_inputs(sound, inside, kind)
        (folder / "way").write_text(damage(kind, inside, numpy_generator(seed, f"fuzz {number}")))
    except Exception:
        traceback.print_exc()
        return _BROKEN
    (folder / "before").write_text("\n".join(_list(inside)))
    os.chdir(inside)
    mapped = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 2 * LIMIT_BYTES, mapped + 2 * LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        KINDS[kind].read()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    return 0


def _list(folder: Path) -> list[str]:
    """List what is in a folder, links not followed; locks are no output."""
    found = [str(Path(top) / name) for top, *below in os.walk(folder) for names in below for name in names]
    return sorted(path for path in found if not path.endswith(("lock", "__pycache__", ".pyc")))


def _classify(
    number: int, kind: str, folder: Path, outcome: str, status: int, usage: resource.struct_rusage
) -> Case:
    way = (folder / "way").read_text() if (folder / "way").is_file() else "?"
    errors = (folder / "stderr").read_text(errors="replace") if (folder / "stderr").is_file() else ""
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == _BROKEN:
        raise RuntimeError(f"case {number} ({kind}) could not be made: {errors}")
    peak = usage.ru_maxrss * 1024
    if not outcome:
        outcome = outcome_of(status, errors, peak)
    if outcome in GOOD:
        before = set((folder / "before").read_text().split("\n"))
        more = [path for path in _list(folder / "in") if path not in before]
        # Output of what was refused, or a file that was to be renamed.
        if (outcome == "refused" and more) or any(Path(path).name.startswith(".") for path in more):
            outcome = "half-written"
    said = f"{errors.strip()}\nsignal {os.WTERMSIG(status)}" if outcome == "crash" else errors.strip()
    return Case(number, kind, way, outcome, said)


def outcome_of(status: int, errors: str, peak: int) -> str:
    """Say how a case ended, by its status from `os.wait`, the errors printed and its peak memory in bytes."""
    if peak > LIMIT_BYTES:
        return "memory"
    if os.WIFSIGNALED(status):
        return "crash"
    code = os.WEXITSTATUS(status)
    sentences = [line for line in errors.splitlines() if line.startswith("Error: ")]
    is_sentence = len(sentences) == 1 and errors.rstrip().endswith((".", "?", "!"))
    if "Traceback (most recent call last)" not in errors and (code == 0 or (code == 2 and is_sentence)):
        return "refused" if code else "accepted"
    return "memory" if "MemoryError" in errors or "bad_alloc" in errors else "traceback"


def main(words: list[str]) -> None:
    """Run the cases, and print counts by kind and every case that is short of the target."""
    parser = build_parser("benchmarks fuzz", __doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=300, help="inputs, spread over the kinds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS), metavar="KIND")
    parser.add_argument("--case", type=int, help="run this one alone, and print all that it says")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    arguments = parser.parse_args(words)
    numbers = list(range(arguments.n)) if arguments.case is None else [arguments.case]
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as directory:
        make_sound(Path(directory))
        for case in run_cases(Path(directory), arguments.seed, numbers, arguments.jobs, arguments.kinds):
            counts[case.kind, case.outcome] += 1
            if case.outcome in BAD or arguments.verbose or arguments.case is not None:
                last = (case.said.splitlines() or [""])[-1][:300]
                said = last if arguments.case is None else f"\n{case.said}"
                print(f"{case.number:>4} {case.outcome:<12} {case.kind:<10} {case.way}: {said}")
    width = max(map(len, KINDS))
    print(f"{'kind':<{width}}" + "".join(f"{outcome:>14}" for outcome in (*GOOD, *BAD)))
    for kind in arguments.kinds:
        print(f"{kind:<{width}}" + "".join(f"{counts[kind, outcome]:>14}" for outcome in (*GOOD, *BAD)))
    totals = {outcome: sum(counts[kind, outcome] for kind in KINDS) for outcome in (*GOOD, *BAD)}
    print(f"{'all':<{width}}" + "".join(f"{total:>14}" for total in totals.values()))
    sys.exit(1 if any(totals[outcome] for outcome in BAD) else 0)


def make_sound(folder: Path) -> None:
    """Write the undamaged inputs without printing; every case then finds imports and compiled code ready."""
    import torch

    torch.set_num_threads(1)  # a fork would wait indefinitely for torch's threads
    here = os.getcwd()
    sys.stdout.flush()
    # Of the process and not only of Python: code in C prints too.
    streams = {number: os.dup(number) for number in (1, 2)}
    with open(os.devnull, "wb") as quiet:
        for number in streams:
            os.dup2(quiet.fileno(), number)
    try:
        write_sound(folder)
    finally:
        sys.stdout.flush()
        for number, stream in streams.items():
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(here)
