"""How commands that run a study say how it ended."""

from pathlib import Path

import pytest
from fixtures.ledger import HandMade, MakeLedger

from adapert.cli.running import print_result
from adapert.records import EndReason, TrialStatus
from adapert.study.engine.runner import INTERRUPTED, Closing
from adapert.workspace.session import StudyResult


def printed(made: HandMade, closing: Closing, capsys: pytest.CaptureFixture[str]) -> list[str]:
    records = list(made.state.records.values())
    print_result(StudyResult(made.study, records, 4, closing, 20.0, 0.1), Path("my runs"))
    return capsys.readouterr().out.splitlines()


def test_trials_of_an_interrupted_study_are_interrupted_and_do_not_run(
    make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_ledger()
    for trial in ("001", "002", "003"):
        made.asked(trial)
    made.ended("001")
    made.reported("002", 1, 0.5)
    assert printed(made, INTERRUPTED, capsys) == [
        "try: 1 finished, 2 interrupted of 4 trials in 20 s.",
        "It was interrupted.",
        "Continue with: adapert resume try --workspace 'my runs'",
    ]


def test_a_study_that_lost_ray_between_two_trials_says_how_to_continue(
    make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_ledger()
    made.asked("001")
    made.ended("001")
    closing = Closing(TrialStatus.FAILED, message="Ray's raylet no longer answers.", is_ray_lost=True)
    assert printed(made, closing, capsys)[1:] == [
        "Ray's raylet no longer answers.",
        "Continue with: adapert resume try --workspace 'my runs'",
    ]


def test_each_failure_is_said_once_with_how_many_trials_it_ended(
    make_ledger: MakeLedger, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_ledger()
    for trial in ("001", "002", "003"):
        made.asked(trial)
    made.ended("001")
    for trial in ("002", "003"):
        made.ended(trial, TrialStatus.FAILED, EndReason.ERROR, "ValueError: no")
    assert printed(made, Closing(TrialStatus.FAILED), capsys) == [
        "try: 1 finished, 2 failed of 4 trials in 20 s.",
        "2 failed: ValueError: no",
    ]
