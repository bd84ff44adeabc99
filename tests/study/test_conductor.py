import json
import math
import os
import random
import subprocess
import sys
from dataclasses import asdict, replace

import pytest
from fixtures.ledger import first_line
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from adapert.config import Config, read_config
from adapert.records import (
    CONFIG_FILE,
    DISK,
    FAILURE,
    IS_OVER,
    MESSAGE,
    OBJECTIVE,
    WEIGHTS_FILE,
    EndReason,
    TrialStatus,
)
from adapert.seeding import derive_seed
from adapert.study.conductor import Conductor
from adapert.study.definition import restore_study
from adapert.study.ledger import EventKind, Ledger, held, read_events
from adapert.study.limits import Limits
from adapert.study.requests import has_requests, read_requests, write_request
from adapert.study.search import Suggestions
from adapert.study.sources import ListedTrials, SampledTrials
from adapert.study.space import Conditional
from adapert.study.state import fold
from adapert.study.study import Design, Search, Study

MAX_EPOCHS = 4

SPACE = {
    "model.tau": FloatDistribution(0.1, 10.0, log=True),
    "graph.top_k": CategoricalDistribution((5, 10, 20)),
    "loss.alignment": CategoricalDistribution(("frozen", "contrastive")),
    "loss.contrastive_temperature": Conditional(
        "loss.alignment", ("contrastive",), FloatDistribution(0.05, 0.5)
    ),
}

PLANS = {
    "search": Search(space=SPACE, n_trials=7, n_startup=2, min_epochs=1, reduction_factor=2, seed=5),
    "unjudged": Search(space=SPACE, n_trials=7, min_epochs=MAX_EPOCHS),
    "deterministic": Search(
        space=SPACE, n_trials=10, n_startup=3, min_epochs=1, reduction_factor=2, seed=5, cohort_size=4
    ),
    "seeds": Search(
        space=SPACE, n_trials=5, n_startup=2, min_epochs=1, reduction_factor=2, seeds_per_config=3, seed=2
    ),
    "deterministic seeds": Search(
        space=SPACE,
        n_trials=6,
        n_startup=2,
        min_epochs=1,
        reduction_factor=3,
        seeds_per_config=3,
        cohort_size=4,
    ),
    "importance": Search(
        kind="importance", space=SPACE, sampler="quasi_random", n_trials=6, min_epochs=1, seeds_per_config=2
    ),
    "design": Design(
        kind="ablation",
        variants={"full": {}, "sharp": {"model.tau": 0.2}, "flat": {"model.tau": 5.0}},
        n_seeds=2,
    ),
    "deterministic grid": Search(
        space={
            "graph.top_k": CategoricalDistribution((5, 10, 20)),
            "model.tau": FloatDistribution(1, 3, step=1),
        },
        sampler="grid",
        min_epochs=1,
        reduction_factor=2,
        cohort_size=4,
    ),
}


@pytest.fixture
def ledger_path(memory_folder):
    return memory_folder / "ledger.jsonl"


@pytest.fixture(autouse=True)
def looks_always(monkeypatch):
    """Limits and requests are looked at in each round, whatever the clock says."""
    monkeypatch.setattr("adapert.study.conductor.LOOK_EVERY", 0.0)


def begin(path, plan):
    base = Config().with_changes({"training.max_epochs": MAX_EPOCHS})
    plan = PLANS[plan] if isinstance(plan, str) else plan
    study = Study(name="try", question="?", base=base, plan=plan)
    ledger = Ledger(path)
    ledger.append(EventKind.STUDY, **first_line(study))
    ledger.close()


class Heard:
    def __init__(self):
        self.kinds = []

    def saw(self, event, state):
        self.kinds.append(event["event"])


def take_up(path, limits=None, observers=(), max_failures=0):
    """Rebuild all from the ledger, as `adapert.operation.operate` does."""
    state = fold(read_events(path))
    study = restore_study(state.definition["study"])
    source = ListedTrials(study)
    if study.is_sampled:
        source = SampledTrials(study.plan, Suggestions(study.plan, study.name, InMemoryStorage()), state)
    conductor = Conductor(study, Ledger(path), state, source, limits, observers, max_failures)
    conductor.open(pid=1, host="here")
    return conductor


