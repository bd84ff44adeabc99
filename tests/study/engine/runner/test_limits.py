"""Studies that reach a limit, or are interrupted."""

import math
from pathlib import Path

import pytest
from fixtures.narrowed import of_kind, present
from fixtures.simulated_study import PLANS, begin, finish, frozen_trials, hand_out, learn, run, statuses
from optuna.trial import TrialState

from adapert.records import EndReason, TrialStatus
from adapert.study.engine.events import EpochReported, Event, SessionClosed, SessionOpened
from adapert.study.engine.ledger import Ledger, read_events
from adapert.study.engine.limits import Limits
from adapert.study.engine.state import StudyState
from adapert.study.plan.study import Search
from adapert.testing import open_study


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(seconds=0.0), "time budget of 0 s was used up"),
        (Limits(trial_hours=0.0), "0 trial-hours were used up"),
    ],
)
def test_a_study_at_its_limit_ends_what_runs_and_tells_optuna_that_it_was_pruned(
    study_folder: Path, ledger_path: Path, limits: Limits, sentence: str
) -> None:
    begin(study_folder, "unjudged")
    runner = run(open_study(study_folder), n_at_once=2, n_reports=2, behave=learn)
    runner.limits = limits
    closing = finish(runner)
    assert closing.status == TrialStatus.STOPPED
    assert sentence in closing.message
    assert statuses(runner) == [(TrialStatus.STOPPED, EndReason.LIMIT)] * 2
    for record, trial in zip(runner.state.records.values(), frozen_trials(runner), strict=True):
        assert record.message == closing.message
        assert trial.state == TrialState.PRUNED
        assert list(trial.intermediate_values) == [] if math.isinf(record.objective) else [1]
    assert read_events(ledger_path)[-1].event == "closed"


def test_a_study_ends_when_a_finished_trial_reaches_the_target(study_folder: Path) -> None:
    begin(study_folder, "design")
    runner = open_study(study_folder, Limits(target=0.6))
    closing = finish(runner)
    assert closing.message == "A trial reached the target, best_pearson_delta 0.6."
    assert len(runner.state.records) == 1


@pytest.mark.parametrize("plan", ["search", "deterministic", "seeds", "deterministic seeds", "design"])
@pytest.mark.parametrize("n_reports", [1, 6, 13])
def test_a_study_that_reached_its_limit_goes_on_under_a_larger_one(
    study_folder: Path, plan: str, n_reports: int
) -> None:
    begin(study_folder, plan)
    runner = run(open_study(study_folder), n_at_once=2, n_reports=n_reports)
    runner.limits = Limits(seconds=0.0)
    assert finish(runner).status == TrialStatus.STOPPED
    again = open_study(study_folder)
    finish(again, n_at_once=2)
    assert again.is_done
    n_configs = len({record.number for record in again.state.records.values()})
    assert n_configs == (3 if plan == "design" else of_kind(Search, PLANS[plan]).n_trials)
    assert len(again.state.completed) == (0 if plan == "design" else n_configs)


def test_time_counts_over_all_processes(study_folder: Path, ledger_path: Path) -> None:
    begin(study_folder, "search")
    ledger = Ledger(ledger_path)
    ledger.append(SessionOpened(time=1000.0, pid=1, host="here"))
    ledger.append(SessionClosed(time=1090.0, status=TrialStatus.INTERRUPTED, message=""))
    ledger.close()
    runner = open_study(study_folder, Limits(seconds=90.0))
    assert runner.should_close()
    assert present(runner.closing).reason == EndReason.LIMIT


def test_what_runs_is_left_to_the_next_process_when_a_study_is_interrupted(study_folder: Path) -> None:
    begin(study_folder, "unjudged")
    runner = run(open_study(study_folder), n_at_once=2, n_reports=2, behave=learn)
    runner.interrupt()
    assert runner.should_close()
    assert runner.next_trial() is None
    first = next(iter(runner.state.records.values()))
    assert not runner.reported(first.trial_id, learn(first, 2))
    assert first.n_epochs == 1
    closing = finish(runner)
    assert closing.status == TrialStatus.INTERRUPTED
    assert statuses(runner) == [(TrialStatus.RUNNING, None)] * 2
    assert [trial.state for trial in frozen_trials(runner)] == [TrialState.FAIL] * 2
    again = open_study(study_folder)
    assert [hand_out(again).trial_id for _ in range(3)] == ["001", "002", "003"]


def test_what_follows_from_a_report_is_not_written_behind_the_end_of_a_session(
    study_folder: Path, ledger_path: Path
) -> None:
    class Leaving:
        """Leaves the study amid a report, as the command does whose Ray is lost."""

        def on_event(self, event: Event, state: StudyState) -> None:
            if isinstance(event, EpochReported) and len(state.records) > 1:
                runner.close()

    begin(study_folder, "search")
    runner = open_study(study_folder)
    runner.observers = [Leaving()]
    run(runner, n_at_once=2, n_reports=1)
    assert isinstance(read_events(ledger_path)[-1], SessionClosed)
