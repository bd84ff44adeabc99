"""Continue a study that exists: resume, extend, stop it, and deliver what waits for MLflow."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from adapert.commands import in_workspace
from adapert.data.manifest import read_manifest
from adapert.errors import InputError, name_some
from adapert.prediction.logged import PickedModels
from adapert.records import TrialStatus
from adapert.results.inputs import find_data
from adapert.study.engine.events import ChangesAccepted, Event, SessionClosed, StudyExtended
from adapert.study.engine.folders import find_study, study_folder
from adapert.study.engine.ledger import LEDGER_FILE, Ledger, held, is_held, read_events, read_holder
from adapert.study.engine.requests import has_requests, read_requests, withdraw_request, write_request
from adapert.study.engine.state import StudyState, fold, read_state
from adapert.study.execution.resources import restore_resources
from adapert.study.plan.definition import describe_origin, find_changes
from adapert.study.plan.recipes import build_study
from adapert.study.plan.study import BUDGET_OPTIONS, Study
from adapert.tracking.store import open_store
from adapert.tracking.tracker import Tracker
from adapert.workspace.launch import check_data
from adapert.workspace.session import StudyResult, operate

_LOGGER = logging.getLogger(__name__)

_VARIED_WORDS = {"space": "a different search space", "variants": "other variants", "start": "another start"}
"""Field of a plan to what has changed where its recipe has."""

TAKEN_SECONDS = 10.0
"""How long a request waits for the process that runs a study to take it up."""


def resume(
    workspace: Path,
    name: str,
    console: Console,
    resources: Mapping[str, Any],
    limits: Mapping[str, Any],
    is_accepted: bool = False,
    data: Path | None = None,
) -> StudyResult:
    """Continue a study where its ledger ends.

    Args:
        workspace: The study's workspace.
        name: The study's name.
        console: Where progress is shown.
        resources: Fields of `Resources` to change; the others stay as they were.
        limits: Fields of `Limits` to change; None keeps what the study had.
        is_accepted: Whether to continue although code, data or recipe have changed.
        data: Path of its data set, where it is not found automatically.

    Raises:
        InputError: No such study or data set, another process runs it, something has changed, its data are
            damaged, or this machine has less than the study uses.
    """
    folder = find_study(workspace, name)
    with held(folder):
        state = read_state(folder)
        study = state.study
        place = _find_data(study, state, workspace, data)
        _check_unchanged(study, state, workspace, place, is_accepted)
        check_data(study, place)
        return operate(
            folder,
            restore_resources(state.resources, resources),
            replace(state.limits, **{name: value for name, value in limits.items() if value is not None}),
            console,
            partial(open_store, workspace),
            place,
        )


def extend(
    workspace: Path,
    name: str,
    console: Console,
    n_trials: int | None,
    n_seeds: int | None,
    data: Path | None = None,
    is_again: bool = False,
) -> StudyResult | None:
    """Add trials to a search, or seeds to a design, and run them.

    The same extension continues where it was killed or interrupted, or while another process runs it;
    nothing is added twice unless that is asked for.

    Args:
        workspace: The study's workspace.
        name: The study's name.
        console: Where progress is shown.
        n_trials: Number of configs to add to a search.
        n_seeds: Number of seeds to add to each variant of a design.
        data: Path of its data set, where it is not found automatically.
        is_again: Whether to add as many once more although the same extension is not done yet.

    Returns:
        None where another process runs the study and has taken the request up.

    Raises:
        InputError: No such study, what was asked for is not what its plan has, or the process that runs it
            has not taken the request up so far.
    """
    folder = find_study(workspace, name)
    events = read_events(folder / LEDGER_FILE)
    state = fold(events)
    study = state.study
    _check_extension(study, n_trials, n_seeds)
    is_running = is_held(folder)
    if not is_running:  # else a request would wait that was refused
        _check_unchanged(study, state, workspace, _find_data(study, state, workspace, data), False)
    if is_again or not _was_left(folder, events, {"n_trials": n_trials, "n_seeds": n_seeds}):
        write_request(folder, "extend", n_trials=n_trials, n_seeds=n_seeds)
        is_running = _is_taken(workspace, name)
    else:
        _LOGGER.warning(
            f"'{name}' was already extended by as much, and continues with that: nothing is added "
            "twice. To add as many once more, give --again, or wait until it is done."
        )
    return None if is_running else resume(workspace, name, console, {}, {}, data=data)


def stop(workspace: Path, name: str, trial: str | None) -> None:
    """Ask the process that runs a study to end one trial, or all.

    Raises:
        InputError: No such study or trial, or one that does not run.
    """
    folder = find_study(workspace, name)
    if not is_held(folder):
        raise InputError(
            f"A study is stopped while a process runs it, but none runs '{name}'. See 'adapert status "
            f"{in_workspace(workspace, name)}'."
        )
    records = read_state(folder).records
    if trial is not None and (trial not in records or records[trial].status != TrialStatus.RUNNING):
        running = [record.trial_id for record in records.values() if record.status == TrialStatus.RUNNING]
        raise InputError(
            f"A trial is stopped while it runs, but '{trial}' of '{name}' does not. Running are "
            f"{name_some(running, 10) or 'none'}."
        )
    request = write_request(folder, "stop", trial=trial)
    # Else the next process would stop what it is to resume.
    if not _is_taken(workspace, name) and withdraw_request(request):
        raise InputError(
            f"A study is stopped while a process runs it, but that of '{name}' has just ended. See 'adapert "
            f"status {in_workspace(workspace, name)}'."
        )


def sync(workspace: Path, name: str) -> tuple[int, str]:
    """Bring MLflow to what a study's ledger says, and end the runs of one that was killed.

    The store is asked what it has; a run that was deleted or lost is delivered again, with the figures, the
    report and the picked model that the study's folder has.

    Returns:
        Number of lines that still wait, and what keeps them, or what MLflow refused for good.

    Raises:
        InputError: No such study, or a process runs it (which delivers).
    """
    folder = find_study(workspace, name)
    with held(folder):
        ledger = Ledger(folder / LEDGER_FILE)
        events = read_events(folder / LEDGER_FILE)
        state = fold(events)
        if state.session and state.closed is None:
            # When it was last seen: the time since then is nobody's work.
            closed = SessionClosed(
                status=TrialStatus.INTERRUPTED, message="It was killed.", time=events[-1].time
            )
            ledger.append(closed)
            events.append(closed)
        tracker = Tracker(state.study, ledger, events, partial(open_store, workspace), PickedModels())
        n_waiting = tracker.close()
        ledger.close()
    return n_waiting, tracker.describe_trouble()


def _find_data(study: Study, state: StudyState, workspace: Path, data: Path | None) -> Path:
    """Find a study's data set, or one of another fingerprint where it was: whether that is taken is asked."""
    if data is not None:
        return data.resolve()
    origin = state.accepted or state.definition.origin
    last = (state.session and state.session.data) or study.base.data.path
    expected = study.base.with_changes({"data.path": last, "data.fingerprint": origin["data"]})
    try:
        return find_data(expected, workspace)
    except InputError:
        if Path(last).is_dir():
            return Path(last)
        raise


