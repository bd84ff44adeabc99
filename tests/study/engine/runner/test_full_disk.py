"""A disk that takes no more."""

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fixtures.narrowed import present
from fixtures.simulated_study import (
    begin,
    finish,
    hand_out,
    learn,
    learn_or_fail,
    outcome,
    run,
    run_unbroken,
    statuses,
)

from adapert.records import DISK, FAILURE, MESSAGE, EndReason, TrialStatus
from adapert.study.engine.requests import write_request
from adapert.study.engine.runner import StudyRunner
from adapert.study.engine.search import JOURNAL_FILE, open_storage
from adapert.testing import SimulatedWorkers, open_study


def test_a_trial_that_meets_a_full_disk_closes_the_study_and_is_left_to_be_resumed(
    study_folder: Path,
) -> None:
    begin(study_folder, "design")
    runner = run(open_study(study_folder), n_at_once=2, n_reports=2)
    first = next(iter(runner.state.records.values()))
    assert not runner.reported(first.trial_id, {FAILURE: DISK, MESSAGE: "The disk is full."})
    closing = finish(runner)
    assert (closing.status, closing.message) == (TrialStatus.FAILED, "The disk is full.")
    assert statuses(runner) == [(TrialStatus.RUNNING, None)] * 2
    again = open_study(study_folder)
    assert hand_out(again).trial_id == first.trial_id


def fill_disk(runner: StudyRunner) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, runner.ledger._file.fileno())
    os.close(full)


def test_a_ledger_that_takes_no_more_lines_closes_the_study_and_nothing_is_lost(
    study_folder: Path, ledger_path: Path
) -> None:
    expected = run_unbroken(study_folder, "deterministic", n_at_once=2)
    for n_reports in range(0, 24, 3):
        ledger_path.unlink()
        begin(study_folder, "deterministic")
        runner = open_study(study_folder)
        workers = SimulatedWorkers(runner, learn_or_fail, n_workers=2)
        workers.run(n_reports)
        before = ledger_path.read_bytes()
        fill_disk(runner)
        workers.run()
        closing = runner.close()
        runner.ledger.close()
        assert closing.status == TrialStatus.FAILED
        assert "ledger must be writable, but: No space left on device. Nothing is lost" in closing.message
        assert ledger_path.read_bytes() == before
        again = open_study(study_folder)
        finish(again, n_at_once=2)
        assert outcome(again) == expected


@pytest.mark.parametrize(
    "tell",
    [
        lambda runner: runner.started("001"),
        lambda runner: runner.reported("001", learn(runner.state.records["001"], 2)),
        lambda runner: runner.failed("001", EndReason.WORKER, "Its worker was lost."),
        lambda runner: runner.failed("001", EndReason.ERROR, "ValueError: no"),
        lambda runner: runner.next_trial(),
    ],
    ids=["started", "reported", "lost", "failed", "next_trial"],
)
def test_whatever_is_told_while_the_disk_is_full_closes_the_study(
    study_folder: Path, tell: Callable[[StudyRunner], object]
) -> None:
    begin(study_folder, "search")
    runner = run(open_study(study_folder), n_reports=1, behave=learn)
    fill_disk(runner)
    assert not tell(runner)
    assert runner.should_close()
    assert present(runner.closing).status == TrialStatus.FAILED


def test_a_request_on_a_full_disk_closes_the_study(study_folder: Path) -> None:
    begin(study_folder, "search")
    runner = run(open_study(study_folder), n_reports=1, behave=learn)
    fill_disk(runner)
    write_request(study_folder, "extend", n_trials=1, n_seeds=None)
    assert runner.should_close()
    assert "ledger must be writable" in present(runner.closing).message


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """No file of this process grows beyond a size, as on a disk without room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_study_closes_where_optuna_s_journal_cannot_be_written(study_folder: Path) -> None:
    begin(study_folder, "search")
    runner = open_study(study_folder, storage=open_storage("", study_folder))
    hand_out(runner)
    with files_of_at_most((study_folder / JOURNAL_FILE).stat().st_size):
        assert runner.next_trial() is None
        assert runner.close().status == TrialStatus.FAILED
    runner.ledger.close()
    again = open_study(study_folder)
    finish(again)
    assert sorted(again.state.completed) == list(range(7))
