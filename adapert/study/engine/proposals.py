"""What gives a study its trials, and how it proposes them."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from adapert.study.engine.search import ConfigEnd
from adapert.study.engine.state import StudyState
from adapert.study.plan.plans import Assignment


@dataclass(frozen=True)
class Proposal:
    """A trial to ask for.

    Attributes:
        number: Number of its config, from 0.
        assignment: Its variant, seed and changes.
        suggested: What a sampler suggested, unrounded; of a config's first trial.
    """

    number: int
    assignment: Assignment
    suggested: dict[str, Any] = field(default_factory=dict)


class TrialSource(Protocol):
    """Gives a study its trials; all it needs to know is in the study's state."""

    def propose(self, state: StudyState) -> list[Proposal]:
        """Trials to ask for now; none where the study must wait, or has all."""

    def has_more(self, state: StudyState) -> bool:
        """Whether there are more trials to ask for, now or once others have ended."""

    def complete(self, state: StudyState) -> list[tuple[int, ConfigEnd]]:
        """Configs that are done since the last call, in the order in which a sampler is told."""

    def tell(self, number: int, end: ConfigEnd) -> None:
        """Tell the sampler how a config ended."""

    def close(self) -> None:
        """Leave nothing open."""


class Unsampled:
    """A source whose trials no sampler chooses: none is told how configs ended."""

    def complete(self, state: StudyState) -> list[tuple[int, ConfigEnd]]:
        """No config is for a sampler to learn from."""
        return []

    def tell(self, number: int, end: ConfigEnd) -> None:
        """Nobody is told."""

    def close(self) -> None:
        """Nothing is open."""
