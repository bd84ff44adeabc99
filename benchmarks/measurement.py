"""What a benchmark measures, and the target that it is compared with."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A figure and its target.

    Attributes:
        name: One word.
        value: What was measured.
        unit: Of value and target.
        target: The bound.
        bound: Whether the value must be at most or at least the target; None where there is none.
        note: Sizes, and what was measured beside it in the same run.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    bound: Literal["at most", "at least"] = "at most"
    note: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the target is met, or there is none."""
        if self.target is None:
            return True
        return self.value <= self.target if self.bound == "at most" else self.value >= self.target

    def __str__(self) -> str:
        """Write ``NAME measured target ok|short``, then the note."""
        measured = f"{self.value:.3g} {self.unit}"
        held = "-" if self.target is None else f"{self.bound} {self.target:g} {self.unit}"
        verdict = "ok" if self.is_ok else "short"
        return f"{self.name:<22}  {measured:<15}  {held:<22}  {verdict:<5}  {self.note}".rstrip()


def seconds_of(work: Callable[[], object]) -> float:
    """Time a piece of work."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median_seconds(works: Iterable[Callable[[], object]]) -> float:
    """Time each piece of work, and take the median."""
    return statistics.median(map(seconds_of, works))


def build_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Build the command line of a benchmark with options of its own, its module's docstring as help."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
