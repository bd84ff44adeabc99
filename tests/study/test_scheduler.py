import pytest
from optuna.distributions import FloatDistribution
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from adapert.config import Config
from adapert.records import OBJECTIVE
from adapert.study.scheduler import build_scheduler
from adapert.study.study import Design, Search, Study

SPACE = {"model.tau": FloatDistribution(0.1, 2.0)}


def scheduler_of(plan, max_epochs=60):
    base = Config().with_changes({"training.max_epochs": max_epochs})
    return build_scheduler(Study(name="try", question="?", base=base, plan=plan))


def test_a_search_stops_poor_trials_at_rungs_from_the_first_to_the_last_epoch():
    scheduler = scheduler_of(Search(space=SPACE, min_epochs=2, reduction_factor=3), max_epochs=20)
    assert isinstance(scheduler, ASHAScheduler)
    milestones = [milestone for milestone, _ in scheduler._brackets[0]._rungs]
    assert milestones == [18, 6, 2]
    assert scheduler._max_t == 20


def test_rungs_compare_the_objective_by_epoch():
    scheduler = scheduler_of(Search(space=SPACE))
    assert (scheduler.metric, scheduler._mode, scheduler._time_attr) == (OBJECTIVE, "max", "epoch")


def test_a_design_runs_every_trial_to_its_end():
    plan = Design(kind="ablation", variants={"full": {}})
    assert type(scheduler_of(plan)) is FIFOScheduler


@pytest.mark.parametrize("max_epochs", [4, 10])
def test_a_search_shorter_than_its_first_rung_stops_nothing(max_epochs):
    assert type(scheduler_of(Search(space=SPACE, min_epochs=10), max_epochs)) is FIFOScheduler