def learn(record, epoch):
    """Report a made-up epoch: the same for the same config, seed and epoch."""
    noise = derive_seed(record.seed, f"{sorted(record.changes.items())} {epoch}") / 2**63
    quality = 1.0 - math.log10(record.changes.get("model.tau", 1.0)) ** 2
    value = quality * (1 - math.exp(-epoch / 2)) + 0.05 * noise
    n_epochs = MAX_EPOCHS - (record.number % 3 == 2)  # the patience of some is used up before
    if epoch == 1 and record.changes.get("graph.top_k") == 20:
        value = math.nan
    return {OBJECTIVE: value, "epoch": epoch, "hostname": "here", IS_OVER: epoch == n_epochs, "noise": noise}


def learn_or_fail(record, epoch):
    """As `learn`; some configs need too much memory, or diverge."""
    if record.number == 1:
        return {FAILURE: EndReason.MEMORY, MESSAGE: "It needs 3 GB."}
    if record.number == 5 and epoch == 3:
        return {FAILURE: EndReason.DIVERGED, MESSAGE: "Its loss became NaN."}
    return learn(record, epoch)


def run(conductor, n_at_once=1, order=None, behave=learn_or_fail, n_reports=math.inf):
    """Execute trials in a plain loop: round robin, or in the order that a generator draws."""
    out = [record for record in conductor.state.running if record not in conductor._waiting]
    at_epoch, n_reported = {record.trial_id: record.n_epochs for record in out}, 0
    while n_reported < n_reports and not conductor.should_close():
        while len(at_epoch) < n_at_once and (record := conductor.next_trial()):
            conductor.started(record.trial_id)
            at_epoch[record.trial_id] = max(0, record.n_epochs - 1)  # of its newest checkpoint
        if not at_epoch:
            break
        trial = order.choice(sorted(at_epoch)) if order else next(iter(at_epoch))
        epoch = at_epoch.pop(trial) + 1
        if conductor.reported(trial, behave(conductor.state.records[trial], epoch)):
            at_epoch[trial] = epoch
        n_reported += 1
    return conductor


def finish(conductor, **options):
    closing = run(conductor, **options).close()
    conductor.ledger.close()
    return closing


def without(mapping, *names):
    return {name: value for name, value in mapping.items() if name not in names}


def outcome(conductor):
    """All that a study leaves, in terms that know neither times nor the order of asking."""
    state = fold(read_events(conductor.ledger.path))
    records = {}
    for record in state.records.values():
        kept = without(asdict(record), "trial_id", "seconds")
        # Compared as text, since NaN is not equal to itself.
        kept["metrics"] = repr(without(kept["metrics"], "total_seconds"))
        records[record.number, record.variant, record.seed] = kept
    assert len(records) == len(state.records)
    judged = {}
    for line in state.judged:
        number = state.records[line["trial"]].number, state.records[line["trial"]].seed
        assert (number, line["rung"]) not in judged
        judged[number, line["rung"]] = without(line, "time", "trial")
    settled = {number: without(line, "time") for number, line in state.settled.items()}
    return records, judged, settled, optuna_trials(conductor)


def optuna_trials(conductor):
    if not isinstance(conductor.source, SampledTrials):
        return []
    return [
        (
            trial.number,
            trial.state,
            trial.values,
            trial.params,
            trial.distributions,
            trial.intermediate_values,
            trial.constraints,
        )
        for trial in conductor.source._suggestions.trials
    ]


def lines_of(path):
    return path.read_bytes().splitlines(keepends=True)


def statuses(conductor):
    return [(record.status, record.reason) for record in conductor.state.records.values()]


# A study that is killed and gone on with


@pytest.mark.parametrize(
    ("plan", "n_at_once"),
    [
        ("deterministic", 3),
        ("seeds", 1),
        ("deterministic seeds", 2),
        ("importance", 1),
        ("design", 1),
        ("deterministic grid", 2),
    ],
)
def test_a_study_that_is_killed_after_any_line_ends_as_an_unbroken_one(ledger_path, plan, n_at_once):
    begin(ledger_path, plan)
    unbroken = take_up(ledger_path)
    assert finish(unbroken, n_at_once=n_at_once).status in (TrialStatus.FINISHED, TrialStatus.FAILED)
    expected, lines = outcome(unbroken), lines_of(ledger_path)
    for n_lines in range(1, len(lines)):
        ledger_path.write_bytes(b"".join(lines[:n_lines]))
        again = take_up(ledger_path)
        finish(again, n_at_once=n_at_once)
        assert again.is_done
        assert outcome(again) == expected, f"killed after line {n_lines}: {lines[n_lines - 1]}"