def _check_unchanged(study: Study, state: StudyState, workspace: Path, data: Path, is_accepted: bool) -> None:
    before = {"varied": _varied(study)} | dict(state.accepted or state.definition.origin)
    now = describe_origin(study) | {
        "data": read_manifest(data).fingerprint,
        "varied": _varied_now(study, state.definition.recipe),
    }
    changes = find_changes(before, now)
    if before["varied"] != now["varied"]:
        changes.append(f"recipe '{state.definition.recipe}' now has {_VARIED_WORDS[study.plan.varied_field]}")
    if not changes:
        return
    if not is_accepted:
        raise InputError(
            f"A study continues with the code and data it began with, but {'; '.join(changes)}. Restore "
            "them, or first accept that trials are not comparable: 'adapert resume "
            f"{in_workspace(workspace, study.name)} --accept-changes'."
        )
    _LOGGER.warning(f"Accepted: {'; '.join(changes)}.")
    ledger = Ledger(study_folder(workspace, study.name) / LEDGER_FILE)
    ledger.append(ChangesAccepted(origin=now, changes=changes))
    ledger.close()


def _varied_now(study: Study, recipe: str) -> Any:
    """What a recipe would vary now; one that is gone cannot differ: the ledger has the study."""
    try:
        return _varied(build_study(recipe, study.base) if recipe else study)
    except (InputError, FileNotFoundError):
        return _varied(study)


def _varied(study: Study) -> Any:
    return json.loads(json.dumps(study.plan.to_json()[study.plan.varied_field]))


def _check_extension(study: Study, n_trials: int | None, n_seeds: int | None) -> None:
    what, asked = study.plan.noun, {"n_trials": n_trials, "n_seeds": n_seeds}
    if not study.plan.extension:
        all_of_it = "points" if what == "grid" else "steps"
        raise InputError(
            f"A {what} has all its {all_of_it}, but '{study.name}' was to be extended. Launch another."
        )
    given, takes = asked.pop(study.plan.extension), BUDGET_OPTIONS[study.plan.extension]
    (other,) = asked.values()
    if given is None:
        raise InputError(
            f"A {what} is extended by {takes}, but '{study.name}' was given none. Add {takes} N."
        )
    if other is not None:
        raise InputError(f"A {what} is extended by {takes} alone, but '{study.name}' was given more.")


def _was_left(folder: Path, events: Sequence[Event], more: Mapping[str, int | None]) -> bool:
    """Whether the very same extension was asked for and is not done: it runs, or was left before its end."""
    if any(request == {"kind": "extend", **more} for _, request in read_requests(folder)):
        return True
    last: Mapping[str, int | None] | None = None
    for event in events:
        match event:
            case StudyExtended():
                last = {"n_trials": event.n_trials, "n_seeds": event.n_seeds}
            case SessionClosed() if event.status != TrialStatus.INTERRUPTED:
                last = None
    return last == more


def _is_taken(workspace: Path, name: str) -> bool:
    """Wait until the process that runs a study has taken all requests up; False where it will not.

    Raises:
        InputError: It has not, such as within a long epoch.
    """
    folder, deadline = study_folder(workspace, name), time.monotonic() + TAKEN_SECONDS
    while has_requests(folder):
        if not is_held(folder):
            return not has_requests(folder)
        if time.monotonic() > deadline:
            if _is_leaving(folder):
                return False
            raise InputError(
                f"The process that runs '{name}' should take a request up within {TAKEN_SECONDS:g} s, but "
                f"has not; it will when it can. See 'adapert status {in_workspace(workspace, name)}'."
            )
        time.sleep(0.1)
    return True


def _is_leaving(folder: Path) -> bool:
    """Whether the process that holds a study has written its last line, and only delivers to MLflow."""
    state, holder = read_state(folder), read_holder(folder)
    opened = state.session
    return bool(state.closed and opened and (opened.pid, opened.host) == (holder["pid"], holder["host"]))
