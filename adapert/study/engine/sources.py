"""Where a study's trials come from: a list, a path, or a sampler that learns from how configs ended."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from optuna.trial import TrialState

from adapert.records import EndReason, TrialRecord, TrialStatus
from adapert.study.engine.path import PathTrials
from adapert.study.engine.proposals import Proposal, TrialSource, Unsampled
from adapert.study.engine.racing import is_clearly_behind, pool_spread
from adapert.study.engine.search import ConfigEnd, Suggestions, round_suggestion
from adapert.study.engine.state import StudyState
from adapert.study.plan.plans import AblationPath, Assignment, Plan, Search
from adapert.study.plan.space import distribution_of


def build_source(plan: Plan, state: StudyState, suggest: Callable[[Search], Suggestions]) -> TrialSource:
    """Build the source of a plan's trials; `suggest` begins a search in Optuna, for a sampled plan."""
    if isinstance(plan, AblationPath):
        return PathTrials(plan)
    if isinstance(plan, Search) and plan.is_sampled:
        return SampledTrials(plan, suggest(plan), state)
    return ListedTrials(plan)


class ListedTrials(Unsampled):
    """The trials of a design or a grid, in their order."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def propose(self, state: StudyState) -> list[Proposal]:
        """The first trial of the list that was not asked for; of a cohort, once those before have ended."""
        size = self._plan.cohort_size
        first = self._left(state)[:1]
        if size and first:
            cohort = first[0].number // size
            return [] if any(record.number // size < cohort for record in state.running) else first
        return first

    def has_more(self, state: StudyState) -> bool:
        """Whether a trial of the list was not asked for."""
        return bool(self._left(state))

    def _left(self, state: StudyState) -> list[Proposal]:
        asked = {(record.variant, record.seed) for record in state.records.values()}
        assignments = self._plan.extended(state.n_more_trials, state.n_more_seeds).assignments
        number = {variant: n for n, variant in enumerate(dict.fromkeys(each.variant for each in assignments))}
        return [
            Proposal(number[each.variant], each)
            for each in assignments
            if (each.variant, each.seed) not in asked
        ]


class SampledTrials:
    """The trials of a search: configs that Optuna suggests, each with as many seeds as it deserves."""

    def __init__(self, plan: Search, suggestions: Suggestions, state: StudyState) -> None:
        """Put back what an earlier process was suggested and told; `suggestions` are begun from scratch."""
        self._plan, self._suggestions = plan, suggestions
        for number, records in by_config(state).items():
            line = state.completed.get(number)
            suggestions.restore(number, records[0].suggested, ConfigEnd.from_line(line) if line else None)

    def propose(self, state: StudyState) -> list[Proposal]:
        """Another seed of a config that deserves one, or new configs: one, or a cohort."""
        configs = by_config(state)
        for number, records in configs.items():
            if number not in state.completed and self._deserves_seed(records, state):
                seed = self._plan.seed + len(records)
                return [Proposal(number, Assignment(self._plan.kind, seed, records[0].changes))]
        first, n_asked, size = len(configs), self._n_asked(state), self._plan.cohort_size
        if not size:
            last = min(first + 1, n_asked)
        elif first % size == 0 and len(state.completed) < first:
            return []  # No suggestion may depend on how long other trials take.
        else:
            last = min(first - first % size + size, n_asked)
        return [self._suggest(number) for number in range(first, last)]

    def has_more(self, state: StudyState) -> bool:
        """Whether configs are left to ask for, or seeds of one."""
        return len(state.completed) < self._n_asked(state)

    def complete(self, state: StudyState) -> list[tuple[int, ConfigEnd]]:
        """Configs whose trials have ended and that deserve no more seeds; of a cohort, all or none."""
        configs = by_config(state)
        incomplete = {number: records for number, records in configs.items() if number not in state.completed}
        done = {
            number: _end_of(records)
            for number, records in incomplete.items()
            if all(record.status != TrialStatus.RUNNING for record in records)
            and not self._deserves_seed(records, state)
        }
        # Whole cohorts alone: the order in which Optuna is told must not depend on which trial ends first.
        if self._plan.cohort_size:
            is_asked = len(configs) % self._plan.cohort_size == 0 or len(configs) == self._n_asked(state)
            if not is_asked or len(done) < len(incomplete):
                return []
        return sorted(done.items())

    def tell(self, number: int, end: ConfigEnd) -> None:
        """Tell Optuna how a config ended."""
        self._suggestions.tell(number, end)

    def close(self) -> None:
        """Tell Optuna that what is open has failed; the next process puts it back."""
        self._suggestions.close()

    def _n_asked(self, state: StudyState) -> int:
        return self._plan.n_trials + state.n_more_trials

    def _suggest(self, number: int) -> Proposal:
        suggested = self._suggestions.suggest(number)
        space = self._plan.space
        changes = {
            name: round_suggestion(value, distribution_of(space[name])) for name, value in suggested.items()
        }
        return Proposal(number, Assignment(self._plan.kind, self._plan.seed, changes), suggested)

    def _deserves_seed(self, records: Sequence[TrialRecord], state: StudyState) -> bool:
        is_whole = all(record.status == TrialStatus.FINISHED for record in records)
        if not is_whole or len(records) >= self._plan.seeds_per_config:
            return False
        if self._plan.is_full_fidelity:
            return True
        # Rivals are completed configs of earlier cohorts: the ledger records which those are, while a killed
        # process may have completed only a part of this cohort.
        size, own = self._plan.cohort_size, records[0].number
        completed = [
            _objectives(rivals)
            for number, rivals in by_config(state).items()
            if number in state.completed and (not size or number // size < own // size)
        ]
        rivals = [values for values in completed if len(values) == self._plan.seeds_per_config]
        best = max(rivals, key=np.mean, default=[])
        return not is_clearly_behind(_objectives(records), best, pool_spread(completed))


def by_config(state: StudyState) -> dict[int, list[TrialRecord]]:
    """Group trials by the number of their config."""
    configs: dict[int, list[TrialRecord]] = {}
    for record in state.records.values():
        configs.setdefault(record.number, []).append(record)
    return configs


def _objectives(records: Sequence[TrialRecord]) -> list[float]:
    return [record.objective for record in records if record.status == TrialStatus.FINISHED]


def _end_of(records: Sequence[TrialRecord]) -> ConfigEnd:
    """Put a config's trials into Optuna's terms: the mean of those that finished, or the first one's end."""
    finished = _objectives(records)
    if finished:
        return ConfigEnd(TrialState.COMPLETE, float(np.mean(finished)))
    first = records[0]
    if first.status == TrialStatus.STOPPED:
        value = first.objective if math.isfinite(first.objective) else None
        return ConfigEnd(TrialState.PRUNED, value, first.n_epochs)
    if first.reason == EndReason.MEMORY:
        return ConfigEnd(TrialState.PRUNED, is_infeasible=True)
    return ConfigEnd(TrialState.FAIL)