def test_a_study_that_is_killed_again_and_again_ends_as_an_unbroken_one(ledger_path):
    begin(ledger_path, "deterministic seeds")
    unbroken = take_up(ledger_path)
    finish(unbroken, n_at_once=2)
    expected = outcome(unbroken)
    ledger_path.unlink()
    begin(ledger_path, "deterministic seeds")
    for _ in range(1000):
        killed = run(take_up(ledger_path), n_at_once=2, n_reports=3)
        if killed.is_done:
            break
        killed.ledger.close()
    again = take_up(ledger_path)
    finish(again)
    assert outcome(again) == expected


def test_a_search_that_is_killed_after_any_line_loses_and_repeats_nothing(ledger_path):
    begin(ledger_path, "search")
    finish(take_up(ledger_path), n_at_once=3)
    lines = lines_of(ledger_path)
    for n_lines in range(1, len(lines)):
        killed = b"".join(lines[:n_lines])
        ledger_path.write_bytes(killed)
        again = take_up(ledger_path)
        finish(again, n_at_once=3)
        assert ledger_path.read_bytes().startswith(killed)
        events = read_events(ledger_path)
        state = fold(events)
        assert again.is_done
        assert sorted(record.number for record in state.records.values()) == list(range(7))
        assert sorted(state.settled) == list(range(7))
        for kind, what in (("asked", "number"), ("settled", "number"), ("ended", "trial")):
            told = [event[what] for event in events if event["event"] == kind]
            assert len(told) == len(set(told)) == 7
        epochs = [(event["trial"], event["epoch"]) for event in events if event["event"] == "reported"]
        assert len(epochs) == len(set(epochs))


@pytest.mark.parametrize("plan", ["deterministic", "deterministic seeds", "deterministic grid"])
def test_a_deterministic_search_is_the_same_whatever_runs_side_by_side(ledger_path, plan):
    outcomes = []
    for n_at_once in (1, 2, 3, 4):
        for seed in (None, 0):
            ledger_path.unlink(missing_ok=True)
            begin(ledger_path, plan)
            conductor = take_up(ledger_path)
            finish(conductor, n_at_once=n_at_once, order=None if seed is None else random.Random(seed))
            outcomes.append(outcome(conductor))
    assert all(each == outcomes[0] for each in outcomes)
    ends = {record["reason"] for record in outcomes[0][0].values()}
    assert {EndReason.RUNG, EndReason.EPOCHS} <= ends  # else there was nothing to compare


def test_a_search_hands_out_the_next_config_as_soon_as_a_place_is_free(ledger_path):
    begin(ledger_path, "search")
    conductor = take_up(ledger_path)
    assert [conductor.next_trial().trial_id for _ in range(3)] == ["001", "002", "003"]
    assert conductor.n_running == 3


def test_a_deterministic_search_waits_for_the_slowest_of_a_cohort(ledger_path):
    begin(ledger_path, "deterministic")
    conductor = take_up(ledger_path)
    first, *others = [conductor.next_trial() for _ in range(4)]
    for record, name in zip(others, "ABC", strict=True):
        conductor.failed(record.trial_id, EndReason.ERROR, f"{name}Error: no")
    assert conductor.next_trial() is None
    conductor.failed(first.trial_id, EndReason.MEMORY, "It needs 3 GB.")
    assert conductor.next_trial().trial_id == "005"


def test_each_line_is_in_the_ledger_before_observers_hear_of_it(ledger_path):
    begin(ledger_path, "design")

    class Reader:
        def saw(self, event, state):
            assert read_events(ledger_path)[-1]["event"] == event["event"]
            assert state.n_events == len(read_events(ledger_path))

    heard = Heard()
    finish(take_up(ledger_path, observers=[Reader(), heard]), n_reports=3)
    assert heard.kinds[:4] == ["opened", "asked", "started", "reported"]
    assert heard.kinds[-1] == "closed"


# Requests


def test_all_trials_end_when_a_study_is_asked_to_stop(ledger_path):
    begin(ledger_path, "search")
    conductor = run(take_up(ledger_path), n_at_once=2, n_reports=1)
    write_request(ledger_path.parent, "stop", trial=None)
    closing = finish(conductor)
    assert (closing.status, closing.message) == (TrialStatus.STOPPED, "It was asked to stop.")
    assert statuses(conductor) == [(TrialStatus.STOPPED, EndReason.REQUEST)] * 2
    assert [trial.state for trial in conductor.source._suggestions.trials] == [TrialState.PRUNED] * 2


