import os
import re
import socket
from pathlib import Path

import pytest
from fixtures.ledger import MakeLedger
from fixtures.resumed import DESIGN, GRID, RESUMED, SEARCH, Operated, other_code
from rich.console import Console

from adapert.commands import in_workspace
from adapert.errors import InputError
from adapert.records import TrialStatus
from adapert.study.engine.events import SessionClosed, StudyExtended
from adapert.study.engine.ledger import held
from adapert.study.engine.requests import has_requests, read_requests, write_request
from adapert.study.plan.study import Design, Search
from adapert.workspace.resume import extend, stop

# extend


@pytest.mark.parametrize(
    ("plan", "n_trials", "n_seeds", "says"),
    [
        (SEARCH, None, 2, r"A search is extended by --trials, but 'try' was given none\. Add --trials N"),
        (SEARCH, None, None, "A search is extended by --trials"),
        (SEARCH, 2, 2, "A search is extended by --trials alone"),
        (DESIGN, 2, None, r"A design is extended by --seeds, but 'try' was given none\. Add --seeds N"),
        (DESIGN, None, None, "A design is extended by --seeds"),
        (DESIGN, 2, 2, "A design is extended by --seeds alone"),
        (GRID, 2, None, r"A grid has all its points, .*Launch another"),
        (GRID, None, 2, "A grid has all its points"),
    ],
)
def test_what_a_plan_does_not_have_extends_no_study(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    plan: Design | Search,
    n_trials: int | None,
    n_seeds: int | None,
    says: str,
) -> None:
    made = begun(plan)
    with pytest.raises(InputError, match=says):
        extend(workspace, "try", console, n_trials, n_seeds)
    assert (operated, has_requests(made.folder)) == ([], False)


@pytest.mark.parametrize(("plan", "more"), [(SEARCH, (2, None)), (DESIGN, (None, 2))])
def test_a_study_that_nobody_runs_is_resumed_by_the_request(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    plan: Design | Search,
    more: tuple[int | None, int | None],
) -> None:
    begun(plan)
    assert extend(workspace, "try", console, *more) is RESUMED
    assert operated[0][-1]


def test_a_request_that_is_refused_does_not_wait_for_the_next_process(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console
) -> None:
    made = begun()
    other_code(made)
    with pytest.raises(InputError, match="has changed"):
        extend(workspace, "try", console, None, 2)
    assert not has_requests(made.folder)


