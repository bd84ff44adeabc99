"""A study that is killed after any line of its ledger, and resumed."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from fixtures.exhaustive import few_fast
from fixtures.simulated_study import begin, finish, lines_of, outcome, run, run_unbroken

from adapert.records import TrialStatus
from adapert.study.engine.events import ConfigCompleted, EpochReported, Event, TrialAsked, TrialEnded
from adapert.study.engine.ledger import read_events
from adapert.study.engine.state import fold
from adapert.testing import open_study

UNBROKEN = [
    ("deterministic learned seeds", 3),
    ("design", 1),
    ("learned", 1),
    ("deterministic", 3),
    ("seeds", 1),
    ("deterministic seeds", 2),
    ("importance", 1),
    ("deterministic grid", 2),
]
"""Plans whose outcome does not depend on when what ends."""


Choose = Callable[[list[bytes]], Iterable[int]]


def after_any(lines: list[bytes]) -> range:
    """Numbers of lines after each line but the last."""
    return range(1, len(lines))


def after_each_kind(lines: list[bytes]) -> list[int]:
    """Numbers of lines after the first and the last line of each kind."""
    kinds = [json.loads(line)["event"] for line in lines]
    numbers: set[int] = set()
    for kind in set(kinds):
        numbers |= {kinds.index(kind) + 1, len(kinds) - kinds[::-1].index(kind)}
    return sorted(numbers - {len(lines)})


def kill_after(folder: Path, ledger: Path, plan: str, n_at_once: int, choose: Choose) -> None:
    """Run a study, then kill it after each of the chosen lines and compare how it ends."""
    begin(folder, plan)
    unbroken = open_study(folder)
    assert finish(unbroken, n_at_once=n_at_once).status in (TrialStatus.FINISHED, TrialStatus.FAILED)
    expected, lines = outcome(unbroken), lines_of(ledger)
    for n_lines in choose(lines):
        ledger.write_bytes(b"".join(lines[:n_lines]))
        again = open_study(folder)
        finish(again, n_at_once=n_at_once)
        assert again.is_done
        assert outcome(again) == expected, f"killed after line {n_lines}: {lines[n_lines - 1]!r}"


@pytest.mark.parametrize(("plan", "n_at_once"), few_fast(UNBROKEN, 3))
def test_a_study_that_is_killed_after_a_line_of_each_kind_ends_as_an_unbroken_one(
    study_folder: Path, ledger_path: Path, plan: str, n_at_once: int
) -> None:
    kill_after(study_folder, ledger_path, plan, n_at_once, after_each_kind)


@pytest.mark.slow
@pytest.mark.parametrize(("plan", "n_at_once"), UNBROKEN)
def test_a_study_that_is_killed_after_any_line_ends_as_an_unbroken_one(
    study_folder: Path, ledger_path: Path, plan: str, n_at_once: int
) -> None:
    kill_after(study_folder, ledger_path, plan, n_at_once, after_any)


def test_a_study_that_is_killed_again_and_again_ends_as_an_unbroken_one(
    study_folder: Path, ledger_path: Path
) -> None:
    expected = run_unbroken(study_folder, "deterministic seeds", n_at_once=2)
    ledger_path.unlink()
    begin(study_folder, "deterministic seeds")
    for _ in range(1000):
        killed = run(open_study(study_folder), n_at_once=2, n_reports=3)
        if killed.is_done:
            break
        killed.ledger.close()
    again = open_study(study_folder)
    finish(again)
    assert outcome(again) == expected


def kill_search_after(folder: Path, ledger: Path, choose: Choose) -> None:
    """Kill a search, whose outcome depends on when what ends, after each of the chosen lines."""
    begin(folder, "search")
    finish(open_study(folder), n_at_once=3)
    lines = lines_of(ledger)
    for n_lines in choose(lines):
        killed = b"".join(lines[:n_lines])
        ledger.write_bytes(killed)
        again = open_study(folder)
        finish(again, n_at_once=3)
        assert ledger.read_bytes().startswith(killed)
        assert again.is_done
        check_each_told_once(read_events(ledger))


def check_each_told_once(events: list[Event]) -> None:
    """Whether a ledger has every config, end and epoch of seven trials, each once."""
    state = fold(events)
    assert sorted(record.number for record in state.records.values()) == list(range(7))
    assert sorted(state.completed) == list(range(7))
    for kind, what in ((TrialAsked, "number"), (ConfigCompleted, "number"), (TrialEnded, "trial")):
        told = [getattr(event, what) for event in events if isinstance(event, kind)]
        assert len(told) == len(set(told)) == 7
    epochs = [(event.trial, event.epoch) for event in events if isinstance(event, EpochReported)]
    assert len(epochs) == len(set(epochs))


def test_a_search_that_is_killed_after_a_line_of_each_kind_loses_and_repeats_nothing(
    study_folder: Path, ledger_path: Path
) -> None:
    kill_search_after(study_folder, ledger_path, after_each_kind)


@pytest.mark.slow
def test_a_search_that_is_killed_after_any_line_loses_and_repeats_nothing(
    study_folder: Path, ledger_path: Path
) -> None:
    kill_search_after(study_folder, ledger_path, after_any)