def test_a_trial_that_runs_ends_at_its_next_epoch_when_asked(ledger_path):
    begin(ledger_path, "design")
    conductor = take_up(ledger_path)
    first, second = conductor.next_trial(), conductor.next_trial()
    assert conductor.reported(first.trial_id, learn(first, 1))
    write_request(ledger_path.parent, "stop", trial=first.trial_id)
    assert not conductor.should_close()
    assert first.status == TrialStatus.RUNNING
    assert not conductor.reported(first.trial_id, learn(first, 2))
    assert (first.status, first.reason, first.n_epochs) == (TrialStatus.STOPPED, EndReason.REQUEST, 2)
    assert conductor.reported(second.trial_id, learn(second, 1))


def test_a_trial_that_was_asked_to_stop_ends_although_the_process_was_killed(ledger_path):
    begin(ledger_path, "design")
    conductor = take_up(ledger_path)
    first = conductor.next_trial()
    conductor.reported(first.trial_id, learn(first, 1))
    write_request(ledger_path.parent, "stop", trial=first.trial_id)
    conductor.should_close()
    again = take_up(ledger_path)
    assert again.state.records[first.trial_id].reason == EndReason.REQUEST


def test_a_request_whose_file_outlives_a_killed_process_is_taken_once(ledger_path):
    begin(ledger_path, "search")
    conductor = take_up(ledger_path)
    write_request(ledger_path.parent, "extend", n_trials=3, n_seeds=None)
    (file, request) = read_requests(ledger_path.parent)[0]
    conductor.should_close()
    file.write_text(json.dumps(request))
    again = take_up(ledger_path)
    assert again.state.n_more_trials == 3
    assert not has_requests(ledger_path.parent)


def test_a_request_to_stop_a_process_that_is_gone_does_not_stop_the_next_one(ledger_path):
    begin(ledger_path, "search")
    write_request(ledger_path.parent, "stop", trial=None)
    with held(ledger_path.parent):
        conductor = take_up(ledger_path)
    assert not conductor.should_close()


def test_a_trial_that_waits_never_runs_when_asked_to_stop(ledger_path):
    begin(ledger_path, "deterministic")
    conductor = take_up(ledger_path)
    conductor.next_trial()
    write_request(ledger_path.parent, "stop", trial="003")
    conductor.should_close()
    assert conductor.state.records["003"].reason == EndReason.REQUEST
    assert [conductor.next_trial().trial_id for _ in range(2)] == ["002", "004"]


@pytest.mark.parametrize("trial", ["001", "999"])
def test_a_request_to_stop_what_does_not_run_changes_nothing(ledger_path, trial):
    begin(ledger_path, "design")
    conductor = take_up(ledger_path)
    conductor.next_trial()
    conductor.failed("001", EndReason.ERROR, "ValueError: no")
    write_request(ledger_path.parent, "stop", trial=trial)
    n_lines = len(lines_of(ledger_path))
    assert not conductor.should_close()
    assert len(lines_of(ledger_path)) == n_lines


def test_a_running_search_goes_on_to_more_trials_when_it_is_extended(ledger_path):
    begin(ledger_path, "deterministic")
    conductor = run(take_up(ledger_path), n_at_once=2, n_reports=9)
    write_request(ledger_path.parent, "extend", n_trials=3, n_seeds=None)
    finish(conductor, n_at_once=2)
    assert sorted(conductor.state.settled) == list(range(13))


@pytest.mark.parametrize(("plan", "asked"), [("search", 7), ("deterministic", 10)])
def test_a_search_that_is_done_goes_on_when_it_is_extended(ledger_path, plan, asked):
    begin(ledger_path, plan)
    finish(take_up(ledger_path))
    write_request(ledger_path.parent, "extend", n_trials=3, n_seeds=None)
    conductor = take_up(ledger_path)
    assert not conductor.is_done  # known before anything is started for it
    finish(conductor)
    assert sorted(conductor.state.settled) == list(range(asked + 3))


def test_a_design_that_is_done_gets_more_seeds_of_each_variant(ledger_path):
    begin(ledger_path, "design")
    finish(take_up(ledger_path))
    write_request(ledger_path.parent, "extend", n_trials=None, n_seeds=1)
    conductor = take_up(ledger_path)
    finish(conductor)
    new = [(record.variant, record.seed) for record in list(conductor.state.records.values())[6:]]
    assert new == [("full", 2), ("sharp", 2), ("flat", 2)]


