"""Which trials run and go on, by kind of plan."""

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fixtures.exhaustive import few_fast
from fixtures.narrowed import of_kind
from fixtures.simulated_study import (
    MAX_EPOCHS,
    PLANS,
    SPACE,
    begin,
    finish,
    frozen_trials,
    hand_out,
    learn,
    outcome,
    statuses,
)
from optuna.trial import TrialState

from adapert.records import IS_OVER, OBJECTIVE, EndReason, TrialRecord, TrialStatus
from adapert.study.engine.events import Event
from adapert.study.engine.ledger import read_events
from adapert.study.engine.state import StudyState, fold
from adapert.study.plan.study import FixedRung, Search
from adapert.testing import open_study


@pytest.mark.parametrize(
    "plan",
    few_fast(
        ["deterministic", "deterministic seeds", "deterministic learned seeds", "deterministic grid"], 2
    ),
)
def test_a_deterministic_search_is_the_same_whatever_runs_side_by_side(
    study_folder: Path, ledger_path: Path, plan: str
) -> None:
    outcomes = []
    for n_at_once in (1, 2, 3, 4):
        for seed in (None, 0):
            ledger_path.unlink(missing_ok=True)
            begin(study_folder, plan)
            runner = open_study(study_folder)
            finish(runner, n_at_once=n_at_once, order=None if seed is None else random.Random(seed))
            outcomes.append(outcome(runner))
    assert all(each == outcomes[0] for each in outcomes)
    ends = {record["reason"] for record in outcomes[0][0].values()}
    assert {EndReason.RUNG, EndReason.EPOCHS} <= ends  # else there was nothing to compare


def test_a_search_hands_out_the_next_config_as_soon_as_a_place_is_free(study_folder: Path) -> None:
    begin(study_folder, "search")
    runner = open_study(study_folder)
    assert [hand_out(runner).trial_id for _ in range(3)] == ["001", "002", "003"]
    assert runner.n_running == 3


def test_a_deterministic_search_waits_for_the_slowest_of_a_cohort(study_folder: Path) -> None:
    begin(study_folder, "deterministic")
    runner = open_study(study_folder)
    first, *others = [hand_out(runner) for _ in range(4)]
    for record, name in zip(others, "ABC", strict=True):
        runner.failed(record.trial_id, EndReason.ERROR, f"{name}Error: no")
    assert runner.next_trial() is None
    runner.failed(first.trial_id, EndReason.MEMORY, "It needs 3 GB.")
    assert hand_out(runner).trial_id == "005"


def test_each_line_is_in_the_ledger_before_observers_hear_of_it(
    study_folder: Path, ledger_path: Path
) -> None:
    begin(study_folder, "design")

    class Reader:
        def __init__(self) -> None:
            self.kinds: list[str] = []

        def on_event(self, event: Event, state: StudyState) -> None:
            self.kinds.append(event.event)
            assert read_events(ledger_path)[-1].event == event.event
            assert state == fold(read_events(ledger_path))

    reader = Reader()
    finish(open_study(study_folder, observers=[reader]), n_reports=3)
    assert reader.kinds[:4] == ["opened", "asked", "started", "reported"]
    assert reader.kinds[-1] == "closed"


def test_only_a_config_s_first_seed_is_compared_at_rungs(study_folder: Path) -> None:
    begin(study_folder, "seeds")
    runner = open_study(study_folder)
    finish(runner)
    assert {runner.state.records[line.trial].seed for line in runner.state.decided} == {2}


def test_a_config_that_another_one_leaves_behind_is_completed_with_it(study_folder: Path) -> None:
    plan = Search(space=SPACE, n_trials=3, seeds_per_config=2, first_rung=FixedRung(MAX_EPOCHS))
    begin(study_folder, plan)
    runner = open_study(study_folder)

    def finish_trial(record: TrialRecord, value: float) -> None:
        runner.reported(record.trial_id, {OBJECTIVE: value, "epoch": 1, IS_OVER: True})

    for value in (0.5, 0.6, 0.9):
        finish_trial(hand_out(runner), value)
    rival, behind = hand_out(runner), hand_out(runner)
    finish_trial(behind, 0.5)  # close to 0.55, the best so far, and worth another seed
    assert sorted(runner.state.completed) == [0]
    finish_trial(rival, 0.91)
    assert sorted(runner.state.completed) == [0, 1, 2]
    assert runner.next_trial() is None
    assert runner.is_done


def test_an_importance_study_trains_every_config_with_every_seed_to_its_end(study_folder: Path) -> None:
    begin(study_folder, "importance")
    runner = open_study(study_folder)
    finish(runner, n_at_once=3, behave=learn)
    assert statuses(runner) == [(TrialStatus.FINISHED, EndReason.EPOCHS)] * 12
    assert runner.state.decided == []


def test_quasi_random_configs_are_the_same_whatever_runs_side_by_side(
    study_folder: Path, ledger_path: Path
) -> None:
    def suggested(n_at_once: int) -> dict[int, Mapping[str, Any]]:
        ledger_path.unlink(missing_ok=True)
        begin(study_folder, "importance")
        runner = open_study(study_folder)
        finish(runner, n_at_once=n_at_once)
        records = sorted(runner.state.records.values(), key=lambda record: record.number)
        return {record.number: record.changes for record in records}

    assert suggested(3) == suggested(1)


def test_a_design_s_trials_are_never_compared(study_folder: Path) -> None:
    begin(study_folder, "design")
    runner = open_study(study_folder)
    finish(runner)
    assert runner.state.decided == []
    assert statuses(runner)[0] == (TrialStatus.FINISHED, EndReason.EPOCHS)


def test_a_trial_that_a_rung_stopped_says_at_which_value(study_folder: Path) -> None:
    begin(study_folder, replace(of_kind(Search, PLANS["search"]), first_rung=FixedRung(2)))
    runner = open_study(study_folder)
    first, second = hand_out(runner), hand_out(runner)
    better = {OBJECTIVE: 0.5, "epoch": 2, IS_OVER: False}
    assert runner.reported(first.trial_id, better)
    assert not runner.reported(second.trial_id, better | {OBJECTIVE: 0.25})
    assert (second.reason, second.message) == (EndReason.RUNG, "It was below 0.5 at epoch 2.")
    (_, trial) = frozen_trials(runner)
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {2: 0.25})
