"""`adapert ls`, `status` and `watch`: once, live, and as JSON."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fixtures.command import Refused, RunCommand, documented_keys
from fixtures.ledger import HandMade, MakeLedger

from adapert.cli.printing import console
from adapert.records import TrialStatus
from adapert.study.engine.ledger import held


@pytest.fixture
def begun(make_ledger: MakeLedger) -> HandMade:
    """A study with one trial that ended and one that had not when its process was killed."""
    made = make_ledger("compare_parts")
    made.opened()
    for trial in ("001", "002"):
        made.asked(trial)
        made.reported(trial, 1, 0.5)
    made.ended("001")
    return made


def test_ls_lists_studies(adapert: RunCommand, begun: HandMade) -> None:
    ended = adapert("ls")
    assert (ended.status, ended.err) == (0, "")
    header, row, *_ = ended.out.splitlines()
    assert header.split()[:4] == ["study", "kind", "state", "trials"]
    assert row.split()[:4] == ["compare_parts", "ablation", "killed", "1/4"]


def test_status_of_a_study_lists_its_trials(adapert: RunCommand, begun: HandMade) -> None:
    ended = adapert("status", "compare_parts")
    assert ended.status == 0
    told, waiting, header, *rows = ended.out.splitlines()
    assert told.startswith("compare_parts: killed (last by pid unknown on unknown), 1 of 4 trials")
    assert waiting == "MLflow lacks 9 lines: adapert sync compare_parts"
    assert header.split() == ["trial", "seed", "state", "epoch", "best", "seconds", "variant"]
    assert [row.split()[2] for row in rows] == ["finished", "interrupted"]


def test_ls_of_a_workspace_without_studies_says_so(adapert: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    ended = adapert("ls")
    assert (ended.status, ended.out) == (0, "'runs' has no study yet.\n")


@pytest.mark.parametrize("command", ["ls", "watch"])
def test_a_workspace_that_is_no_folder_is_refused(refused: Refused, command: str) -> None:
    assert "There is no folder 'rusn', and no study in it." in refused(command, "--workspace", "rusn")


def test_ls_of_a_folder_of_workspaces_lists_the_studies_of_each(
    adapert: RunCommand, make_ledger: MakeLedger, tmp_path: Path
) -> None:
    for place in ("a/runs", "b/c/runs", "b/.hidden/runs", "too/deep/for/it/runs"):
        make_ledger(workspace=tmp_path / "all" / place)
    ended = adapert("ls", "--workspace", "all")
    lines = ended.out.split()
    assert [word for word in lines if word.endswith("runs:")] == ["all/a/runs:", "all/b/c/runs:"]
    assert lines.count("try") == 2


def test_json_has_the_documented_keys(adapert: RunCommand, begun: HandMade) -> None:
    begun.reported("002", 2, None)
    ended = adapert("status", "compare_parts", "--json")
    assert (ended.status, ended.err) == (0, "")
    said = json.loads(ended.out)
    assert list(said) == documented_keys("`status STUDY`")
    assert (said["kind"], said["state"], said["n_trials"], said["n_ended"]) == ("ablation", "killed", 4, 1)
    assert (said["ends"], said["best_pearson_delta"]) == ({"finished": 1, "interrupted": 1}, 0.5)
    first, second = said["trials"]
    assert list(first) == documented_keys("each of `trials`")
    assert (first["trial"], first["state"]) == ("compare_parts/001", "finished")
    assert second["metrics"]["best_pearson_delta"] is None  # NaN, which JSON does not have
    del said["trials"]
    listed = json.loads(adapert("ls", "--json").out)
    assert list(listed) == documented_keys("`ls`")
    assert listed == {"studies": [said], "unreadable": []}
    verbose = adapert("ls", "--json", "--verbose")
    assert json.loads(verbose.out) == listed
    assert verbose.err.startswith("adapert 0.")
    unknown = adapert("status", "other", "--json", "--verbose")
    assert (unknown.status, unknown.out) == (2, "")
    assert "Traceback" in unknown.err
    assert adapert("--version").err == ""


def test_a_study_that_cannot_be_read_is_named_beside_the_others(
    adapert: RunCommand, begun: HandMade, make_ledger: MakeLedger
) -> None:
    make_ledger("torn").path.write_text("no ledger\n")
    ended = adapert("ls", "--json")
    said = json.loads(ended.out)
    assert ended.status == 2
    assert [study["study"] for study in said["studies"]] == ["compare_parts"]
    assert ended.err == f"Error: {said['unreadable'][0]}\n"


def test_watching_draws_each_look_and_ends_with_the_study(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study goes on while the watching process sleeps."""
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "is_interactive", True)
    monkeypatch.setenv("TERM", "xterm")
    process = ExitStack()
    process.enter_context(held(begun.folder))
    steps: Iterator[Callable[[], object]] = iter([lambda: begun.reported("002", 7, 0.75), process.close])
    monkeypatch.setattr("adapert.cli.watching.time.sleep", lambda _: next(steps)())
    ended = adapert("watch", "compare_parts")
    assert ended.status == 0
    drawn, _, last = ended.out.rpartition("compare_parts: killed")
    assert "1/4 trials, 1 running, 1 finished, best Pearson-delta 0.500" in drawn
    assert "best Pearson-delta 0.750" in drawn
    assert "0.750" in last
    assert list(steps) == []


def test_watching_all_studies_ends_at_once_where_none_runs(adapert: RunCommand, begun: HandMade) -> None:
    begun.closed(TrialStatus.INTERRUPTED)
    assert adapert("watch").out == adapert("ls").out


def test_ctrl_c_ends_the_watching_alone(
    adapert: RunCommand, begun: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adapert.cli.watching.time.sleep", interrupt)
    with held(begun.folder):
        ended = adapert("watch", "compare_parts")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("compare_parts: running")