@pytest.mark.parametrize("is_taken_up", [True, False])
def test_an_extension_that_was_killed_and_typed_again_is_resumed(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    is_taken_up: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = begun()
    write_request(made.folder, "extend", n_trials=None, n_seeds=2)
    if is_taken_up:
        ((file, _),) = read_requests(made.folder)
        made.say(StudyExtended, request=file.stem, n_trials=None, n_seeds=2)
        file.unlink()
    assert extend(workspace, "try", console, None, 2) is RESUMED
    assert len(read_requests(made.folder)) == (0 if is_taken_up else 1)
    assert "was already extended by as much" in caplog.text


@pytest.mark.parametrize(
    ("n_seeds", "status"), [(1, TrialStatus.INTERRUPTED), (2, TrialStatus.FINISHED)], ids=["other", "done"]
)
def test_another_extension_or_one_after_the_end_adds_more(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    n_seeds: int,
    status: TrialStatus,
) -> None:
    made = begun()
    made.say(StudyExtended, request="one", n_trials=None, n_seeds=2)
    made.say(SessionClosed, status=status, message="")
    extend(workspace, "try", console, None, n_seeds)
    ((_, request),) = read_requests(made.folder)
    assert request["n_seeds"] == n_seeds


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A process that takes every request up at once."""
    requests = []
    monkeypatch.setattr(
        "adapert.workspace.resume.write_request",
        lambda _, kind, **said: requests.append({"kind": kind} | said),
    )
    return requests


def test_the_process_that_runs_a_study_takes_more_up_itself(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, taken: list[object]
) -> None:
    made = begun()
    with held(made.folder):
        assert extend(workspace, "try", console, None, 2) is None
    assert taken == [{"kind": "extend", "n_trials": None, "n_seeds": 2}]
    assert operated == []


def test_an_extension_that_is_typed_again_while_it_runs_adds_nothing_unless_that_is_meant(
    begun: MakeLedger,
    workspace: Path,
    operated: Operated,
    console: Console,
    taken: list[object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = begun()
    made.say(StudyExtended, request="one", n_trials=None, n_seeds=2)
    with held(made.folder):
        assert extend(workspace, "try", console, None, 2) is None
        assert taken == []
        assert "nothing is added twice. To add as many once more, give --again" in caplog.text
        assert extend(workspace, "try", console, None, 2, is_again=True) is None
    assert taken == [{"kind": "extend", "n_trials": None, "n_seeds": 2}]
    assert operated == []


def test_an_extension_that_waits_is_not_asked_for_twice(
    begun: MakeLedger, workspace: Path, operated: Operated, console: Console, taken: list[object]
) -> None:
    made = begun()
    write_request(made.folder, "extend", n_trials=None, n_seeds=2)
    with held(made.folder):
        assert extend(workspace, "try", console, None, 2) is None
    assert taken == []


# stop


def test_a_study_that_nobody_runs_is_not_stopped(begun: MakeLedger, workspace: Path) -> None:
    made = begun()
    named = re.escape(in_workspace(workspace, "try"))
    with pytest.raises(InputError, match=rf"none runs 'try'\. See 'adapert status {named}'"):
        stop(workspace, "try", None)
    assert not has_requests(made.folder)


@pytest.mark.parametrize("trial", ["001", "009"])
def test_a_trial_that_does_not_run_is_not_stopped(begun: MakeLedger, workspace: Path, trial: str) -> None:
    made = begun()
    for known in ("001", "002", "003"):
        made.asked(known)
    made.ended("001")
    with (
        held(made.folder),
        pytest.raises(InputError, match=rf"but '{trial}' of 'try' does not\. Running are '002', '003'"),
    ):
        stop(workspace, "try", trial)
    assert not has_requests(made.folder)


@pytest.mark.parametrize("trial", [None, "001"])
def test_the_process_that_runs_a_study_is_asked_to_stop(
    begun: MakeLedger, workspace: Path, taken: list[object], trial: str | None
) -> None:
    made = begun()
    made.asked("001")
    with held(made.folder):
        stop(workspace, "try", trial)
    assert taken == [{"kind": "stop", "trial": trial}]


@pytest.mark.parametrize("trial", [None, "001"])
def test_a_request_to_a_process_that_ends_before_it_takes_it_up_is_withdrawn(
    begun: MakeLedger, workspace: Path, monkeypatch: pytest.MonkeyPatch, trial: str | None
) -> None:
    made = begun()
    made.asked("001")
    answers = iter([True, False])  # runs when it is asked, and has ended when it is looked at again
    monkeypatch.setattr("adapert.workspace.resume.is_held", lambda _: next(answers))
    with pytest.raises(InputError, match="that of 'try' has just ended"):
        stop(workspace, "try", trial)
    assert not has_requests(made.folder)


def test_a_process_that_only_delivers_to_mlflow_has_ended(
    begun: MakeLedger, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.workspace.resume.TAKEN_SECONDS", 0.0)
    made = begun()
    made.asked("001")
    made.opened(pid=os.getpid(), host=socket.gethostname())
    made.closed(TrialStatus.INTERRUPTED)
    with held(made.folder), pytest.raises(InputError, match="that of 'try' has just ended"):
        stop(workspace, "try", "001")
    assert not has_requests(made.folder)


def test_a_request_that_was_taken_up_at_the_last_moment_is_not_reported_as_lost(
    begun: MakeLedger, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begun()
    made.asked("001")

    def take(*_: object) -> bool:
        for file, _request in read_requests(made.folder):
            file.unlink()
        return False

    monkeypatch.setattr("adapert.workspace.resume._is_taken", take)
    with held(made.folder):
        stop(workspace, "try", "001")


def test_a_process_that_does_not_answer_is_told(
    begun: MakeLedger, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.workspace.resume.TAKEN_SECONDS", 0.0)
    made = begun()
    named = re.escape(in_workspace(workspace, "try"))
    with (
        held(made.folder),
        pytest.raises(InputError, match=rf"it will when it can\. See 'adapert status {named}'"),
    ):
        stop(workspace, "try", None)
    assert has_requests(made.folder)


def test_an_extension_that_waits_for_a_long_epoch_is_said_to_wait(
    begun: MakeLedger, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.workspace.resume.TAKEN_SECONDS", 0.0)
    made = begun()
    with held(made.folder), pytest.raises(InputError, match="it will when it can"):
        extend(workspace, "try", Console(quiet=True), None, 1)
    assert has_requests(made.folder)
