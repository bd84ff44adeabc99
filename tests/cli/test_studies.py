"""Commands for a study that exists: resume, extend, stop, status, sync."""

import re
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from fixtures.command import Refused, RunCommand, Simulated
from fixtures.ledger import HandMade, MakeLedger
from rich.console import Console

from adapert.records import EndReason, TrialStatus
from adapert.study.engine.ledger import LEDGER_FILE, held
from adapert.study.engine.limits import Limits
from adapert.study.engine.runner import Closing
from adapert.study.execution.resources import Resources
from adapert.tracking.runs import Connect
from adapert.tracking.store import DATABASE
from adapert.workspace.launch import build_base
from adapert.workspace.session import StudyResult


@pytest.fixture
def told(adapert: RunCommand) -> Refused:
    """Run a command that must be refused in one sentence; it may leave a lock in the study's folder."""

    def run(*words: object) -> str:
        ended = adapert(*words)
        assert ended.status == 2, ended
        assert re.fullmatch(r"Error: [^\n]*[.?]\n", ended.err), ended.err
        return ended.err

    return run


@pytest.fixture
def begun(make_ledger: MakeLedger, simulated: Simulated) -> HandMade:
    """A study that a process took up and was killed in, with one trial that ended and one that had not."""
    base = build_base(simulated.prepared, None, {})
    made = make_ledger("compare_parts", base=base)
    made.opened(resources=asdict(Resources()), limits=Limits())
    for trial in ("001", "002"):
        made.asked(trial)
        made.reported(trial, 1, 0.5)
    made.ended("001")
    return made


@pytest.mark.parametrize("command", ["resume", "extend", "stop", "status", "watch", "sync"])
def test_an_unknown_study_is_answered_with_the_nearest_by_every_command(
    refused: Refused, begun: HandMade, command: str
) -> None:
    message = refused(command, "compare_part")
    assert "There is no study 'compare_part' in 'runs'. Did you mean 'compare_parts'?" in message
    assert "--workspace" in message


@pytest.mark.parametrize("command", ["resume", "extend", "stop", "status", "sync"])
def test_a_command_without_its_study_is_refused(refused: Refused, command: str) -> None:
    assert "Missing argument 'STUDY'. 'adapert ls' lists the studies." in refused(command)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stop"], "none runs 'compare_parts'"),
        (["stop", "002"], "none runs 'compare_parts'"),
        (["extend"], "A design is extended by --seeds"),
        (["extend", "--trials", "3"], "Add --seeds N"),
        (["extend", "--seeds", "0"], "--seeds"),
        (["extend", "--trials", "few"], "--trials"),
        (["resume", "--max-failures", "-1"], "--max-failures"),
        (["resume", "--max-concurrent", "0"], "--max-concurrent"),
        (["resume", "--time-budget", "2"], "--time-budget must be a number above 0"),
        (["resume", "--trial-hours", "-1"], "--trial-hours"),
        (["resume", "--target", "good"], "--target"),
    ],
)
def test_a_wrong_word_about_a_study_is_refused(
    told: Refused, begun: HandMade, words: list[str], says: str
) -> None:
    command, *rest = words
    assert says in told(command, "compare_parts", *rest)


@pytest.mark.parametrize("trial", ["001", "009"])
def test_a_trial_that_does_not_run_is_not_stopped(told: Refused, begun: HandMade, trial: str) -> None:
    with held(begun.folder):
        message = told("stop", "compare_parts", trial)
    assert f"'{trial}' of 'compare_parts' does not. Running are '002'" in message


