import math
from typing import Any

import pytest
from fixtures.ledger import Kind
from optuna.distributions import FloatDistribution

from adapert.config import Config
from adapert.records import EndReason, TrialStatus
from adapert.study.engine.events import (
    ChangesAccepted,
    EpochReported,
    Event,
    RunTracked,
    SessionClosed,
    SessionOpened,
    StudyDefined,
    StudyExtended,
    TrialAsked,
    TrialEnded,
    TrialStarted,
    WorkerLost,
)
from adapert.study.engine.state import fold
from adapert.study.plan.definition import describe_study
from adapert.study.plan.study import Design, Plan, Search, Study

STUDY = StudyDefined(
    format=3, study={}, origin={}, recipe="", optuna_storage="", git_commit="", packages="", time=0.0
)
OPENED = SessionOpened(pid=1, host="here", time=10.0)
ASKED = TrialAsked(
    time=11.0,
    trial="001",
    number=0,
    variant="search",
    seed=3,
    changes={"model.tau": 0.5},
    suggested={"model.tau": 0.50001},
    config_digest="d",
)
STARTED = TrialStarted(trial="001", time=12.0)
ENDED = TrialEnded(trial="001", status=TrialStatus.FINISHED, reason=EndReason.EPOCHS, message="", time=20.0)


def reported(time: float, epoch: int, is_over: bool = False, **metrics: Any) -> EpochReported:
    return EpochReported(trial="001", epoch=epoch, host="node1", is_over=is_over, metrics=metrics, time=time)


def at(event: Kind, time: float) -> Kind:
    return event.model_copy(update={"time": time})


def test_a_trial_s_lines_make_its_record() -> None:
    state = fold([STUDY, OPENED, ASKED, STARTED, reported(15.0, 1, best_pearson_delta=0.25), ENDED])
    (record,) = state.records.values()
    assert (record.trial_id, record.number, record.seed) == ("001", 0, 3)
    assert (record.changes, record.suggested) == (ASKED.changes, ASKED.suggested)
    assert (record.n_epochs, record.host, record.objective) == (1, "node1", 0.25)
    assert (record.status, record.reason) == (TrialStatus.FINISHED, EndReason.EPOCHS)
    assert state.running == []


def test_an_undefined_objective_is_the_worst_one() -> None:
    state = fold([STUDY, OPENED, ASKED, STARTED, reported(15.0, 1, best_pearson_delta=math.nan, mse=1.0)])
    (record,) = state.records.values()
    assert math.isnan(record.metrics["best_pearson_delta"])
    assert record.objective == -math.inf
    assert record.metrics["mse"] == 1.0


def test_a_trial_costs_the_time_from_its_start_to_its_end() -> None:
    state = fold([STUDY, OPENED, ASKED, STARTED, reported(15.0, 1), at(ENDED, 21.0)])
    assert state.records["001"].seconds == 9.0
    assert state.records["001"].metrics["total_seconds"] == 9.0
    assert state.trial_hours == 9.0 / 3600


def test_a_trial_costs_nothing_between_a_lost_worker_and_the_next() -> None:
    lost = WorkerLost(trial="001", message="Its worker was lost.", time=14.0)
    state = fold([STUDY, OPENED, ASKED, STARTED, lost, at(STARTED, 100.0), reported(101.0, 1)])
    assert (state.records["001"].seconds, state.records["001"].n_lost) == (3.0, 1)


def test_a_trial_costs_nothing_between_a_killed_process_and_the_next() -> None:
    killed: list[Event] = [STUDY, OPENED, ASKED, STARTED, reported(15.0, 1)]
    state = fold([*killed, at(OPENED, 1000.0), at(STARTED, 1001.0), reported(1003.0, 2)])
    assert state.records["001"].seconds == 5.0


CLOSED = SessionClosed(status=TrialStatus.INTERRUPTED, message="", time=20.0)


@pytest.mark.parametrize("between", [[], [at(CLOSED, 12.0)]], ids=["killed", "closed"])
@pytest.mark.parametrize(
    "idle",
    [
        [],
        [ChangesAccepted(origin={}, time=900.0)],
        [RunTracked(trial="", run="abc", time=900.0)],
    ],
    ids=["nothing", "accepted", "tracked"],
)
def test_a_study_takes_no_time_while_no_process_works_on_it(
    between: list[SessionClosed], idle: list[ChangesAccepted | RunTracked]
) -> None:
    worked: list[Event] = [STUDY, OPENED, ASKED, at(STARTED, 12.0)]
    state = fold([*worked, *between, *idle, at(OPENED, 1000.0), at(STARTED, 1004.0)])
    assert state.seconds == 2.0 + 4.0


def test_time_at_work_includes_that_between_lines_of_tracking() -> None:
    tracked = RunTracked(trial="", run="abc", time=15.0)
    state = fold([STUDY, OPENED, tracked, CLOSED])
    assert state.seconds == 10.0
    assert state.run_ids == {"": "abc"}


def test_a_study_is_open_from_a_process_s_first_line_to_its_last() -> None:
    assert fold([STUDY, OPENED]).closed is None
    assert fold([STUDY, OPENED, CLOSED]).closed == CLOSED
    assert fold([STUDY, OPENED, CLOSED, at(OPENED, 30.0)]).closed is None


def test_an_accepted_origin_stands_for_the_first_one() -> None:
    state = fold([STUDY, ChangesAccepted(origin={"data": "b"}, time=1.0)])
    assert state.accepted == {"data": "b"}


def defined(plan: Plan) -> StudyDefined:
    study = Study(name="try", question="?", base=Config(), plan=plan)
    return STUDY.model_copy(update={"study": describe_study(study)})


def test_extensions_add_up() -> None:
    more = [StudyExtended(request=str(n), n_trials=n, n_seeds=None) for n in (2, 3)]
    search = Search(space={"model.tau": FloatDistribution(0.5, 2.0)}, n_trials=4, seeds_per_config=3)
    state = fold([defined(search), *more])
    assert (state.n_more_trials, state.n_more_seeds) == (5, 0)
    assert state.n_asked == (4 + 5) * 3


def test_a_design_is_extended_by_seeds_of_each_variant() -> None:
    more = StudyExtended(request="one", n_trials=None, n_seeds=2)
    design = Design(kind="ablation", variants={"full": {}, "sharp": {"model.tau": 0.5}}, n_seeds=3)
    assert fold([defined(design), more]).n_asked == 2 * (3 + 2)
