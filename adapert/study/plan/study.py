"""What a study is: its name, its question, its base config and its plan."""

from dataclasses import dataclass, fields, replace
from typing import Any

from adapert.config import Config
from adapert.errors import InputError, name_some, nearest

# Also for recipes, which need a study and its plan.
from adapert.study.plan.first_rung import FixedRung as FixedRung
from adapert.study.plan.first_rung import LearnedRung as LearnedRung
from adapert.study.plan.plans import AblationPath as AblationPath
from adapert.study.plan.plans import Design as Design
from adapert.study.plan.plans import Plan as Plan
from adapert.study.plan.plans import Search as Search

BUDGET_OPTIONS = {
    "n_trials": "--trials",
    "n_seeds": "--seeds",
    "sampler": "--sampler",
    "seed": "--seed",
    "seeds_per_config": "--seeds-per-trial",
    "first_rung": "--min-epochs",
    "cohort_size": "--deterministic",
}
"""Field of a plan to the option that sets it."""

MAX_NAME = 120
"""Bytes of a study's name: it is a folder's, and part of others."""

MAX_DERIVED_NAME = MAX_NAME + 30
"""Bytes with what a re-evaluation adds to the name of its study."""


def check_name(name: str, n_bytes: int = MAX_NAME) -> None:
    """Refuse what makes no folder of its own: "..", a path, or a name too long for a file system.

    Raises:
        InputError: It does not.
    """
    if not name[:1].isalnum() or not all(part.isalnum() or part in "._-" for part in name):
        raise InputError(
            "A study's name must be of letters, digits, '.', '_' and '-' and begin with a letter or "
            f"digit, but it is '{make_printable(name)}'. Give another name."
        )
    if len(name.encode()) > n_bytes:
        raise InputError(
            f"A study's name must have at most {n_bytes} bytes, but '{name[:20]}...' has "
            f"{len(name.encode())}. Give a shorter one."
        )


def make_printable(name: str) -> str:
    """Put what a user gave as a name into one line: no control characters, and not at any length."""
    escaped = "".join(part if part.isprintable() else ascii(part)[1:-1] for part in name)
    return escaped if len(escaped) <= MAX_NAME else f"{escaped[:20]}..."


@dataclass(frozen=True, kw_only=True)
class Study:
    """The trials that answer one question.

    Raises:
        InputError: A name that makes no folder, a plan of nothing or of an unknown kind, or a space or
            variant that sets a field which does not exist, or a value it does not take.
    """

    name: str
    question: str
    base: Config
    plan: Plan

    def __post_init__(self) -> None:
        check_name(self.name, MAX_DERIVED_NAME if self.plan.kind == "reevaluation" else MAX_NAME)
        self.plan.check(self.base)

    def with_budget(self, **budget: Any) -> "Study":
        """Change what the command line may change of a plan.

        Args:
            budget: ``n_trials``, ``sampler``, ``seed``, ``first_rung``, ``seeds_per_config``, ``cohort_size``
                of a search, or ``n_seeds`` of a design; None leaves a field as it is.

        Raises:
            InputError: What the plan does not have.
        """
        given = {name: value for name, value in budget.items() if value is not None}
        for name in given:
            if name not in BUDGET_OPTIONS:
                raise InputError(
                    f"A budget has no field '{name}'.{nearest(name, BUDGET_OPTIONS)} "
                    f"It has {name_some(BUDGET_OPTIONS, len(BUDGET_OPTIONS))}."
                )
            if name not in {entry.name for entry in fields(self.plan)}:
                raise InputError(
                    f"{self.plan.rule}, but study '{self.name}' was given {BUDGET_OPTIONS[name]}. "
                    f"Use {self.plan.budget_cure}."
                )
        if "first_rung" in given and self.plan.is_full_fidelity:
            raise InputError(
                f"An importance study stops no trial early, but study '{self.name}' was given "
                "--min-epochs. Leave it out."
            )
        rung, max_epochs = given.get("first_rung"), self.base.training.max_epochs
        if isinstance(rung, FixedRung) and rung.epoch > max_epochs:
            raise InputError(
                f"--min-epochs must be at most --max-epochs, which is {max_epochs} in study '{self.name}', "
                f"but it is {rung.epoch}. Lower it; with {max_epochs} no trial is stopped early."
            )
        changed = replace(self, plan=replace(self.plan, **given))
        if "n_trials" in given and changed.plan.assignments:
            raise InputError(
                f"A grid's trials are all its {changed.plan.size} points, but study '{self.name}' was given "
                "--trials. Leave it out, or use --sampler random."
            )
        return changed
