import io
import math
import re
import sys
from typing import Any

import pytest
from fixtures.ledger import HandMade, MakeLedger
from fixtures.narrowed import of_kind, present
from rich.console import Console

from adapert.records import EndReason, TrialStatus, best_record
from adapert.study.engine.events import StudyExtended, WorkerLost
from adapert.study.engine.state import StudyState, fold
from adapert.study.plan.study import Design
from adapert.workspace.progress import CONTINUE, ROWS_SHOWN, Progress, describe, format_seconds

DESIGN = Design(kind="ablation", variants={f"v{n}": {} for n in range(5)}, n_seeds=2)


@pytest.fixture
def made(make_ledger: MakeLedger) -> HandMade:
    return make_ledger(plan=DESIGN)


def shown_for(made: HandMade, state: StudyState | None = None, **console: Any) -> Progress:
    written = Console(file=io.StringIO(), width=200, **console)
    return Progress(written, made.state if state is None else state)


def printed(shown: Progress) -> str:
    return of_kind(io.StringIO, shown.console.file).getvalue()


def some_ends(made: HandMade) -> None:
    made.opened()
    for trial in "abcd":
        made.asked(trial)
    made.reported("a", 60, 0.5)
    made.ended("a")
    made.reported("b", 10, 0.7)
    made.ended("b", TrialStatus.STOPPED, EndReason.RUNG)
    made.ended("c", TrialStatus.FAILED, EndReason.ERROR, "RuntimeError: [enforce fail] no memory")
    made.reported("d", 30, 0.1)


def test_the_summary_counts_ends_and_names_the_best(made: HandMade) -> None:
    some_ends(made)
    assert shown_for(made).summary() == (
        "3/10 trials, 1 running, 1 finished, 1 stopped, 1 failed, best Pearson-delta 0.700"
    )


def test_what_the_first_trial_waits_for_is_named_until_it_starts(made: HandMade) -> None:
    made.opened()
    shown = Progress(Console(quiet=True), made.state, "starting Ray")
    assert shown.summary() == "0/10 trials, starting Ray"
    shown.on_event(made.asked("a"), made.state)
    assert shown.summary() == "0/10 trials, 1 running"


def test_trials_that_were_added_are_asked_for_too(made: HandMade) -> None:
    some_ends(made)
    made.say(StudyExtended, request="r", n_trials=None, n_seeds=1)
    assert shown_for(made).summary().startswith("3/15 trials")


def test_a_trial_without_an_objective_is_never_the_best(made: HandMade) -> None:
    made.asked("a")
    made.reported("a", 1, None)
    assert "best" not in shown_for(made).summary()
    made.asked("b")
    made.reported("b", 1, 0.5)
    assert "best Pearson-delta 0.500" in shown_for(made).summary()


def test_time_left_is_extrapolated_from_the_epochs_of_this_process(
    made: HandMade, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.opened()
    made.asked("a")
    made.ended("a")
    state = made.state  # a trial was done before
    shown = shown_for(made, state)
    assert shown.seconds_left() is None
    for event in (made.asked("b"), made.reported("b", 30, 0.5)):
        shown.on_event(event, state)
    shown.state = made.state
    monkeypatch.setattr("adapert.workspace.progress.time.monotonic", lambda: shown.started + 30)
    assert shown.seconds_left() == pytest.approx(30 * 8.5 / 0.5)


def test_running_trials_are_drawn_before_any_that_ended(made: HandMade) -> None:
    made.asked("early")
    made.reported("early", 1, math.pi)
    for number in range(ROWS_SHOWN):
        made.asked(f"t{number}")
        made.ended(f"t{number}")
    shown = shown_for(made)
    shown.console.print(shown.render())
    assert "early" in printed(shown)
    assert "3.142" in printed(shown)
    assert "t0" not in printed(shown)
    assert "t1" in printed(shown)


def tell(shown: Progress, made: HandMade) -> None:
    state = StudyState()
    for event in made.events:
        state.see(event)
        shown.on_event(event, state)


def test_without_a_terminal_each_end_is_a_line(made: HandMade) -> None:
    some_ends(made)
    shown = shown_for(made, fold(made.events[:1]))
    tell(shown, made)
    lines = printed(shown).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("1/10 trials, 3 running, 1 finished")
    assert lines[0].endswith("full, seed 0: finished after 60 epochs, Pearson-delta 0.500")


def test_a_failure_is_printed_word_for_word(made: HandMade) -> None:
    some_ends(made)
    shown = shown_for(made, fold(made.events[:1]))
    tell(shown, made)
    assert "full, seed 0: failed: RuntimeError: [enforce fail] no memory" in printed(shown)


def test_a_terminal_shows_failures_above_what_it_draws(made: HandMade) -> None:
    some_ends(made)
    shown = shown_for(made, fold(made.events[:1]), force_terminal=True, color_system=None)
    tell(shown, made)
    assert printed(shown) == "c failed: RuntimeError: [enforce fail] no memory\n"


def test_a_lost_worker_is_told(made: HandMade) -> None:
    made.asked("a")
    made.say(WorkerLost, trial="a", message="Its worker was lost.")
    shown = shown_for(made, fold(made.events[:1]))
    tell(shown, made)
    assert printed(shown) == "a lost its worker and continues in another.\n"


def test_the_best_so_far_may_still_run(made: HandMade) -> None:
    some_ends(made)
    made.asked("e")
    made.reported("e", 1, 0.9)
    assert present(best_record(made.state.records.values())).trial_id == "e"


def test_one_epoch_is_told_as_one(made: HandMade) -> None:
    made.asked("a")
    made.reported("a", 1, 0.5)
    made.ended("a")
    assert describe(made.state.records["a"]) == "finished after 1 epoch, Pearson-delta 0.500"


def test_a_notebook_sees_how_far_a_study_is_its_best_trials_first_and_what_failed(made: HandMade) -> None:
    some_ends(made)
    page = re.sub("<[^>]*>", " ", shown_for(made).build_html())
    assert "try: Which one?  35%" in page
    assert "3/10 trials, 1 running, 1 finished, 1 stopped, 1 failed, best Pearson-delta 0.700" in page
    assert "c failed: RuntimeError: [enforce fail] no memory" in page
    assert re.findall("  ([abcd])  0  ", page) == ["b", "a", "d", "c"]
    assert CONTINUE not in page


def test_a_notebook_is_told_how_an_interrupted_study_continues(made: HandMade) -> None:
    some_ends(made)
    made.closed(TrialStatus.INTERRUPTED, "It was interrupted.")
    page = shown_for(made).build_html()
    assert "1 interrupted" in page
    assert "running" not in page
    assert page.index("It was interrupted.") < page.index(CONTINUE)


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_seconds_are_told_in_one_unit(seconds: int, text: str) -> None:
    assert format_seconds(seconds) == text


def test_variants_with_brackets_are_drawn_as_they_are_on_any_console(make_ledger: MakeLedger) -> None:
    made = make_ledger(plan=Design(kind="ablation", variants={"[/x] [bold]": {}}, n_seeds=1))
    made.asked("001", "[/x] [bold]")
    shown = shown_for(made)
    shown.console.print(shown.render())
    assert "[/x] [bold]" in printed(shown)


def test_progress_that_is_not_shown_swallows_no_warning(
    made: HandMade, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress(Console(quiet=True, force_terminal=True), made.state):
        sys.stderr.write("a warning\n")
    assert capsys.readouterr().err == "a warning\n"
