import math
from pathlib import Path
from typing import Any

import pytest
from fixtures.exhaustive import few_fast
from optuna.distributions import FloatDistribution

from adapert.config import Config
from adapert.errors import InputError
from adapert.records import IS_OVER, OBJECTIVE, EndReason, TrialRecord, TrialStatus
from adapert.study.engine.ledger import LEDGER_FILE, held, read_events
from adapert.study.engine.limits import Limits
from adapert.study.plan.recipes import build_study, recipe_names
from adapert.study.plan.study import AblationPath, Design, FixedRung, Plan, Search, Study
from adapert.testing import SimulatedTraining, SimulatedWorkers, begin_study, open_study, run_study

BASE = Config().with_changes({"training.max_epochs": 8})
SPACE = {"model.tau": FloatDistribution(0.1, 10.0, log=True)}


def study_of(plan: Plan) -> Study:
    return Study(name="try", question="?", base=BASE, plan=plan)


def trial(number: int = 0, seed: int = 0, **changes: Any) -> TrialRecord:
    return TrialRecord(f"{number:03d}", number, "full", seed, changes)


class Listed:
    """An engine of trials without rules, which says what it heard of them."""

    def __init__(self, *n_epochs: int) -> None:
        self.left = [(trial(number), n) for number, n in enumerate(n_epochs)]
        self.n_epochs = {record.trial_id: n for record, n in self.left}
        self.heard: list[tuple[str, int]] = []

    def next_trial(self) -> TrialRecord | None:
        return self.left.pop(0)[0] if self.left else None

    def started(self, trial_id: str) -> None:
        self.heard.append((trial_id, 0))

    def reported(self, trial_id: str, report: Any) -> bool:
        self.heard.append((trial_id, report["epoch"]))
        return bool(report["epoch"] < self.n_epochs[trial_id])

    def should_close(self) -> bool:
        return False


# A whole study


def test_a_study_runs_to_its_end_without_ray(tmp_path: Path) -> None:
    state = run_study(study_of(Design(kind="ablation", variants={"full": {}}, n_seeds=2)), tmp_path / "try")
    assert [(r.status, r.reason, r.n_epochs) for r in state.records.values()] == [
        (TrialStatus.FINISHED, EndReason.EPOCHS, 8)
    ] * 2
    assert state.closed is not None
    assert state.closed.status == TrialStatus.FINISHED


def test_rungs_stop_trials_of_a_simulated_search(tmp_path: Path) -> None:
    plan = Search(space=SPACE, n_trials=12, first_rung=FixedRung(1), reduction_factor=2)
    state = run_study(study_of(plan), tmp_path, n_workers=3)
    assert len(state.records) == len(state.completed) == 12
    assert {record.reason for record in state.records.values()} == {EndReason.RUNG, EndReason.EPOCHS}


def test_a_simulated_path_is_followed_to_its_end(tmp_path: Path) -> None:
    state = run_study(
        study_of(AblationPath(start={"model.tau": 0.5, "model.dropout": 0.0}, n_seeds=1)), tmp_path
    )
    assert len(state.records) == 4


def test_a_study_that_met_a_limit_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    study = study_of(Design(kind="ablation", variants={"full": {}, "flat": {"model.tau": 5.0}}, n_seeds=1))
    left = run_study(study, tmp_path, limits=Limits(seconds=0.0))
    assert len(left.records) < 2
    assert [record.variant for record in run_study(study, tmp_path).records.values()] == ["full", "flat"]


def test_a_simulated_study_is_held_while_it_runs(tmp_path: Path) -> None:
    study = study_of(Design(kind="ablation", variants={"full": {}}, n_seeds=1))
    with held(tmp_path), pytest.raises(InputError, match="One process at a time runs a study"):
        run_study(study, tmp_path)


@pytest.mark.parametrize("recipe", few_fast(recipe_names(), 12))
def test_every_recipe_s_study_runs_to_its_end(recipe: str, tmp_path: Path) -> None:
    study = build_study(recipe, Config().with_changes({"model.dropout": 0.25, "training.max_epochs": 2}))
    study = study.with_budget(n_trials=6) if study.plan.is_sampled else study
    state = run_study(study, tmp_path, n_workers=4)
    assert state.closed is not None
    assert state.closed.status == TrialStatus.FINISHED
    assert not state.running
    assert len(state.records) <= study.plan.size


# Parts of one


def test_a_study_that_was_begun_has_one_line_and_no_trial(tmp_path: Path) -> None:
    begin_study(study_of(Design(kind="ablation", variants={"full": {}})), tmp_path)
    assert [event.event for event in read_events(tmp_path / LEDGER_FILE)] == ["study"]
    runner = open_study(tmp_path)
    assert runner.state.records == {}
    assert runner.study.base == BASE
    runner.ledger.close()


def test_workers_report_in_turn_and_a_free_one_takes_the_next_trial_at_once() -> None:
    engine = Listed(1, 3, 1)
    workers = SimulatedWorkers(engine, SimulatedTraining(), n_workers=2)
    workers.run()
    assert engine.heard == [
        ("000", 0),
        ("001", 0),
        ("000", 1),
        ("002", 0),
        ("001", 1),
        ("001", 2),
        ("002", 1),
        ("001", 3),
    ]
    assert workers.now == 3


def test_long_epochs_report_later() -> None:
    engine = Listed(1, 2)
    workers = SimulatedWorkers(
        engine, SimulatedTraining(), n_workers=2, epoch_time=lambda record, epoch: 5.0 - 4.0 * record.number
    )
    workers.run()
    assert engine.heard[2:] == [("001", 1), ("001", 2), ("000", 1)]
    assert workers.now == 5


def test_workers_go_on_from_where_they_paused() -> None:
    engine = Listed(2, 2)
    workers = SimulatedWorkers(engine, SimulatedTraining())
    workers.run(n_reports=1)
    assert engine.heard == [("000", 0), ("000", 1)]
    workers.run(until=3.0)
    assert engine.heard[2:] == [("000", 2), ("001", 0), ("001", 1)]
    workers.run()
    assert engine.heard[5:] == [("001", 2)]


def test_made_up_curves_repeat_and_rise_to_the_value_of_their_config() -> None:
    training = SimulatedTraining(max_epochs=9, value=lambda changes: changes["tau"], noise=0.01)
    curve = [training(trial(tau=0.5), epoch)[OBJECTIVE] for epoch in range(1, 10)]
    assert curve == [training(trial(5, tau=0.5), epoch)[OBJECTIVE] for epoch in range(1, 10)]
    expected = [0.5 * (1 - math.exp(-epoch / 2)) for epoch in range(1, 10)]
    assert curve == pytest.approx(expected, abs=0.01)
    assert curve != [training(trial(seed=1, tau=0.5), epoch)[OBJECTIVE] for epoch in range(1, 10)]
    assert [training(trial(tau=0.5), epoch)[IS_OVER] for epoch in (8, 9)] == [False, True]


def test_configs_differ_in_value_where_none_is_given() -> None:
    training = SimulatedTraining(noise=0.0)
    values = {training(trial(tau=tau), 4)[OBJECTIVE] for tau in range(20)}
    assert len(values) == 20
    assert 0 < min(values) < max(values) < 1
