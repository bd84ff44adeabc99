import math
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from adapert.records import OBJECTIVE, EndReason, TrialRecord, TrialStatus
from adapert.study.engine.search import ConfigEnd, Suggestions
from adapert.study.engine.sources import ListedTrials, SampledTrials
from adapert.study.engine.state import StudyState
from adapert.study.plan.plans import Assignment, Design, Search

SPACE = {"model.tau": FloatDistribution(0.1, 2.0)}
RUNNING, FINISHED, STOPPED, FAILED = (
    TrialStatus.RUNNING,
    TrialStatus.FINISHED,
    TrialStatus.STOPPED,
    TrialStatus.FAILED,
)


class Asked:
    """A study's state, changed as its runner would by lines of the ledger."""

    def __init__(self) -> None:
        self.state = StudyState()

    def ask(self, source: ListedTrials | SampledTrials) -> list[tuple[int, int]]:
        proposals = source.propose(self.state)
        for proposal in proposals:
            assignment = proposal.assignment
            trial_id = f"{len(self.state.records) + 1:03d}"
            self.state.records[trial_id] = TrialRecord(
                trial_id,
                proposal.number,
                assignment.variant,
                assignment.seed,
                assignment.changes,
                proposal.suggested,
            )
        return [(proposal.number, proposal.assignment.seed) for proposal in proposals]

    def end(
        self,
        number: int,
        seed: int,
        status: TrialStatus = FINISHED,
        value: float = 0.5,
        reason: EndReason | None = None,
        n_epochs: int = 9,
    ) -> None:
        (record,) = (
            record for record in self.state.records.values() if (record.number, record.seed) == (number, seed)
        )
        record.status, record.reason, record.n_epochs = status, reason, n_epochs
        record.metrics[OBJECTIVE] = value

    def complete(self, source: SampledTrials) -> list[tuple[int, ConfigEnd]]:
        ends = source.complete(self.state)
        for number, end in ends:
            self.state.completed[number] = end.to_line(number)
            source.tell(number, end)
        return ends


@pytest.fixture
def asked() -> Asked:
    return Asked()


def sampled(asked: Asked, **options: Any) -> SampledTrials:
    plan = Search(**{"space": SPACE, "n_trials": 6, **options})
    return SampledTrials(plan, Suggestions(plan, "try", InMemoryStorage()), asked.state)


def listed(plan: Design | Search) -> ListedTrials:
    return ListedTrials(plan)


DESIGN = Design(kind="ablation", variants={"full": {}, "sharp": {"model.tau": 0.5}}, n_seeds=2)


def all_of(asked: Asked, source: ListedTrials | SampledTrials) -> list[tuple[int, int]]:
    given = []
    while more := asked.ask(source):
        given += more
    return given


# Lists


def test_a_design_gives_its_trials_one_by_one_in_their_order(asked: Asked) -> None:
    source = listed(DESIGN)
    assert source.propose(asked.state)[0].assignment == Assignment("full", 0, {})
    assert all_of(asked, source) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert not source.has_more(asked.state)
    assert source.complete(asked.state) == []


def test_more_seeds_of_a_design_come_after_those_that_were_asked_for(asked: Asked) -> None:
    source = listed(DESIGN)
    all_of(asked, source)
    asked.state.n_more_seeds = 1
    assert source.has_more(asked.state)
    assert all_of(asked, source) == [(0, 2), (1, 2)]


GRID = {"graph.top_k": CategoricalDistribution((5, 10, 20)), "model.tau": FloatDistribution(1, 2, step=1)}


def test_a_grid_gives_every_point(asked: Asked) -> None:
    assert all_of(asked, listed(Search(space=GRID, sampler="grid", seed=3))) == [(n, 3) for n in range(6)]


