"""What a benchmark measures, and the target it is held against."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias


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


Benchmark: TypeAlias = Callable[[Path], Iterator[Measurement]]
"""Given a folder for data that later runs use again, yields its measurements as they come."""
