import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from adapert.config import Config
from adapert.records import FAILURE, IS_OVER, MESSAGE, OBJECTIVE, EndReason, TrialRecord
from adapert.study.engine.path import PathTrials
from adapert.study.engine.state import StudyState
from adapert.study.plan.definition import describe_study, restore_study
from adapert.study.plan.study import AblationPath, Study
from adapert.testing import SimulatedWorkers, begin_study, open_study

START = {"model.tau": 0.5, "model.dropout": 0.0, "graph.top_k": 5}


def study_of(plan: AblationPath) -> Study:
    return Study(name="path", question="Which?", base=Config(), plan=plan)


def run_path(
    folder: Path,
    plan: AblationPath,
    score: Callable[[Mapping[str, Any], int], object],
    killed_every: float = math.inf,
) -> list[TrialRecord]:
    """Follow a path to its end, one trial at a time, in a new process after every so many trials."""

    def report(record: TrialRecord, epoch: int) -> dict[str, Any]:
        value = score(record.changes, record.seed)
        if value is None:
            return {FAILURE: EndReason.ERROR, MESSAGE: "ValueError: no"}
        return {OBJECTIVE: value, "epoch": epoch, IS_OVER: True}

    begin_study(study_of(plan), folder)
    is_done = False
    while not is_done:
        runner = open_study(folder)
        SimulatedWorkers(runner, report).run(n_reports=killed_every)
        is_done = runner.is_done
        runner.ledger.close()
    return [
        replace(record, seconds=0.0, metrics={OBJECTIVE: record.objective})  # what no clock changes
        for record in runner.state.records.values()
    ]


def greedy(score: Callable[[Mapping[str, Any], int], float]) -> list[str]:
    """The path of Fawcett and Hoos as a plain loop: fields in the order in which they are moved."""
    left, steps = dict(START), []
    while left:
        best = max(left, key=lambda field: score({f: v for f, v in left.items() if f != field}, 0))
        steps.append(best)
        del left[best]
    return steps


WORTH = {"model.tau": -1.0, "model.dropout": 3.0, "graph.top_k": 2.0}


def score_of(worth: dict[str, float]) -> Callable[[Mapping[str, Any], int], float]:
    return lambda changes, seed: sum(value for field, value in worth.items() if field not in changes)


@pytest.mark.parametrize("values", list(permutations([-1.0, 3.0, 2.0])))
def test_a_path_moves_the_field_that_helps_most(values: tuple[float, float, float], tmp_path: Path) -> None:
    score = score_of(dict(zip(START, values, strict=True)))
    records = run_path(tmp_path, AblationPath(start=START, n_seeds=1), score)
    steps = []
    for number in range(1, 4):
        of_round = [record for record in records if record.variant.startswith(f"{number} ")]
        assert len(of_round) == 4 - number
        steps.append(max(of_round, key=lambda record: record.objective).variant.split(" ")[1])
    assert steps == greedy(score)


def test_a_path_begins_at_the_start_and_ends_at_the_base(tmp_path: Path) -> None:
    records = run_path(tmp_path, AblationPath(start=START, n_seeds=2), score_of(WORTH))
    assert [(r.variant, r.seed, r.changes) for r in records[:2]] == [
        ("0 start", 0, START),
        ("0 start", 1, START),
    ]
    assert records[-1].changes == {}
    assert len(records) == study_of(AblationPath(start=START, n_seeds=2)).plan.size == 14
    assert [record.number for record in records[::2]] == list(range(7))


def test_a_killed_path_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    plan = AblationPath(start=START, n_seeds=2)
    whole = run_path(tmp_path / "whole", plan, score_of(WORTH))
    assert run_path(tmp_path / "killed", plan, score_of(WORTH), killed_every=1) == whole


def test_a_round_waits_for_its_last_trial() -> None:
    plan = AblationPath(start={"model.tau": 0.5, "model.dropout": 0.0}, n_seeds=1)
    state, source = StudyState(), PathTrials(plan)
    for number in range(3):
        (proposal,) = source.propose(state)
        state.records[str(number)] = TrialRecord(
            str(number), proposal.number, proposal.assignment.variant, 0, proposal.assignment.changes
        )
    assert source.propose(state) == []
    assert source.has_more(state)


def test_a_config_that_failed_is_not_a_step_while_another_finished(tmp_path: Path) -> None:
    def score(changes: Mapping[str, Any], seed: int) -> float | None:
        return (
            None
            if "model.dropout" not in changes and "graph.top_k" in changes
            else score_of(WORTH)(changes, seed)
        )

    records = run_path(tmp_path, AblationPath(start=START, n_seeds=1), score)
    # The second step has nothing but configs with the failing field moved, or the other one.
    assert records[-1].changes == {}
    assert "graph.top_k" not in next(r for r in records if r.variant.startswith("2 ")).changes


def test_a_path_survives_its_ledger() -> None:
    study = study_of(AblationPath(start=START))
    assert restore_study(describe_study(study)) == study