# Limits


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (Limits(seconds=0.0), "time budget of 0 s was used up"),
        (Limits(trial_hours=0.0), "0 trial-hours were used up"),
    ],
)
def test_a_study_at_its_limit_ends_what_runs_and_tells_optuna_that_it_was_pruned(
    ledger_path, limits, sentence
):
    begin(ledger_path, "unjudged")
    conductor = run(take_up(ledger_path), n_at_once=2, n_reports=2, behave=learn)
    conductor.limits = limits
    closing = finish(conductor)
    assert closing.status == TrialStatus.STOPPED
    assert sentence in closing.message
    assert statuses(conductor) == [(TrialStatus.STOPPED, EndReason.LIMIT)] * 2
    for record, trial in zip(
        conductor.state.records.values(), conductor.source._suggestions.trials, strict=True
    ):
        assert record.message == closing.message
        assert trial.state == TrialState.PRUNED
        assert list(trial.intermediate_values) == [] if math.isinf(record.objective) else [1]
    assert read_events(ledger_path)[-1]["event"] == "closed"


def test_a_study_ends_when_a_finished_trial_reaches_the_target(ledger_path):
    begin(ledger_path, "design")
    conductor = take_up(ledger_path, Limits(target=0.6))
    closing = finish(conductor)
    assert closing.message == "A trial reached the target, best_pearson_delta 0.6."
    assert len(conductor.state.records) == 1


@pytest.mark.parametrize("plan", ["search", "deterministic", "seeds", "deterministic seeds", "design"])
@pytest.mark.parametrize("n_reports", [1, 6, 13])
def test_a_study_that_reached_its_limit_goes_on_under_a_larger_one(ledger_path, plan, n_reports):
    begin(ledger_path, plan)
    conductor = run(take_up(ledger_path), n_at_once=2, n_reports=n_reports)
    conductor.limits = Limits(seconds=0.0)
    assert finish(conductor).status == TrialStatus.STOPPED
    again = take_up(ledger_path)
    finish(again, n_at_once=2)
    assert again.is_done
    n_configs = len({record.number for record in again.state.records.values()})
    assert n_configs == (3 if plan == "design" else PLANS[plan].n_trials)
    assert len(again.state.settled) == (0 if plan == "design" else n_configs)


def test_time_counts_over_all_processes(ledger_path):
    begin(ledger_path, "search")
    ledger = Ledger(ledger_path)
    ledger.append(EventKind.OPENED, time=1000.0, pid=1, host="here")
    ledger.append(EventKind.CLOSED, time=1090.0, status="interrupted", message="")
    ledger.close()
    conductor = take_up(ledger_path, Limits(seconds=90.0))
    assert conductor.should_close()
    assert conductor.closing.reason == EndReason.LIMIT


def test_what_runs_is_left_to_the_next_process_when_a_study_is_interrupted(ledger_path):
    begin(ledger_path, "unjudged")
    conductor = run(take_up(ledger_path), n_at_once=2, n_reports=2, behave=learn)
    conductor.interrupt()
    assert conductor.should_close()
    assert conductor.next_trial() is None
    first = next(iter(conductor.state.records.values()))
    assert not conductor.reported(first.trial_id, learn(first, 2))
    assert first.n_epochs == 1
    closing = finish(conductor)
    assert closing.status == TrialStatus.INTERRUPTED
    assert statuses(conductor) == [(TrialStatus.RUNNING, None)] * 2
    assert [trial.state for trial in conductor.source._suggestions.trials] == [TrialState.FAIL] * 2
    again = take_up(ledger_path)
    assert [again.next_trial().trial_id for _ in range(3)] == ["001", "002", "003"]


# Failures


def test_a_config_that_fails_never_stops_the_others(ledger_path):
    begin(ledger_path, "search")
    conductor = take_up(ledger_path)

    def first_fails(record, epoch):
        return {FAILURE: "error", MESSAGE: "ValueError: 1"} if record.number == 0 else learn(record, epoch)

    closing = finish(conductor, behave=first_fails)
    assert closing.status == TrialStatus.FAILED
    assert [record.status == TrialStatus.FAILED for record in conductor.state.records.values()] == [
        True,
        *[False] * 6,
    ]


def test_a_study_whose_first_three_trials_fail_alike_gives_up(ledger_path):
    begin(ledger_path, "search")
    conductor = take_up(ledger_path)

    def fail(record, epoch):
        return {FAILURE: "error", MESSAGE: f"ValueError: {record.number + 1}.5 is no number."}

    closing = finish(conductor, n_at_once=4, behave=fail)
    sentence = "The first 3 trials all failed alike: ValueError: 1.5 is no number."
    assert (closing.status, closing.message) == (TrialStatus.FAILED, sentence)
    assert statuses(conductor) == [
        *[(TrialStatus.FAILED, EndReason.ERROR)] * 3,
        *[(TrialStatus.STOPPED, EndReason.LIMIT)] * (len(conductor.state.records) - 3),
    ]


