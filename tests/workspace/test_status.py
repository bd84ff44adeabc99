import io
from contextlib import ExitStack
from pathlib import Path

import pytest
from fixtures.ledger import HandMade, MakeLedger
from optuna.distributions import FloatDistribution
from rich.console import Console, RenderableType

from adapert.commands import in_workspace
from adapert.errors import InputError
from adapert.records import EndReason, TrialStatus
from adapert.study.engine import ledger
from adapert.study.engine.events import Event, FirstRungDecided, RunTracked, StudyExtended
from adapert.study.engine.ledger import held
from adapert.study.plan.study import Search
from adapert.tracking.tracker import DELIVERED_FILE
from adapert.workspace import status
from adapert.workspace.status import (
    build_studies_table,
    build_trials_table,
    describe_status,
    read_status,
    read_statuses,
)
from search_spaces.adapert import SPACE


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def some_trials(made: HandMade) -> HandMade:
    """One trial of each end, and one that has none."""
    made.opened()
    for trial, variant in [("001", "full"), ("002", "sharp"), ("003", "full"), ("004", "sharp")]:
        made.asked(trial, variant)
    made.reported("001", 1, 0.25)
    made.reported("001", 2, 0.5)
    made.ended("001")
    made.reported("002", 1, 0.75)
    made.ended("002", TrialStatus.STOPPED, EndReason.RUNG, "It was below 0.9 at epoch 1.")
    made.ended("003", TrialStatus.FAILED, EndReason.ERROR, "ValueError: [no]")
    made.reported("004", 1, 0.9)
    return made


def rows_of(table: RenderableType) -> list[list[str]]:
    file = io.StringIO()
    Console(file=file, width=200).print(table)
    return [line.split() for line in file.getvalue().splitlines()]


def test_trials_are_a_line_each(make_ledger: MakeLedger, runs: Path) -> None:
    some_trials(make_ledger())
    header, *rows = rows_of(build_trials_table(read_status(runs, "try")))
    assert header == ["trial", "seed", "state", "epoch", "best", "seconds", "variant", "host", "why"]
    assert rows == [
        ["001", "0", "finished", "2", "0.500", "9.0", "full", "node"],
        [
            *["002", "0", "stopped", "1", "0.750", "9.0", "sharp", "node"],
            *["It", "was", "below", "0.9", "at", "epoch", "1."],
        ],
        ["003", "0", "failed", "0", "-", "8.0", "full", "ValueError:", "[no]"],
        ["004", "0", "interrupted", "1", "0.900", "7.0", "sharp", "node"],
    ]


def test_what_says_nothing_has_no_column(make_ledger: MakeLedger, runs: Path) -> None:
    made = make_ledger()
    made.opened()
    made.asked("001")
    made.reported("001", 1, 0.75)
    made.ended("001", TrialStatus.STOPPED, EndReason.RUNG, "It was below 0.9 at epoch 1.")
    header, row = rows_of(build_trials_table(read_status(runs, "try")))
    assert header == ["trial", "seed", "state", "epoch", "best", "seconds", "variant"]
    assert row == ["001", "0", "stopped", "1", "0.750", "2.0", "full"]


def test_trials_of_a_search_are_told_by_their_hyperparameters(make_ledger: MakeLedger, runs: Path) -> None:
    made = make_ledger(plan=Search(space=SPACE, n_trials=2))
    made.opened()
    for trial, changes in (
        ("001", {"loss.lambda_non": 0.0011658, "graph.top_k": 10}),
        ("002", {"loss.lambda_non": 1e-05, "graph.top_k": 5}),
    ):
        made.asked(trial, "search", changes=changes, suggested=changes)
    header, *rows = rows_of(build_trials_table(read_status(runs, "try")))
    assert header[-1] == "hyperparameters"
    assert [row[-4:] for row in rows] == [
        ["lambda_non", "0.00117,", "top_k", "10"],
        ["lambda_non", "1e-05,", "top_k", "5"],
    ]


def test_studies_are_a_line_each_by_name(make_ledger: MakeLedger, runs: Path) -> None:
    some_trials(make_ledger("wide")).closed(TrialStatus.INTERRUPTED)
    made = make_ledger("small")
    made.opened()
    made.asked("001")
    made.ended("001")
    made.closed()
    header, *rows = rows_of(build_studies_table(read_statuses(runs)[0]))
    assert header == ["study", "kind", "state", "trials", "ends", "best", "trial-hours"]
    ends = ["1", "failed,", "1", "finished,", "1", "interrupted,", "1", "stopped"]
    assert rows == [
        ["small", "ablation", "finished", "1/4", "1", "finished", "-", "0.00"],
        ["wide", "ablation", "interrupted", "3/4", *ends, "0.750", "0.01"],
    ]


def test_a_study_whose_process_is_gone_without_a_word_was_killed(make_ledger: MakeLedger, runs: Path) -> None:
    some_trials(make_ledger())
    status = read_status(runs, "try")
    assert (status.word, status.is_running) == ("killed", False)
    assert [row[2] for row in rows_of(build_trials_table(status))][-1] == "interrupted"


def test_a_study_that_a_process_holds_runs(make_ledger: MakeLedger, runs: Path) -> None:
    made = some_trials(make_ledger())
    with held(made.folder):
        status = read_status(runs, "try")
    assert (status.word, status.is_running) == ("running", True)
    assert [row[2] for row in rows_of(build_trials_table(status))][-1] == "running"


