import io

import pytest
from rich.console import Console

from adapert.config import Config
from adapert.records import OBJECTIVE, TrialRecord, TrialStatus
from adapert.study.progress import ROWS_SHOWN, Progress, format_seconds


def progress_of(*records, n_trials=10):
    shown = Progress(Console(file=io.StringIO(), width=200), n_trials, max_epochs=20)
    for record in records:
        shown.trial_started(record, Config())
    return shown


def record(trial_id, status, value=None, n_epochs=20, message=""):
    metrics = {} if value is None else {OBJECTIVE: value}
    return TrialRecord(trial_id, "full", 0, {}, status, message, n_epochs, metrics)


def printed(shown):
    return shown.console.file.getvalue()


def test_the_summary_counts_ends_and_names_the_best():
    shown = progress_of(
        record("a", TrialStatus.FINISHED, 0.5),
        record("b", TrialStatus.STOPPED, 0.7),
        record("c", TrialStatus.FAILED, None),
        record("d", TrialStatus.RUNNING, 0.1, n_epochs=10),
    )
    expected = "3/10 trials, 1 running, 1 finished, 1 stopped, 1 failed, best Pearson-delta 0.700, about "
    assert shown.summary().startswith(expected)


def test_a_trial_without_an_objective_is_never_the_best():
    shown = progress_of(record("a", TrialStatus.FINISHED, float("nan")))
    assert "best" not in shown.summary()
    shown.trial_started(record("b", TrialStatus.FINISHED, 0.5), Config())
    assert "best Pearson-delta 0.500" in shown.summary()


def test_time_left_is_extrapolated_from_epochs(monkeypatch):
    shown = progress_of(record("a", TrialStatus.FINISHED), record("b", TrialStatus.RUNNING, n_epochs=10))
    monkeypatch.setattr("adapert.study.progress.time.monotonic", lambda: shown.started + 30)
    assert shown.seconds_left() == pytest.approx(30 * 8.5 / 1.5)
    assert progress_of().seconds_left() is None


def test_running_trials_are_drawn_before_any_that_ended():
    running = record("early", TrialStatus.RUNNING, 0.1)
    shown = progress_of(running, *(record(f"t{n}", TrialStatus.FINISHED, 0.2) for n in range(ROWS_SHOWN)))
    shown.console.print(shown.render())
    assert "early" in printed(shown)
    assert "t0" not in printed(shown)


def test_a_failure_is_printed_word_for_word():
    lost = record("a", TrialStatus.FAILED, message="RuntimeError: [enforce fail] no memory")
    shown = progress_of(lost)
    shown.trial_ended(lost)
    assert "full seed 0: failed: RuntimeError: [enforce fail] no memory" in printed(shown)


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_seconds_are_told_in_one_unit(seconds, text):
    assert format_seconds(seconds) == text