@pytest.mark.parametrize("n_alike", [1, 2])
def test_a_study_whose_trials_fail_in_different_ways_goes_on(ledger_path, n_alike):
    begin(ledger_path, "search")
    conductor = take_up(ledger_path)

    def fail(record, epoch):
        name = "ABCDEFGH"[record.number // n_alike]
        return {FAILURE: "error", MESSAGE: f"{name}Error: no"}

    assert finish(conductor, behave=fail).message == ""
    assert len(conductor.state.records) == 7


def test_three_failures_after_a_success_do_not_end_a_study(ledger_path):
    begin(ledger_path, "search")
    conductor = take_up(ledger_path)

    def fail_later(record, epoch):
        return learn(record, epoch) if record.number == 0 else {FAILURE: "error", MESSAGE: "ValueError: no"}

    assert finish(conductor, behave=fail_later).message == ""
    assert len(conductor.state.records) == 7


@pytest.mark.parametrize(
    ("reason", "state", "constraints"),
    [
        (EndReason.MEMORY, TrialState.PRUNED, {"memory": 1.0}),
        (EndReason.DIVERGED, TrialState.FAIL, {}),
        (EndReason.ERROR, TrialState.FAIL, {}),
        (EndReason.WORKER, TrialState.FAIL, {}),
    ],
)
def test_optuna_hears_of_memory_that_a_config_is_infeasible_and_else_that_it_failed(
    ledger_path, reason, state, constraints
):
    begin(ledger_path, "search")
    conductor = take_up(ledger_path)
    conductor.failed(conductor.next_trial().trial_id, reason, "It failed.")
    (trial,) = conductor.source._suggestions.trials
    assert (trial.state, trial.value, trial.constraints) == (state, None, constraints)


def test_epochs_that_a_new_worker_repeats_are_written_once(ledger_path):
    begin(ledger_path, "design")
    conductor = take_up(ledger_path, max_failures=1)
    record = conductor.next_trial()
    for epoch in (1, 2):
        conductor.reported(record.trial_id, learn(record, epoch))
    conductor.failed(record.trial_id, EndReason.WORKER, "Its worker was lost.")
    assert conductor.next_trial() is record
    conductor.started(record.trial_id)
    for epoch in (1, 2, 3):
        assert conductor.reported(record.trial_id, learn(record, epoch))
    reported = [event["epoch"] for event in read_events(ledger_path) if event["event"] == "reported"]
    assert reported == [1, 2, 3]
    assert (record.n_epochs, record.n_lost) == (3, 1)


def test_a_trial_fails_that_loses_more_workers_than_are_allowed_over_all_processes(ledger_path):
    begin(ledger_path, "design")
    for n_lost in (1, 2):
        conductor = take_up(ledger_path, max_failures=2)
        record = conductor.next_trial()
        conductor.failed(record.trial_id, EndReason.WORKER, "Its worker was lost.")
        assert (record.trial_id, record.n_lost, record.status) == ("001", n_lost, TrialStatus.RUNNING)
    record = conductor.next_trial()
    conductor.failed(record.trial_id, EndReason.WORKER, "Its worker was lost.")
    assert (record.trial_id, record.status, record.reason) == ("001", TrialStatus.FAILED, EndReason.WORKER)


@pytest.mark.parametrize("reason", [EndReason.ERROR, EndReason.MEMORY, EndReason.DIVERGED])
def test_what_trying_again_would_not_cure_is_not_tried_again(ledger_path, reason):
    begin(ledger_path, "design")
    conductor = take_up(ledger_path, max_failures=3)
    record = conductor.next_trial()
    conductor.failed(record.trial_id, reason, "It failed.")
    assert record.status == TrialStatus.FAILED


def test_what_is_told_of_a_trial_that_has_ended_changes_nothing(ledger_path):
    begin(ledger_path, "design")
    conductor = take_up(ledger_path)
    record = conductor.next_trial()
    conductor.reported(record.trial_id, learn(record, MAX_EPOCHS))
    n_lines = len(lines_of(ledger_path))
    conductor.failed(record.trial_id, EndReason.WORKER, "Its worker was lost.")
    assert not conductor.reported(record.trial_id, learn(record, MAX_EPOCHS + 1))
    assert len(lines_of(ledger_path)) == n_lines
    assert record.status == TrialStatus.FINISHED


# What stays of a trial


def take_up_new(path, plan):
    begin(path, plan)
    return take_up(path)


def leave_checkpoint(conductor, trial):
    folder = conductor.folder / "trials" / trial
    (folder / "checkpoint_000001").mkdir(parents=True)
    (folder / "checkpoint_000001" / "model.safetensors").write_text("model")
    (folder / ".weights.0123.safetensors").write_text("torn")
    (folder / WEIGHTS_FILE).write_text("weights")
    return folder


def test_a_trial_has_its_config_in_its_folder_before_it_runs(ledger_path):
    conductor = take_up_new(ledger_path, "design")
    records = [conductor.next_trial() for _ in range(6)]
    for record in records:
        kept = read_config(conductor.folder / "trials" / record.trial_id / CONFIG_FILE)
        assert kept == conductor.study.base.with_changes(record.changes)


def test_an_ended_trial_keeps_config_and_results_and_no_checkpoint(ledger_path):
    conductor = take_up_new(ledger_path, "design")
    first, second = conductor.next_trial(), conductor.next_trial()
    folders = [leave_checkpoint(conductor, record.trial_id) for record in (first, second)]
    conductor.reported(first.trial_id, learn(first, MAX_EPOCHS))
    assert {path.name for path in folders[0].iterdir()} == {CONFIG_FILE, WEIGHTS_FILE}
    assert (folders[1] / "checkpoint_000001").is_dir()


def test_what_a_killed_process_had_not_cleared_is_cleared_by_the_next(ledger_path):
    conductor = take_up_new(ledger_path, "design")
    first = conductor.next_trial()
    conductor.reported(first.trial_id, learn(first, MAX_EPOCHS))
    folder = leave_checkpoint(conductor, first.trial_id)
    conductor.ledger.close()
    take_up(ledger_path)
    assert {path.name for path in folder.iterdir()} == {CONFIG_FILE, WEIGHTS_FILE}


def test_a_config_that_the_disk_does_not_take_closes_the_study_before_the_trial_exists(ledger_path):
    conductor = take_up_new(ledger_path, "design")
    (conductor.folder / "trials").write_text("no folder")
    assert conductor.next_trial() is None
    assert conductor.state.records == {}
    assert conductor.close().status == TrialStatus.FAILED


# A disk that takes no more


def test_a_trial_that_meets_a_full_disk_closes_the_study_and_is_left_to_be_gone_on_with(ledger_path):
    begin(ledger_path, "design")
    conductor = run(take_up(ledger_path), n_at_once=2, n_reports=2)
    first = next(iter(conductor.state.records.values()))
    assert not conductor.reported(first.trial_id, {FAILURE: DISK, MESSAGE: "The disk is full."})
    closing = finish(conductor)
    assert (closing.status, closing.message) == (TrialStatus.FAILED, "The disk is full.")
    assert statuses(conductor) == [(TrialStatus.RUNNING, None)] * 2
    again = take_up(ledger_path)
    assert again.next_trial().trial_id == first.trial_id


def fill_disk(conductor):
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, conductor.ledger._file.fileno())
    os.close(full)