@pytest.mark.parametrize("end", [TrialStatus.FINISHED, TrialStatus.STOPPED, TrialStatus.FAILED])
def test_a_study_that_ended_is_named_by_its_end(
    make_ledger: MakeLedger, runs: Path, end: TrialStatus
) -> None:
    some_trials(make_ledger()).closed(end, "It was asked to stop.")
    status = read_status(runs, "try")
    assert status.word == end
    assert describe_status(status)[1] == "It was asked to stop."


def test_a_study_is_told_in_a_line_with_its_process_and_cost(make_ledger: MakeLedger, runs: Path) -> None:
    made = some_trials(make_ledger())
    with held(made.folder):
        (line,) = describe_status(read_status(runs, "try"))
    assert line.startswith("try: running (by pid ")
    assert line.endswith("3 of 4 trials, 0.01 trial-hours, 15 s at work")


def test_a_search_says_where_its_first_rung_is_and_why(make_ledger: MakeLedger, runs: Path) -> None:
    made = make_ledger(plan=Search(space={"model.tau": FloatDistribution(0.1, 2.0)}))
    assert describe_status(read_status(runs, "try"))[1].startswith("First rung not known yet: 8 trials must")
    made.say(FirstRungDecided, epoch=12, n_trials=8, agreement=0.9375)
    assert describe_status(read_status(runs, "try"))[1] == (
        "First rung at epoch 12: from there the order of 8 full trials agrees with their final order "
        "(Spearman at least 0.94)."
    )


def test_trials_that_were_added_count_as_asked_for(make_ledger: MakeLedger, runs: Path) -> None:
    made = some_trials(make_ledger())
    made.say(StudyExtended, request="r", n_trials=None, n_seeds=3)
    assert read_status(runs, "try").n_asked == 10


def test_lines_that_wait_for_mlflow_are_counted_with_their_cure(make_ledger: MakeLedger, runs: Path) -> None:
    made = some_trials(make_ledger())
    made.closed()
    made.say(RunTracked, trial="", run="r")
    (made.folder / DELIVERED_FILE).write_text('{"lines": 10}')
    status = read_status(runs, "try")
    assert status.n_waiting == len(made.events) - 1 - 10
    assert describe_status(status)[-1] == (
        f"MLflow lacks {status.n_waiting} lines: adapert sync {in_workspace(runs, 'try')}"
    )


def test_a_study_whose_lines_were_all_delivered_says_nothing_of_it(
    make_ledger: MakeLedger, runs: Path
) -> None:
    made = some_trials(make_ledger())
    made.closed()
    (made.folder / DELIVERED_FILE).write_text(f'{{"lines": {len(made.events)}}}')
    assert len(describe_status(read_status(runs, "try"))) == 1


def test_a_line_that_is_being_written_does_not_disturb(make_ledger: MakeLedger, runs: Path) -> None:
    made = some_trials(make_ledger())
    before = len(rows_of(build_trials_table(read_status(runs, "try"))))
    with made.path.open("a") as file:
        file.write('{"event": "asked", "tri')
    assert len(rows_of(build_trials_table(read_status(runs, "try")))) == before


def test_a_damaged_ledger_is_refused_by_its_line(make_ledger: MakeLedger, runs: Path) -> None:
    made = some_trials(make_ledger())
    made.path.write_text(made.path.read_text().replace('"event":"opened"', "no", 1))
    with pytest.raises(InputError, match="line 2 of"):
        read_status(runs, "try")


def test_a_workspace_without_studies_has_none(runs: Path) -> None:
    with pytest.raises(InputError, match=r"^There is no folder '.*runs', and no study in it\. Launch one,"):
        read_statuses(runs)
    runs.mkdir()
    assert read_statuses(runs) == ([], [])


def test_a_damaged_ledger_hides_no_other_study(make_ledger: MakeLedger, runs: Path) -> None:
    some_trials(make_ledger("whole"))
    make_ledger("bad").path.write_text("[1]\n")
    statuses, (fault,) = read_statuses(runs)
    assert [status.name for status in statuses] == ["whole"]
    assert "line 1 of" in fault


def test_a_study_that_this_version_cannot_restore_hides_no_other(make_ledger: MakeLedger, runs: Path) -> None:
    some_trials(make_ledger("whole"))
    make_ledger("odd").change_first(study={"name": "odd", "question": "?"})
    statuses, (fault,) = read_statuses(runs)
    assert [status.name for status in statuses] == ["whole"]
    assert "does not describe one" in fault


def test_variants_and_messages_with_brackets_are_shown_as_they_are(
    make_ledger: MakeLedger, runs: Path
) -> None:
    made = make_ledger()
    made.opened()
    made.asked("001", "full")
    made.ended("001", TrialStatus.FAILED, EndReason.ERROR, "[/x]: [bold]no[/bold]")
    _, row = rows_of(build_trials_table(read_status(runs, "try")))
    assert row[-2:] == ["[/x]:", "[bold]no[/bold]"]


def test_a_study_that_ends_while_it_is_read_was_not_killed(
    make_ledger: MakeLedger, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = some_trials(make_ledger())
    read = ledger.read_events
    with ExitStack() as process:
        process.enter_context(held(made.folder))

        def read_and_end(path: Path) -> list[Event]:
            events = read(path)
            process.close()
            return events

        monkeypatch.setattr(ledger, "read_events", read_and_end)
        monkeypatch.setattr(status, "read_events", read_and_end, raising=False)
        assert read_status(runs, "try").word == "running"