def test_a_deterministic_grid_waits_for_the_cohort_before(asked: Asked) -> None:
    source = listed(Search(space=GRID, sampler="grid", cohort_size=4))
    assert all_of(asked, source) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert source.has_more(asked.state)
    for number in range(4):
        asked.end(number, 0)
    assert all_of(asked, source) == [(4, 0), (5, 0)]


# Samplers


def test_a_search_asks_for_one_config_at_a_time_until_all_are_asked_for(asked: Asked) -> None:
    source = sampled(asked, seed=3)
    assert asked.ask(source) == [(0, 3)]
    assert all_of(asked, source) == [(number, 3) for number in range(1, 6)]
    assert source.has_more(asked.state)  # none has ended
    for number in range(6):
        asked.end(number, 3)
    asked.complete(source)
    assert not source.has_more(asked.state)


def test_changes_are_what_was_suggested_with_four_digits(asked: Asked) -> None:
    (proposal,) = sampled(asked).propose(asked.state)
    tau = proposal.suggested["model.tau"]
    assert proposal.assignment.changes == {"model.tau": float(f"{tau:.4g}")}
    assert len(str(tau)) > 10


def test_a_search_that_is_extended_asks_for_more(asked: Asked) -> None:
    source = sampled(asked)
    all_of(asked, source)
    asked.state.n_more_trials = 2
    assert all_of(asked, source) == [(6, 0), (7, 0)]


def test_a_cohort_is_asked_for_at_once_and_completed_at_once(asked: Asked) -> None:
    source = sampled(asked, cohort_size=4)
    assert asked.ask(source) == [(number, 0) for number in range(4)]
    for number in (2, 0, 1):
        asked.end(number, 0)
        assert asked.complete(source) == []
        assert asked.ask(source) == []
    asked.end(3, 0)
    assert [number for number, _ in asked.complete(source)] == [0, 1, 2, 3]
    assert asked.ask(source) == [(4, 0), (5, 0)]  # the last cohort has what is left
    asked.end(5, 0)
    assert asked.complete(source) == []
    asked.end(4, 0)
    assert [number for number, _ in asked.complete(source)] == [4, 5]


def test_a_cohort_that_was_asked_for_in_part_is_completed(asked: Asked) -> None:
    source = sampled(asked, cohort_size=4)
    asked.ask(source)
    for trial_id in ("003", "004"):  # the process was killed before these lines
        del asked.state.records[trial_id]
    again = sampled(asked, cohort_size=4)
    for number in (0, 1):
        asked.end(number, 0)
    assert asked.complete(again) == []
    assert asked.ask(again) == [(2, 0), (3, 0)]


# Seeds


def test_a_config_gets_its_next_seed_when_the_one_before_has_finished(asked: Asked) -> None:
    source = sampled(asked, n_trials=1, seeds_per_config=3, seed=5)
    for seed in (5, 6, 7):
        assert asked.ask(source) == [(0, seed)]
        assert asked.ask(source) == []
        assert asked.complete(source) == []
        asked.end(0, seed, value=0.1 * seed)
    assert len({str(record.changes) for record in asked.state.records.values()}) == 1
    ((number, end),) = asked.complete(source)
    assert (number, end) == (0, ConfigEnd(TrialState.COMPLETE, end.value))
    assert end.value == pytest.approx(0.6)


@pytest.mark.parametrize("status", [STOPPED, FAILED])
def test_a_config_whose_seed_did_not_finish_gets_no_more(asked: Asked, status: TrialStatus) -> None:
    source = sampled(asked, n_trials=1, seeds_per_config=3)
    asked.ask(source)
    asked.end(0, 0, status)
    assert asked.ask(source) == []
    assert len(asked.complete(source)) == 1


def best_of_two_seeds(asked: Asked, source: SampledTrials) -> None:
    asked.ask(source)
    asked.end(0, 0, value=0.5)
    asked.ask(source)
    asked.end(0, 1, value=0.6)
    asked.complete(source)