def test_a_ledger_that_takes_no_more_lines_closes_the_study_and_nothing_is_lost(ledger_path):
    begin(ledger_path, "deterministic")
    unbroken = take_up(ledger_path)
    finish(unbroken, n_at_once=2)
    expected = outcome(unbroken)
    for n_reports in range(0, 24, 3):
        ledger_path.unlink()
        begin(ledger_path, "deterministic")
        conductor = run(take_up(ledger_path), n_at_once=2, n_reports=n_reports)
        before = ledger_path.read_bytes()
        fill_disk(conductor)
        closing = finish(conductor, n_at_once=3)
        assert closing.status == TrialStatus.FAILED
        assert "ledger must be writable, but: No space left on device. Nothing is lost" in closing.message
        assert ledger_path.read_bytes() == before
        again = take_up(ledger_path)
        finish(again, n_at_once=2)
        assert outcome(again) == expected


@pytest.mark.parametrize(
    "tell",
    [
        lambda conductor: conductor.started("001"),
        lambda conductor: conductor.reported("001", learn(conductor.state.records["001"], 2)),
        lambda conductor: conductor.failed("001", EndReason.WORKER, "Its worker was lost."),
        lambda conductor: conductor.failed("001", EndReason.ERROR, "ValueError: no"),
        lambda conductor: conductor.next_trial(),
    ],
    ids=["started", "reported", "lost", "failed", "next_trial"],
)
def test_whatever_is_told_while_the_disk_is_full_closes_the_study(ledger_path, tell):
    begin(ledger_path, "search")
    conductor = run(take_up(ledger_path), n_reports=1, behave=learn)
    fill_disk(conductor)
    assert not tell(conductor)
    assert conductor.should_close()
    assert conductor.closing.status == TrialStatus.FAILED