def test_stop_says_what_it_asked_for(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.workspace.resume.has_requests", lambda _: False)
    with held(begun.folder):
        assert adapert("stop", "compare_parts", "002").out == "Asked to stop: trial 002 of compare_parts.\n"
        assert adapert("stop", "compare_parts").out == "Asked to stop: compare_parts.\n"


def test_extend_says_that_the_running_process_goes_on_with_more(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.workspace.resume.has_requests", lambda _: False)
    with held(begun.folder):
        ended = adapert("extend", "compare_parts", "--seeds", "1")
    assert (ended.status, ended.out) == (
        0,
        "The process that runs 'compare_parts' has taken the extension up.\n",
    )


def test_changed_code_is_refused_until_it_is_accepted(
    adapert: RunCommand, told: Refused, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = begun.state.definition.origin
    begun.change_first(origin=origin | {"code": origin["code"] | {"adapert.config": "other"}})
    message = told("resume", "compare_parts")
    assert "the code of 'adapert.config' has changed" in message
    assert "--accept-changes" in message
    operated(monkeypatch, begun)
    assert "Accepted: the code of" in adapert("resume", "compare_parts", "--accept-changes").out


def operated(
    monkeypatch: pytest.MonkeyPatch, made: HandMade, closing: Closing | None = None, had_ended: bool = False
) -> list[tuple[Resources, Limits]]:
    """Let the process leave the study at once, with its trials as the ledger has them."""
    given = []

    def operate(
        folder: Path, resources: Resources, limits: Limits, console: Console, connect: Connect, data: Path
    ) -> StudyResult:
        given.append((resources, limits))
        closed = closing or Closing(TrialStatus.INTERRUPTED, message="It was interrupted.")
        records = list(made.state.records.values())
        return StudyResult(
            made.study, records, 4, closed, 1.0, 0.0, n_undelivered=3, trouble="gone", had_ended=had_ended
        )

    monkeypatch.setattr("adapert.workspace.resume.operate", operate)
    return given


def test_resume_goes_on_with_what_it_is_given(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = operated(monkeypatch, begun)
    words = ["--trial-hours", "1.5", "--target", "0.7", "--time-budget", "2m", "--max-concurrent", "1"]
    adapert("resume", "compare_parts", *words, "--max-failures", "5")
    assert given == [
        (Resources(max_concurrent=1, max_failures=5), Limits(seconds=120, trial_hours=1.5, target=0.7))
    ]


def test_resume_goes_on_without_ray_where_that_is_asked(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = operated(monkeypatch, begun)
    adapert("resume", "compare_parts", "--executor", "local")
    assert given == [(Resources(executor="local"), Limits())]


def test_an_interrupted_study_says_how_to_go_on_and_ends_with_130(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated(monkeypatch, begun)
    ended = adapert("resume", "compare_parts")
    assert (ended.status, ended.err) == (130, "")
    assert ended.out.splitlines() == [
        "compare_parts: 1 finished, 1 interrupted of 4 trials in 1 s.",
        "It was interrupted.",
        "Continue with: adapert resume compare_parts",
        "Tracking: gone",
        "MLflow lacks 3 lines. Deliver with: adapert sync compare_parts",
    ]


@pytest.mark.parametrize(
    ("end", "status"), [(TrialStatus.FINISHED, 0), (TrialStatus.STOPPED, 0), (TrialStatus.FAILED, 1)]
)
def test_a_study_s_end_is_the_command_s(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch, end: TrialStatus, status: int
) -> None:
    operated(monkeypatch, begun, Closing(end))
    ended = adapert("resume", "compare_parts")
    assert ended.status == status
    assert "Next: adapert figures compare_parts" in ended.out


def test_resuming_a_study_that_had_ended_says_that_nothing_was_to_do(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated(monkeypatch, begun, Closing(TrialStatus.FINISHED), had_ended=True)
    ended = adapert("resume", "compare_parts")
    assert ended.status == 0
    assert (
        "compare_parts had ended, with 1 finished, 1 interrupted of 4 trials: there was nothing to do."
        in ended.out
    )


def test_a_study_that_lost_ray_says_how_to_go_on_and_ends_with_75(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated(monkeypatch, begun, Closing(TrialStatus.FAILED, message="Ray's GCS is gone.", is_ray_lost=True))
    ended = adapert("resume", "compare_parts")
    assert (ended.status, ended.err) == (75, "")
    assert "Ray's GCS is gone." in ended.out
    assert "Continue with: adapert resume compare_parts" in ended.out
    assert "Next:" not in ended.out


def test_a_failed_trial_is_told_and_ends_the_command_with_1(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun.ended("002", TrialStatus.FAILED, EndReason.ERROR, "ValueError: [no]")
    operated(monkeypatch, begun, Closing(TrialStatus.FINISHED))
    ended = adapert("resume", "compare_parts")
    assert ended.status == 1
    assert "1 failed: ValueError: [no]" in ended.out


def test_sync_says_that_mlflow_has_all(adapert: RunCommand, begun: HandMade, workspace: Path) -> None:
    shutil.copy(workspace / DATABASE, begun.folder.parents[1])
    ended = adapert("sync", "compare_parts")
    assert (ended.status, ended.out, ended.err) == (0, "MLflow has all of 'compare_parts'.\n", "")


def test_sync_names_what_mlflow_refused(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.workspace.resume.sync", lambda *_: (0, "Invalid metric name: 'a+b'"))
    ended = adapert("sync", "compare_parts")
    assert ended.status == 0
    assert ended.out.splitlines() == [
        "MLflow has all of 'compare_parts' but what it refused.",
        "Refused: Invalid metric name: 'a+b'",
    ]


def test_sync_that_cannot_deliver_ends_with_1(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapert.workspace.resume.sync", lambda *_: (7, "ConnectionError: refused"))
    ended = adapert("sync", "compare_parts")
    assert ended.status == 1
    assert ended.err == "Error: MLflow still lacks 7 lines of 'compare_parts': ConnectionError: refused\n"


# names of studies

AS_A_PATH = {
    "status": ["status"],
    "resume": ["resume"],
    "extend": ["extend", "--trials", "1"],
    "stop": ["stop"],
    "sync": ["sync"],
}


@pytest.mark.parametrize("name", ["../../x", "..", ".hidden", "a/b", "a\\b", "a\nb", "", "a[/x]"])
@pytest.mark.parametrize("words", AS_A_PATH.values(), ids=AS_A_PATH)
def test_a_name_that_would_leave_the_workspace_is_refused(
    refused: Refused, words: list[str], name: str
) -> None:
    command, *options = words
    assert "A study's name must be of letters" in refused(command, name, *options)


def test_a_ledger_outside_the_workspace_is_never_read(
    make_ledger: MakeLedger, refused: Refused, tmp_path: Path
) -> None:
    make_ledger(name="try").opened()
    assert (tmp_path / "runs" / "studies" / "try" / LEDGER_FILE).is_file()
    assert "A study's name must be" in refused("status", "../../runs/studies/try", "--workspace", "runs")


@pytest.mark.parametrize("words", AS_A_PATH.values(), ids=AS_A_PATH)
def test_a_name_of_300_letters_is_refused_wherever_it_is_looked_up(
    refused: Refused, words: list[str]
) -> None:
    command, *options = words
    assert "at most 150 bytes, but 'nnnnnnnnnnnnnnnnnnnn...' has 300" in refused(command, "n" * 300, *options)
