"""Trials that fail, and workers that are lost."""

from pathlib import Path
from typing import Any

import pytest
from fixtures.simulated_study import (
    MAX_EPOCHS,
    begin,
    finish,
    frozen_trials,
    hand_out,
    learn,
    lines_of,
    statuses,
)
from optuna.trial import TrialState

from adapert.records import FAILURE, MESSAGE, EndReason, TrialRecord, TrialStatus
from adapert.study.engine.events import EpochReported
from adapert.study.engine.ledger import read_events
from adapert.testing import open_study


def test_a_config_that_fails_never_stops_the_others(study_folder: Path) -> None:
    begin(study_folder, "search")
    runner = open_study(study_folder)

    def first_fails(record: TrialRecord, epoch: int) -> dict[str, Any]:
        return {FAILURE: "error", MESSAGE: "ValueError: 1"} if record.number == 0 else learn(record, epoch)

    closing = finish(runner, behave=first_fails)
    assert closing.status == TrialStatus.FAILED
    assert [record.status == TrialStatus.FAILED for record in runner.state.records.values()] == [
        True,
        *[False] * 6,
    ]


def test_a_study_whose_first_three_trials_fail_alike_gives_up(study_folder: Path) -> None:
    begin(study_folder, "search")
    runner = open_study(study_folder)

    def fail(record: TrialRecord, epoch: int) -> dict[str, str]:
        return {FAILURE: "error", MESSAGE: f"ValueError: {record.number + 1}.5 is no number."}

    closing = finish(runner, n_at_once=4, behave=fail)
    sentence = "The first 3 trials all failed for the same reason: ValueError: 1.5 is no number."
    assert (closing.status, closing.message) == (TrialStatus.FAILED, sentence)
    assert statuses(runner) == [
        *[(TrialStatus.FAILED, EndReason.ERROR)] * 3,
        *[(TrialStatus.STOPPED, EndReason.LIMIT)] * (len(runner.state.records) - 3),
    ]


@pytest.mark.parametrize("n_alike", [1, 2])
def test_a_study_whose_trials_fail_in_different_ways_goes_on(study_folder: Path, n_alike: int) -> None:
    begin(study_folder, "search")
    runner = open_study(study_folder)

    def fail(record: TrialRecord, epoch: int) -> dict[str, str]:
        name = "ABCDEFGH"[record.number // n_alike]
        return {FAILURE: "error", MESSAGE: f"{name}Error: no"}

    assert finish(runner, behave=fail).message == ""
    assert len(runner.state.records) == 7


def test_three_failures_after_a_success_do_not_end_a_study(study_folder: Path) -> None:
    begin(study_folder, "search")
    runner = open_study(study_folder)

    def fail_later(record: TrialRecord, epoch: int) -> dict[str, Any]:
        return learn(record, epoch) if record.number == 0 else {FAILURE: "error", MESSAGE: "ValueError: no"}

    assert finish(runner, behave=fail_later).message == ""
    assert len(runner.state.records) == 7


@pytest.mark.parametrize(
    ("reason", "state", "constraints"),
    [
        (EndReason.MEMORY, TrialState.PRUNED, {"memory": 1.0}),
        (EndReason.DIVERGED, TrialState.FAIL, {}),
        (EndReason.ERROR, TrialState.FAIL, {}),
        (EndReason.WORKER, TrialState.FAIL, {}),
    ],
)
def test_optuna_hears_of_memory_that_a_config_is_infeasible_and_else_that_it_failed(
    study_folder: Path, reason: EndReason, state: TrialState, constraints: dict[str, float]
) -> None:
    begin(study_folder, "search")
    runner = open_study(study_folder)
    runner.failed(hand_out(runner).trial_id, reason, "It failed.")
    (trial,) = frozen_trials(runner)
    assert (trial.state, trial.value, trial.constraints) == (state, None, constraints)


def test_epochs_that_a_new_worker_repeats_are_written_once(study_folder: Path, ledger_path: Path) -> None:
    begin(study_folder, "design")
    runner = open_study(study_folder, max_failures=1)
    record = hand_out(runner)
    for epoch in (1, 2):
        runner.reported(record.trial_id, learn(record, epoch))
    runner.failed(record.trial_id, EndReason.WORKER, "Its worker was lost.")
    assert hand_out(runner) is record
    runner.started(record.trial_id)
    for epoch in (1, 2, 3):
        assert runner.reported(record.trial_id, learn(record, epoch))
    reported = [event.epoch for event in read_events(ledger_path) if isinstance(event, EpochReported)]
    assert reported == [1, 2, 3]
    assert (record.n_epochs, record.n_lost) == (3, 1)


def test_a_trial_fails_that_loses_more_workers_than_are_allowed_over_all_processes(
    study_folder: Path,
) -> None:
    begin(study_folder, "design")
    for n_lost in (1, 2):
        runner = open_study(study_folder, max_failures=2)
        record = hand_out(runner)
        runner.failed(record.trial_id, EndReason.WORKER, "Its worker was lost.")
        assert (record.trial_id, record.n_lost, record.status) == ("001", n_lost, TrialStatus.RUNNING)
    record = hand_out(runner)
    runner.failed(record.trial_id, EndReason.WORKER, "Its worker was lost.")
    assert (record.trial_id, record.status, record.reason) == ("001", TrialStatus.FAILED, EndReason.WORKER)


@pytest.mark.parametrize("reason", [EndReason.ERROR, EndReason.MEMORY, EndReason.DIVERGED])
def test_what_trying_again_would_not_cure_is_not_tried_again(study_folder: Path, reason: EndReason) -> None:
    begin(study_folder, "design")
    runner = open_study(study_folder, max_failures=3)
    record = hand_out(runner)
    runner.failed(record.trial_id, reason, "It failed.")
    assert record.status == TrialStatus.FAILED


def test_what_is_told_of_a_trial_that_has_ended_changes_nothing(
    study_folder: Path, ledger_path: Path
) -> None:
    begin(study_folder, "design")
    runner = open_study(study_folder)
    record = hand_out(runner)
    runner.reported(record.trial_id, learn(record, MAX_EPOCHS))
    n_lines = len(lines_of(ledger_path))
    runner.failed(record.trial_id, EndReason.WORKER, "Its worker was lost.")
    assert not runner.reported(record.trial_id, learn(record, MAX_EPOCHS + 1))
    assert len(lines_of(ledger_path)) == n_lines
    assert record.status == TrialStatus.FINISHED