def test_a_request_on_a_full_disk_closes_the_study(ledger_path):
    begin(ledger_path, "search")
    conductor = run(take_up(ledger_path), n_reports=1, behave=learn)
    fill_disk(conductor)
    write_request(ledger_path.parent, "extend", n_trials=1, n_seeds=None)
    assert conductor.should_close()
    assert "ledger must be writable" in conductor.closing.message


OPTUNA_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from adapert.study.conductor import Conductor
from adapert.study.definition import restore_study
from adapert.study.ledger import Ledger, read_events
from adapert.study.search import JOURNAL_FILE, Suggestions, open_storage
from adapert.study.sources import SampledTrials
from adapert.study.state import fold

path = Path(sys.argv[1])
state = fold(read_events(path))
study = restore_study(state.definition["study"])
suggestions = Suggestions(study.plan, study.name, open_storage("", path.parent))
conductor = Conductor(study, Ledger(path), state, SampledTrials(study.plan, suggestions, state))
conductor.open(pid=1, host="here")
conductor.next_trial()
size = (path.parent / JOURNAL_FILE).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
assert conductor.next_trial() is None
print(conductor.close().status)
"""


def test_a_study_closes_where_optuna_s_journal_cannot_be_written(ledger_path):
    begin(ledger_path, "search")
    command = [sys.executable, "-c", OPTUNA_ON_A_FULL_DISK, str(ledger_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("failed\n", "")
    again = take_up(ledger_path)
    finish(again)
    assert sorted(again.state.settled) == list(range(7))


# Which trials go on


def test_only_a_config_s_first_seed_is_compared_at_rungs(ledger_path):
    begin(ledger_path, "seeds")
    conductor = take_up(ledger_path)
    finish(conductor)
    assert {conductor.state.records[line["trial"]].seed for line in conductor.state.judged} == {2}


def test_a_config_that_another_one_leaves_behind_is_settled_with_it(ledger_path):
    plan = Search(space=SPACE, n_trials=3, seeds_per_config=2, min_epochs=MAX_EPOCHS)
    begin(ledger_path, plan)
    conductor = take_up(ledger_path)

    def finish_trial(record, value):
        conductor.reported(record.trial_id, {OBJECTIVE: value, "epoch": 1, IS_OVER: True})

    for value in (0.5, 0.6, 0.9):
        finish_trial(conductor.next_trial(), value)
    rival, behind = conductor.next_trial(), conductor.next_trial()
    finish_trial(behind, 0.5)  # close to 0.55, the best so far, and worth another seed
    assert sorted(conductor.state.settled) == [0]
    finish_trial(rival, 0.91)
    assert sorted(conductor.state.settled) == [0, 1, 2]
    assert conductor.next_trial() is None
    assert conductor.is_done


def test_an_importance_study_trains_every_config_with_every_seed_to_its_end(ledger_path):
    begin(ledger_path, "importance")
    conductor = take_up(ledger_path)
    finish(conductor, n_at_once=3, behave=learn)
    assert statuses(conductor) == [(TrialStatus.FINISHED, EndReason.EPOCHS)] * 12
    assert conductor.state.judged == []


def test_quasi_random_configs_are_the_same_whatever_runs_side_by_side(ledger_path):
    def suggested(n_at_once):
        ledger_path.unlink(missing_ok=True)
        begin(ledger_path, "importance")
        conductor = take_up(ledger_path)
        finish(conductor, n_at_once=n_at_once)
        records = sorted(conductor.state.records.values(), key=lambda record: record.number)
        return {record.number: record.changes for record in records}

    assert suggested(3) == suggested(1)


def test_a_design_s_trials_are_never_compared(ledger_path):
    begin(ledger_path, "design")
    conductor = take_up(ledger_path)
    finish(conductor)
    assert conductor.state.judged == []
    assert statuses(conductor)[0] == (TrialStatus.FINISHED, EndReason.EPOCHS)


def test_a_trial_that_a_rung_stopped_says_at_which_value(ledger_path):
    begin(ledger_path, replace(PLANS["search"], min_epochs=2))
    conductor = take_up(ledger_path)
    first, second = conductor.next_trial(), conductor.next_trial()
    better = {OBJECTIVE: 0.5, "epoch": 2, IS_OVER: False}
    assert conductor.reported(first.trial_id, better)
    assert not conductor.reported(second.trial_id, better | {OBJECTIVE: 0.25})
    assert (second.reason, second.message) == (EndReason.RUNG, "It was below 0.5 at epoch 2.")
    (_, trial) = conductor.source._suggestions.trials
    assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {2: 0.25})
