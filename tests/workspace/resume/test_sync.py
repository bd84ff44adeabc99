import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pytest
from fixtures.launched import runs_in
from fixtures.ledger import HandMade, MakeLedger
from fixtures.narrowed import present

from adapert.errors import InputError
from adapert.records import EndReason, Tag, TrialStatus
from adapert.results.ledger import write_pick
from adapert.results.study import PickRecord
from adapert.study.engine.events import RunTracked
from adapert.study.engine.folders import PICK_FILE, copy_figures, copy_report
from adapert.study.engine.ledger import held
from adapert.tracking.runs import EVALUATION_FILES
from adapert.tracking.store import ARTIFACTS, DATABASE, open_store
from adapert.tracking.tracker import Tracker, count_waiting
from adapert.workspace.resume import sync


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapert.tracking.tracker.RETRY_SECONDS", (0.001, 0.01))
    monkeypatch.setattr("adapert.tracking.tracker.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(Tracker.close, "__defaults__", (0.05,))


def test_a_killed_study_s_runs_are_delivered_and_ended(
    begun: MakeLedger, workspace: Path, no_patience: None
) -> None:
    made = begun()
    made.asked("001")
    made.reported("001", 1, 0.5)
    assert sync(workspace, "try") == (0, "")
    client, experiment = open_store(workspace)
    assert [run.info.status for run in client.search_runs([experiment])] == ["KILLED", "KILLED"]
    assert present(made.state.closed).status == TrialStatus.INTERRUPTED
    assert count_waiting(made.folder, made.events) == 0


def test_the_time_since_a_study_was_killed_is_not_its_cost(
    begun: MakeLedger, workspace: Path, no_patience: None
) -> None:
    made = begun()
    made.asked("001")
    made.reported("001", 1, 0.5)
    before = made.state
    sync(workspace, "try")
    assert made.state.seconds == before.seconds == 3
    assert made.state.trial_hours == before.trial_hours


def test_an_ended_study_has_no_line_added(begun: MakeLedger, workspace: Path, no_patience: None) -> None:
    made = begun()
    made.asked("001")
    made.ended("001", TrialStatus.FAILED, EndReason.ERROR, "no")
    made.closed(TrialStatus.FAILED)
    n_seen = len(made.events)
    for _ in range(2):
        assert sync(workspace, "try") == (0, "")
    assert len([event for event in made.events if not isinstance(event, RunTracked)]) == n_seen


def test_a_store_that_still_is_not_there_leaves_the_lines_waiting(
    begun: MakeLedger, workspace: Path, no_patience: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begun()

    def refuse(_: Path) -> NoReturn:
        raise ConnectionError("refused")

    with monkeypatch.context() as store:
        store.setattr("adapert.workspace.resume.open_store", refuse)
        assert sync(workspace, "try") == (3, "ConnectionError: refused")
    assert count_waiting(made.folder, made.events) == 3
    assert sync(workspace, "try") == (0, "")


def test_a_running_study_delivers_by_itself(begun: MakeLedger, workspace: Path) -> None:
    made = begun()
    with held(made.folder), pytest.raises(InputError, match="One process at a time"):
        sync(workspace, "try")


def finished(begun: MakeLedger) -> HandMade:
    made = begun(name="try")
    made.asked("001")
    made.reported("001", 1, 0.5)
    made.ended("001")
    made.closed()
    return made


def test_a_store_of_which_nothing_is_left_is_filled_again(
    begun: MakeLedger, workspace: Path, no_patience: None
) -> None:
    made = finished(begun)
    sync(workspace, "try")
    (workspace / DATABASE).unlink()
    shutil.rmtree(workspace / ARTIFACTS)
    assert sync(workspace, "try") == (0, "")
    runs = runs_in(workspace)
    assert sorted(run.info.status for run in runs) == ["FINISHED", "FINISHED"]
    assert {run.info.run_id for run in runs} == set(made.state.run_ids.values())
    lines = len(made.events)
    assert sync(workspace, "try") == (0, "")
    assert (len(runs_in(workspace)), len(made.events)) == (2, lines)


def test_a_store_that_was_lost_and_is_away_is_not_said_to_have_all(
    begun: MakeLedger, workspace: Path, no_patience: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(begun)
    sync(workspace, "try")

    def refuse(_: Path) -> NoReturn:
        raise ConnectionError

    monkeypatch.setattr("adapert.workspace.resume.open_store", refuse)
    n_waiting, reason = sync(workspace, "try")
    assert n_waiting >= 1
    assert "ConnectionError" in reason


def write_evaluation(workspace: Path, name: str, record: dict[str, dict[str, Any]]) -> None:
    folder = workspace / "evaluations" / name
    folder.mkdir(parents=True)
    for file in EVALUATION_FILES:
        (folder / file).write_text(file)
    (folder / "evaluation.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("opened", "is_of_study", "n_accesses"),
    [
        ({"split": "test", "study": "try", "number": 2, "data_fingerprint": "own"}, True, "2"),
        (
            {"split": "test", "study": "try", "number": 2, "data_fingerprint": "other", "trained_on": "own"},
            True,
            None,
        ),
        ({"split": "validation", "data_fingerprint": "own"}, True, None),
        ({"split": "test", "study": "other", "number": 1, "data_fingerprint": "own"}, False, None),
        ({"split": "test", "study": "", "number": 1, "data_fingerprint": "own"}, False, None),
    ],
)
def test_an_evaluation_that_was_killed_before_mlflow_had_it_is_delivered(
    begun: MakeLedger,
    workspace: Path,
    no_patience: None,
    opened: dict[str, Any],
    is_of_study: bool,
    n_accesses: str | None,
) -> None:
    made = finished(begun)
    write_evaluation(workspace, "test_001", {"opened": opened, "config": made.study.base.flat()})
    assert sync(workspace, "try") == (0, "")
    (study,) = [run for run in runs_in(workspace) if run.data.tags[Tag.KIND] == "study"]
    client, _ = open_store(workspace)
    kept = client.list_artifacts(study.info.run_id, "evaluation/test_001")
    assert len(kept) == (3 if is_of_study else 0)
    assert study.data.tags.get(Tag.TEST_OPENINGS) == n_accesses


@pytest.mark.parametrize("text", ["", "[]", '{"opened": 1}', '{"opened": {}, "config": {"no": 1}}'])
def test_an_evaluation_that_is_damaged_is_left_out(
    begun: MakeLedger, workspace: Path, no_patience: None, text: str
) -> None:
    finished(begun)
    write_evaluation(workspace, "test_001", {})
    (workspace / "evaluations" / "test_001" / "evaluation.json").write_text(text)
    assert sync(workspace, "try") == (0, "")


def show(made: HandMade) -> None:
    """What was drawn of a study, and how its config was picked, in its folder."""
    figures = [made.folder.parents[1] / "figures" / f"history{suffix}" for suffix in (".png", ".pdf")]
    for path in figures:
        path.parent.mkdir(exist_ok=True)
        path.write_text("drawn")
    copy_figures(made.folder, figures)
    copy_report(made.folder, "<html>")
    write_pick(made.folder, PickRecord("pds", "try_reevaluation"))


def shown_in(workspace: Path) -> tuple[dict[str, int], str | None]:
    """What the store shows of a study's own run."""
    client, _ = open_store(workspace)
    (run,) = [run for run in runs_in(workspace) if run.data.tags[Tag.KIND] == "study"]
    kept = [file for name in ("figures", "report") for file in client.list_artifacts(run.info.run_id, name)]
    return {file.path: file.file_size for file in kept}, run.data.tags.get(Tag.PICKED_BY)


SHOWN = {"figures/history.png": 5, "report/report.html": 6}, "pds try_reevaluation"


@pytest.mark.parametrize("is_lost", [False, True])
def test_figures_report_and_pick_are_delivered_again(
    begun: MakeLedger, workspace: Path, no_patience: None, is_lost: bool
) -> None:
    made = finished(begun)
    show(made)
    sync(workspace, "try")
    if is_lost:
        (workspace / DATABASE).unlink()
        shutil.rmtree(workspace / ARTIFACTS)
        shutil.rmtree(workspace / "figures")
    assert sync(workspace, "try") == (0, "")
    assert shown_in(workspace) == SHOWN
    lines = len(made.events)
    assert sync(workspace, "try") == (0, "")
    assert (shown_in(workspace), len(made.events)) == (SHOWN, lines)


def test_a_report_that_was_written_again_since_replaces_the_one_that_was_delivered(
    begun: MakeLedger, workspace: Path, no_patience: None
) -> None:
    made = finished(begun)
    show(made)
    sync(workspace, "try")
    copy_report(made.folder, "<html>more")
    sync(workspace, "try")
    assert shown_in(workspace)[0]["report/report.html"] == len("<html>more")


@pytest.mark.parametrize("text", ["", "[]", '{"objective": "pds"}'])
def test_a_damaged_record_of_a_pick_keeps_nothing_back(
    begun: MakeLedger, workspace: Path, no_patience: None, text: str
) -> None:
    made = finished(begun)
    (made.folder / PICK_FILE).write_text(text)
    assert sync(workspace, "try") == (0, "")
    assert shown_in(workspace) == ({}, None)


def test_a_study_that_lies_elsewhere_gets_no_folder_for_what_is_drawn_of_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("drawn")
    copy_figures(tmp_path / "try", [tmp_path / "a.png"])
    copy_report(tmp_path / "try", "<html>")
    assert not (tmp_path / "try").exists()
