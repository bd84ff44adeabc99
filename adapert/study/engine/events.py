"""What a study's ledger records: one class for each kind of line."""

import math
import time
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypedDict

from adapert.records import EndReason, TrialStatus
from adapert.study.engine.limits import Limits

_NAMED_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
Number = Annotated[float, BeforeValidator(lambda value: _NAMED_NUMBERS.get(str(value), value))]
"""JSON has no NaN and no infinities: pydantic writes their names, and in strict mode does not read them."""


Message = Annotated[str, AfterValidator(lambda text: text.encode(errors="backslashreplace").decode())]
"""A sentence that may quote a path whose bytes are no UTF-8: neither JSON nor MLflow takes those."""


class Line(BaseModel):
    """A line of a ledger; fields that a later version adds are ignored.

    Attributes:
        event: The kind of line.
        time: Seconds since 1970; now unless given.
    """

    model_config = ConfigDict(frozen=True, strict=True, ser_json_inf_nan="strings")

    event: str
    time: FiniteFloat = Field(default_factory=lambda: round(time.time(), 3))


class TrialLine(Line):
    """A line about a trial that an earlier line asked for."""

    trial: str


class StudyDefined(Line):
    """The first line: what is asked, of which data and code, and the format."""

    event: Literal["study"] = "study"
    format: int
    study: dict[str, Any]
    origin: dict[str, Any]
    recipe: str
    optuna_storage: str
    git_commit: str
    packages: str


class UsedResources(TypedDict, total=False):
    """Fields of `adapert.study.execution.resources.Resources`."""

    executor: Literal["ray", "local"]
    cpus_per_trial: int
    gpus_per_trial: float
    max_concurrent: int | None
    device: str
    address: str
    ships_data: bool
    slots: int | Literal["auto"]
    max_failures: int


class SessionOpened(Line):
    """A process took the study up."""

    event: Literal["opened"] = "opened"
    pid: int
    host: str
    resources: UsedResources = {}
    limits: Limits = Limits()
    data: str = ""


class TrialAsked(TrialLine):
    """A trial got its config and seed."""

    event: Literal["asked"] = "asked"
    number: int
    variant: str
    seed: int
    changes: dict[str, Any]
    suggested: dict[str, Any]
    config_digest: str


class TrialStarted(TrialLine):
    """A worker took a trial up, for the first time or again."""

    event: Literal["started"] = "started"


class EpochReported(TrialLine):
    """A trial finished an epoch."""

    event: Literal["reported"] = "reported"
    epoch: int
    host: str
    is_over: bool
    metrics: dict[str, Number]


class RungDecided(TrialLine):
    """A rung compared a trial with others."""

    event: Literal["decided"] = "decided"
    rung: int
    value: Number
    cutoff: Number | None
    is_stopped: bool


class FirstRungDecided(Line):
    """A search learned from which epoch on it compares trials, those that are asked for from now on."""

    event: Literal["first_rung"] = "first_rung"
    epoch: int | None
    n_trials: int
    agreement: float | None


class WorkerLost(TrialLine):
    """A trial's worker was lost; the trial continues in another."""

    event: Literal["lost"] = "lost"
    message: Message


class TrialEnded(TrialLine):
    """A trial ended."""

    event: Literal["ended"] = "ended"
    status: Annotated[TrialStatus, Field(strict=False)]
    reason: Annotated[EndReason, Field(strict=False)]
    message: Message


EndState = Literal["COMPLETE", "PRUNED", "FAIL"]
"""Names of `optuna.trial.TrialState`."""


class ConfigCompleted(Line):
    """A config has all the seeds it gets, and Optuna is told its value."""

    event: Literal["completed"] = "completed"
    number: int
    state: EndState
    value: Number | None
    epoch: int
    is_infeasible: bool


class RunTracked(Line):
    """A run of MLflow stands for a trial, or for the study where none is named."""

    event: Literal["tracked"] = "tracked"
    trial: str
    run: str


class StudyExtended(Line):
    """More trials, or seeds, were asked for, from another terminal."""

    event: Literal["extended"] = "extended"
    request: str
    n_trials: int | None
    n_seeds: int | None


class StopRequested(TrialLine):
    """A trial is to end after its epoch, as another terminal asked."""

    event: Literal["stopping"] = "stopping"
    request: str


class ChangesAccepted(Line):
    """The study was resumed although code, data or recipe had changed."""

    event: Literal["accepted"] = "accepted"
    origin: dict[str, Any]
    changes: list[str] = []


class SessionClosed(Line):
    """A process left the study: done, interrupted, stopped or failed."""

    event: Literal["closed"] = "closed"
    status: Annotated[TrialStatus, Field(strict=False)]
    message: Message


Event = (
    StudyDefined
    | SessionOpened
    | TrialAsked
    | TrialStarted
    | EpochReported
    | RungDecided
    | FirstRungDecided
    | WorkerLost
    | TrialEnded
    | ConfigCompleted
    | RunTracked
    | StudyExtended
    | StopRequested
    | ChangesAccepted
    | SessionClosed
)
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])

RESTORE = "Put back a copy of the file."
REMOVE = "Put back a copy of the file, or remove that line."


def parse_line(line: bytes) -> Event | None:
    """Read a line.

    Returns:
        None for a kind of event that only a later version knows.

    Raises:
        ValueError: What is wrong with it, and the cure: ``"'ended' has no 'trial'. Put back a copy."``
    """
    try:
        event = _EVENT.validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise ValueError(f"there is no JSON. {REMOVE}") from error
        if first["type"] == "union_tag_invalid" and isinstance(first["input"]["event"], str):
            return None
        if not first["loc"]:
            raise ValueError(f"no event is named. {REMOVE}") from error
        kind, *inner = first["loc"]
        field = ".".join(map(str, inner))
        if first["type"] == "missing":
            raise ValueError(f"'{kind}' has no '{field}'. {RESTORE}") from error
        raise ValueError(f"'{kind}' has a wrong '{field}': {first['msg'].lower()}. {RESTORE}") from error
    if "time" not in event.model_fields_set:  # only a new line gets the time at which it is made
        raise ValueError(f"'{event.event}' has no 'time'. {RESTORE}")
    return event


def check_order(event: Event, asked: Collection[str]) -> None:
    """Check that a trial is asked for once, before any other line about it.

    Raises:
        ValueError: It is not.
    """
    if isinstance(event, TrialAsked):
        if event.trial in asked:
            raise ValueError(f"trial '{event.trial}' is asked for a second time. {REMOVE}")
    elif isinstance(event, TrialLine) and event.trial not in asked:
        raise ValueError(
            f"'{event.event}' is about trial '{event.trial}', which no line before it asks for. {REMOVE}"
        )