@pytest.mark.parametrize(("value", "is_raced"), [(0.45, True), (0.3, False), (0.9, True), (-math.inf, False)])
def test_a_config_that_is_clearly_behind_the_best_gets_no_more_seeds(
    asked: Asked, value: float, is_raced: bool
) -> None:
    # Of 0.55 on average with a spread of 0.071: two standard errors of the difference are 0.17.
    source = sampled(asked, seeds_per_config=2)
    best_of_two_seeds(asked, source)
    asked.ask(source)
    asked.end(1, 0, value=value)
    assert asked.complete(source) == ([] if is_raced else [(1, ConfigEnd(TrialState.COMPLETE, value))])
    assert asked.ask(source) == ([(1, 1)] if is_raced else [(2, 0)])


def test_a_cohort_that_a_killed_process_completed_in_part_is_completed_as_it_would_have_been(
    asked: Asked,
) -> None:
    source = sampled(asked, n_trials=4, seeds_per_config=2, cohort_size=2)
    asked.ask(source)
    for number, seed, value in ((0, 0, 0.5), (1, 0, 0.5), (0, 1, 0.51), (1, 1, 0.51)):
        if seed:
            asked.ask(source)
        asked.end(number, seed, value=value)
    asked.complete(source)
    asked.ask(source)
    asked.end(2, 0, value=0.4)  # clearly behind, for the spread is 0.007
    asked.end(3, 0, value=0.8)
    asked.ask(source)
    asked.end(3, 1, value=0.1)
    whole = source.complete(asked.state)
    assert [number for number, _ in whole] == [2, 3]
    # The spread of 3, had it been completed first, would let 2 seem close.
    asked.state.completed[3] = dict(whole)[3].to_line(3)
    assert source.complete(asked.state) == whole[:1]


# Ends in Optuna's terms


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ((FINISHED, 0.5, EndReason.EPOCHS), ConfigEnd(TrialState.COMPLETE, 0.5)),
        ((FINISHED, math.nan, EndReason.EPOCHS), ConfigEnd(TrialState.COMPLETE, -math.inf)),
        ((STOPPED, 0.5, EndReason.RUNG), ConfigEnd(TrialState.PRUNED, 0.5, epoch=9)),
        ((STOPPED, 0.5, EndReason.REQUEST), ConfigEnd(TrialState.PRUNED, 0.5, epoch=9)),
        ((STOPPED, 0.5, EndReason.LIMIT), ConfigEnd(TrialState.PRUNED, 0.5, epoch=9)),
        ((STOPPED, math.nan, EndReason.RUNG), ConfigEnd(TrialState.PRUNED, None, epoch=9)),
        ((FAILED, 0.5, EndReason.MEMORY), ConfigEnd(TrialState.PRUNED, is_infeasible=True)),
        ((FAILED, 0.5, EndReason.DIVERGED), ConfigEnd(TrialState.FAIL)),
        ((FAILED, 0.5, EndReason.ERROR), ConfigEnd(TrialState.FAIL)),
        ((FAILED, 0.5, EndReason.WORKER), ConfigEnd(TrialState.FAIL)),
    ],
)
def test_a_config_s_end_is_put_into_optuna_s_terms(
    asked: Asked, end: tuple[TrialStatus, float, EndReason], told: ConfigEnd
) -> None:
    source = sampled(asked)
    asked.ask(source)
    asked.end(0, 0, *end)
    assert source.complete(asked.state) == [(0, told)]


def test_a_config_of_which_only_some_seeds_finished_is_worth_their_mean(asked: Asked) -> None:
    source = sampled(asked, seeds_per_config=3)
    for seed, end in enumerate([(FINISHED, 0.25), (FINISHED, 0.75), (FAILED, 0.0)]):
        asked.ask(source)
        asked.end(0, seed, *end)
    assert source.complete(asked.state) == [(0, ConfigEnd(TrialState.COMPLETE, 0.5))]
