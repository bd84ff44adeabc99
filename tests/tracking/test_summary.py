import math
from collections.abc import Callable

import pytest
from fixtures.ledger import HandMade, MakeLedger
from fixtures.narrowed import present
from optuna.distributions import FloatDistribution

from adapert.config import Config
from adapert.records import OBJECTIVE, EndReason, TrialStatus
from adapert.study.engine.events import FirstRungDecided
from adapert.study.engine.state import StudyState
from adapert.study.plan.study import Search
from adapert.tracking.summary import (
    best_finished,
    describe_findings,
    describe_state,
    describe_trial,
    escape_markdown,
    put_first,
    summarize_state,
)


def make_state(make_ledger: Callable[..., HandMade]) -> StudyState:
    """Two trials finished, of two and one seconds, one was stopped and better, two failed alike."""
    made = make_ledger(base=Config().with_changes({"model.dropout": 0.25}))
    made.opened()
    for trial, value, changes in [("001", 0.25, {}), ("002", 0.5, {"model.tau": 0.5, "graph.top_k": 10})]:
        made.asked(trial, "sharp" if changes else "full", changes=changes)
        made.reported(trial, 1, value, best_pds=0.125, loss_total=3.0)
        made.ended(trial)
    made.asked("003")
    made.reported("003", 1, 0.9)
    made.ended("003", TrialStatus.STOPPED, EndReason.RUNG)
    for trial in ("004", "005"):
        made.asked(trial)
        made.ended(trial, TrialStatus.FAILED, EndReason.ERROR, "ValueError: no")
    made.closed(TrialStatus.STOPPED, "It was asked to stop.")
    return made.state


def test_the_best_is_the_finished_trial_of_highest_objective(make_ledger: MakeLedger) -> None:
    assert present(best_finished(make_state(make_ledger))).trial_id == "002"


def test_without_a_finished_trial_of_an_objective_none_is_best(make_ledger: MakeLedger) -> None:
    made = make_ledger()
    made.asked("001")
    made.reported("001", 1, None)
    made.ended("001")
    assert best_finished(made.state) is None
    assert OBJECTIVE not in summarize_state(made.state)


def test_numbers_are_counts_costs_and_the_best_trial_s(make_ledger: MakeLedger) -> None:
    numbers = summarize_state(make_state(make_ledger))
    # A second between two lines: a trial that reports costs two, one that fails at once costs one.
    assert math.isclose(numbers.pop("trial_hours"), (2 + 2 + 2 + 1 + 1) / 3600)
    assert math.isclose(numbers.pop("wall_hours"), 19 / 3600)
    assert numbers == {
        OBJECTIVE: 0.5,
        "best_pds": 0.125,
        "n_finished": 2,
        "n_stopped": 1,
        "n_failed": 2,
        "n_interrupted": 0,
    }


def test_words_are_the_question_the_ends_the_best_config_and_the_failures(make_ledger: MakeLedger) -> None:
    assert describe_state(make_state(make_ledger)).splitlines() == [
        "Which one?",
        "",
        "2 failed, 2 finished, 1 stopped; 0.00 trial-hours.",
        "",
        "It was asked to stop.",
        "",
        "Best: trial 002, validation Pearson-delta 0.5000",
        "",
        "| field | value |",
        "|---|---|",
        "| model.tau | 0.5 |",
        r"| graph.top\_k | 10 |",
        "",
        "| failures | what |",
        "|---|---|",
        "| 2 | ValueError: no |",
    ]


def test_words_of_a_search_say_where_its_first_rung_is_and_why(make_ledger: MakeLedger) -> None:
    made = make_ledger(plan=Search(space={"model.tau": FloatDistribution(0.1, 2.0)}))
    made.say(FirstRungDecided, epoch=None, n_trials=8, agreement=None)
    *_, empty, said = describe_state(made.state).splitlines()
    assert empty == ""
    assert said.startswith("No rung yet: the order of 8 full trials agrees with their final order too late")


def test_a_study_without_trials_says_so(make_ledger: MakeLedger) -> None:
    made = make_ledger()
    made.opened()
    assert describe_state(made.state) == "Which one?\n\nno trial yet; 0.00 trial-hours."


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("Which one? 50 % of 3 (or 4).", "Which one? 50 % of 3 (or 4)."),
        ("a|b", r"a\|b"),
        ("<img src=x>", r"\<img src=x\>"),
        ("[click](http://x)", r"\[click\](http://x)"),
        ("# no title", r"\# no title"),
        ("- no item", r"\- no item"),
        ("1. no item", r"\1. no item"),
        ("two\n\nlines", "two lines"),
        ("*a* _b_ `c` ~~d~~", r"\*a\* \_b\_ \`c\` \~\~d\~\~"),
    ],
)
def test_text_is_shown_as_it_is(text: str, escaped: str) -> None:
    assert escape_markdown(text) == escaped


def test_a_message_breaks_no_table(make_ledger: MakeLedger) -> None:
    made = make_ledger()
    made.asked("001")
    made.ended("001", TrialStatus.FAILED, EndReason.ERROR, "a | b\n| c |")
    assert r"| 1 | a \| b \| c \| |" in describe_state(made.state).splitlines()


def test_findings_come_before_the_rest_of_a_description_and_replace_earlier_ones() -> None:
    first = describe_findings(["It *is* so.", "Warning: 2 seeds."], "2026-01-01 10:00 UTC")
    assert first == ("Findings of 2026-01-01 10:00 UTC:\n\n- It \\*is\\* so.\n- Warning: 2 seeds.")
    note = put_first(first, "Which one?\n\n2 finished")
    assert note == f"{first}\n\n---\n\nWhich one?\n\n2 finished"
    later = describe_findings(["No."], "later")
    assert put_first(later, note) == f"{later}\n\n---\n\nWhich one?\n\n2 finished"
    own = "Mine.\n\n---\n\nMore of mine."
    assert put_first(later, put_first(first, own)) == f"{later}\n\n---\n\n{own}"


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (
            "002",
            "Finished after 1 epoch. Best validation Pearson-delta 0.5000.\n\n| field | value |\n|---|---|\n"
            "| model.tau | 0.5 |\n| graph.top\\_k | 10 |",
        ),
        (
            "003",
            "Stopped after 1 epoch: others had reached more by then. Best validation Pearson-delta 0.9000.",
        ),
        ("004", "Failed after 0 epochs.\n\nValueError: no"),
    ],
)
def test_a_trial_says_how_it_ended_and_what_it_tried(make_ledger: MakeLedger, trial: str, said: str) -> None:
    assert describe_trial(make_state(make_ledger).records[trial]) == said


def test_a_trial_says_at_which_epoch_it_was_best(make_ledger: MakeLedger) -> None:
    made = make_ledger()
    made.asked("001")
    made.reported("001", 3, 0.25, best_epoch=2)
    made.ended("001")
    assert describe_trial(made.state.records["001"]) == (
        "Finished after 3 epochs. Best validation Pearson-delta 0.2500, at epoch 2."
    )
