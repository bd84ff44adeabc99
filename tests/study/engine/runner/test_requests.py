"""Requests from other terminals to a study at work."""

import json
from pathlib import Path

import pytest
from fixtures.simulated_study import (
    begin,
    finish,
    frozen_trials,
    hand_out,
    learn,
    learn_or_fail,
    lines_of,
    run,
    statuses,
)
from optuna.trial import TrialState

from adapert.records import EndReason, TrialStatus
from adapert.study.engine.ledger import held
from adapert.study.engine.requests import has_requests, read_requests, write_request
from adapert.testing import SimulatedWorkers, open_study


def test_all_trials_end_when_a_study_is_asked_to_stop(study_folder: Path) -> None:
    begin(study_folder, "search")
    runner = run(open_study(study_folder), n_at_once=2, n_reports=1)
    write_request(study_folder, "stop", trial=None)
    closing = finish(runner)
    assert (closing.status, closing.message) == (TrialStatus.STOPPED, "It was asked to stop.")
    assert statuses(runner) == [(TrialStatus.STOPPED, EndReason.REQUEST)] * 2
    assert [trial.state for trial in frozen_trials(runner)] == [TrialState.PRUNED] * 2


def test_a_trial_that_runs_ends_at_its_next_epoch_when_asked(study_folder: Path) -> None:
    begin(study_folder, "design")
    runner = open_study(study_folder)
    first, second = hand_out(runner), hand_out(runner)
    assert runner.reported(first.trial_id, learn(first, 1))
    write_request(study_folder, "stop", trial=first.trial_id)
    assert not runner.should_close()
    assert first.status == TrialStatus.RUNNING
    assert not runner.reported(first.trial_id, learn(first, 2))
    assert (first.status, first.reason, first.n_epochs) == (TrialStatus.STOPPED, EndReason.REQUEST, 2)
    assert runner.reported(second.trial_id, learn(second, 1))


def test_a_trial_that_was_asked_to_stop_ends_although_the_process_was_killed(study_folder: Path) -> None:
    begin(study_folder, "design")
    runner = open_study(study_folder)
    first = hand_out(runner)
    runner.reported(first.trial_id, learn(first, 1))
    write_request(study_folder, "stop", trial=first.trial_id)
    runner.should_close()
    again = open_study(study_folder)
    assert again.state.records[first.trial_id].reason == EndReason.REQUEST


def test_a_request_whose_file_outlives_a_killed_process_is_taken_once(study_folder: Path) -> None:
    begin(study_folder, "search")
    runner = open_study(study_folder)
    write_request(study_folder, "extend", n_trials=3, n_seeds=None)
    (file, request) = read_requests(study_folder)[0]
    runner.should_close()
    file.write_text(json.dumps(request))
    again = open_study(study_folder)
    assert again.state.n_more_trials == 3
    assert not has_requests(study_folder)


def test_a_request_to_stop_a_process_that_is_gone_does_not_stop_the_next_one(study_folder: Path) -> None:
    begin(study_folder, "search")
    write_request(study_folder, "stop", trial=None)
    with held(study_folder):
        runner = open_study(study_folder)
    assert not runner.should_close()


def test_a_trial_that_waits_never_runs_when_asked_to_stop(study_folder: Path) -> None:
    begin(study_folder, "deterministic")
    runner = open_study(study_folder)
    hand_out(runner)
    write_request(study_folder, "stop", trial="003")
    runner.should_close()
    assert runner.state.records["003"].reason == EndReason.REQUEST
    assert [hand_out(runner).trial_id for _ in range(2)] == ["002", "004"]


@pytest.mark.parametrize("trial", ["001", "999"])
def test_a_request_to_stop_what_does_not_run_changes_nothing(
    study_folder: Path, ledger_path: Path, trial: str
) -> None:
    begin(study_folder, "design")
    runner = open_study(study_folder)
    hand_out(runner)
    runner.failed("001", EndReason.ERROR, "ValueError: no")
    write_request(study_folder, "stop", trial=trial)
    n_lines = len(lines_of(ledger_path))
    assert not runner.should_close()
    assert len(lines_of(ledger_path)) == n_lines


def test_a_running_search_goes_on_to_more_trials_when_it_is_extended(study_folder: Path) -> None:
    begin(study_folder, "deterministic")
    runner = open_study(study_folder)
    workers = SimulatedWorkers(runner, learn_or_fail, n_workers=2)
    workers.run(n_reports=9)
    write_request(study_folder, "extend", n_trials=3, n_seeds=None)
    workers.run()
    assert sorted(runner.state.completed) == list(range(13))


@pytest.mark.parametrize(("plan", "asked"), [("search", 7), ("deterministic", 10)])
def test_a_search_that_is_done_goes_on_when_it_is_extended(study_folder: Path, plan: str, asked: int) -> None:
    begin(study_folder, plan)
    finish(open_study(study_folder))
    write_request(study_folder, "extend", n_trials=3, n_seeds=None)
    runner = open_study(study_folder)
    assert not runner.is_done  # known before anything is started for it
    finish(runner)
    assert sorted(runner.state.completed) == list(range(asked + 3))


def test_a_design_that_is_done_gets_more_seeds_of_each_variant(study_folder: Path) -> None:
    begin(study_folder, "design")
    finish(open_study(study_folder))
    write_request(study_folder, "extend", n_trials=None, n_seeds=1)
    runner = open_study(study_folder)
    finish(runner)
    new = [(record.variant, record.seed) for record in list(runner.state.records.values())[6:]]
    assert new == [("full", 2), ("sharp", 2), ("flat", 2)]
