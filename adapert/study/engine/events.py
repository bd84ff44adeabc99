"""What each line of a ledger says, by its kind; a line that says something else is refused."""

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from adapert.records import EndReason, TrialStatus

Event = dict[str, Any]
"""A line: ``event`` (an `EventKind`), ``time`` (seconds since 1970), and what the kind says."""


class EventKind(StrEnum):
    """What a line records."""

    STUDY = "study"
    """The first line: what is asked, of which data and code, and the format."""
    OPENED = "opened"
    """A process took the study up: pid, host, resources, limits, where the data lay."""
    ASKED = "asked"
    """A trial got its config and seed."""
    STARTED = "started"
    """A worker took a trial up, for the first time or again."""
    REPORTED = "reported"
    """A trial finished an epoch."""
    JUDGED = "judged"
    """A rung compared a trial with others."""
    LOST = "lost"
    """A trial's worker was lost; the trial goes on in another."""
    ENDED = "ended"
    """A trial ended."""
    SETTLED = "settled"
    """A config has all the seeds it gets, and this is reported to Optuna."""
    TRACKED = "tracked"
    """A run of MLflow stands for a trial, or for the study where none is named."""
    EXTENDED = "extended"
    """More trials, or seeds, were asked for, from another terminal."""
    STOPPING = "stopping"
    """A trial is to end after its epoch, as another terminal asked."""
    ACCEPTED = "accepted"
    """The study was resumed although code, data or recipe had changed."""
    CLOSED = "closed"
    """A process left the study: done, interrupted, stopped or failed."""


_Status = Annotated[TrialStatus, Field(strict=False)]
_Reason = Annotated[EndReason, Field(strict=False)]


# A later version may say more in a line than this one reads, so that further fields are let through.
@with_config(ConfigDict(strict=True, allow_inf_nan=False, extra="allow"))
class _Line(TypedDict):
    event: str
    time: float


class _Study(_Line):
    format: int
    study: dict[str, Any]
    origin: dict[str, Any]
    recipe: str
    optuna_storage: str
    git_commit: str
    packages: str


class _Resources(TypedDict, total=False):
    cpus_per_trial: int
    gpus_per_trial: float
    max_concurrent: int | None
    device: str
    address: str
    ships_data: bool
    max_failures: int


class _Limits(TypedDict, total=False):
    seconds: float | None
    trial_hours: float | None
    target: float | None


class _Opened(_Line):
    pid: int
    host: str
    resources: NotRequired[_Resources]
    limits: NotRequired[_Limits]
    data: NotRequired[str]


class _Started(_Line):
    trial: str


class _Asked(_Started):
    number: int
    variant: str
    seed: int
    changes: dict[str, Any]
    suggested: dict[str, Any]
    config_digest: str


class _Reported(_Started):
    epoch: int
    host: str
    is_over: bool
    metrics: dict[str, float | None]


class _Judged(_Started):
    rung: int
    value: float | None
    cutoff: float | None
    is_stopped: bool


class _Lost(_Started):
    message: str


class _Ended(_Lost):
    status: _Status
    reason: _Reason


class _Settled(_Line):
    number: int
    state: str
    value: float | None
    epoch: int
    is_infeasible: bool


class _Tracked(_Started):
    run: str


class _Extended(_Line):
    request: str
    n_trials: int | None
    n_seeds: int | None


class _Stopping(_Started):
    request: str


class _Accepted(_Line):
    origin: dict[str, Any]


class _Closed(_Line):
    status: _Status
    message: str


_LINES: dict[EventKind, type[Any]] = {
    EventKind.STUDY: _Study,
    EventKind.OPENED: _Opened,
    EventKind.ASKED: _Asked,
    EventKind.STARTED: _Started,
    EventKind.REPORTED: _Reported,
    EventKind.JUDGED: _Judged,
    EventKind.LOST: _Lost,
    EventKind.ENDED: _Ended,
    EventKind.SETTLED: _Settled,
    EventKind.TRACKED: _Tracked,
    EventKind.EXTENDED: _Extended,
    EventKind.STOPPING: _Stopping,
    EventKind.ACCEPTED: _Accepted,
    EventKind.CLOSED: _Closed,
}
_CHECKS = {kind: TypeAdapter(line) for kind, line in _LINES.items()}

RESTORE = "Put back a copy of the file."
REMOVE = "Put back a copy of the file, or remove that line."

_OF_ANY_TRIAL = (EventKind.ASKED, EventKind.TRACKED)
"""Lines whose trial need not have been asked for: the first of a trial, and one of the study's own run."""


def find_fault(event: Any, asked: Collection[str]) -> str:
    """Say what is wrong with a line.

    Args:
        event: Read from JSON; of a known kind, or of one that a later version may write.
        asked: Trials that the lines before it asked for.

    Returns:
        What, and the cure: ``"'ended' has no 'trial'. Put back a copy of the file."``; empty where nothing is
        wrong.
    """
    if event is None:
        return f"there is no JSON. {REMOVE}"
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return f"no event is named. {REMOVE}"
    if not is_known(event):
        return ""
    kind = EventKind(event["event"])
    try:
        _CHECKS[kind].validate_python(event)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            return f"'{kind}' has no '{field}'. {RESTORE}"
        return f"'{kind}' has a wrong '{field}': {first['msg'].lower()}. {RESTORE}"
    trial = event.get("trial")
    if kind == EventKind.ASKED and trial in asked:
        return f"trial '{trial}' is asked for a second time. {REMOVE}"
    if trial is not None and trial not in asked and kind not in _OF_ANY_TRIAL:
        return f"'{kind}' is about trial '{trial}', which no line before it asks for. {REMOVE}"
    return ""


def is_known(event: Event) -> bool:
    """Whether this version writes lines of this kind; a later one may write others beside."""
    return event["event"] in _CHECKS
