"""Which trials of a search are compared, where, and with which: rungs as the ledger has them."""

from collections.abc import Sequence
from dataclasses import asdict

from adapert.records import TrialRecord, TrialStatus
from adapert.study.engine.events import FirstRungDecided, RungDecided
from adapert.study.engine.first_rung import decide_first_rung, find_first_rung
from adapert.study.engine.rungs import Rungs
from adapert.study.engine.state import StudyState
from adapert.study.plan.plans import Plan, Search


class Comparisons:
    """Compares a search's trials at rungs; every answer depends on the lines seen so far alone.

    Whoever asks writes the answer to the ledger, and lets the state see it, before asking again.
    """

    def __init__(self, plan: Plan, state: StudyState, max_epochs: int) -> None:
        """Place rungs where the ledger has them.

        Args:
            plan: The study's; one that is no search, or stops nothing, has no rungs.
            state: The ledger's lines so far, folded; followed from now on.
            max_epochs: Of a full trial.
        """
        self._plan, self._state, self._max_epochs = plan, state, max_epochs
        self.place()

    def learn(self) -> FirstRungDecided | None:
        """Look again at where the first rung should be; None where that is not to change."""
        return decide_first_rung(self._plan, self._state, self._max_epochs)

    def place(self) -> None:
        """Place rungs as the state has them, with all values that stand on them."""
        plan = self._plan
        first = find_first_rung(plan, self._state)
        if not isinstance(plan, Search) or first is None:
            self._rungs = Rungs(self._max_epochs, self._max_epochs, 2)
            return
        self._rungs = Rungs(first, self._max_epochs, plan.reduction_factor)
        decided = {(line.trial, line.rung) for line in self._state.decided}
        for record in self._state.records.values():
            # The last report of a trial that is over is never compared.
            reached = self._rungs.reached(record.n_epochs - record.is_over)
            if not reached or record.seed != plan.first_seed:
                continue
            is_at_last = record.status == TrialStatus.RUNNING or record.n_epochs == reached[-1]
            if is_at_last and self._may_stop(record) and (record.trial_id, reached[-1]) not in decided:
                reached.pop()
            self._record(record, reached)

    def compare(self, record: TrialRecord) -> RungDecided | None:
        """Compare a trial after an epoch, where it has reached a new rung; None where it has not."""
        # A config's first seed is decided for all its seeds.
        if record.seed != self._plan.first_seed:
            return None
        reached = self._rungs.reached(record.n_epochs)
        if not self._may_stop(record):
            self._record(record, reached)
            return None
        if not reached:
            return None
        # More than one that is new where the first rung has moved to an earlier epoch.
        self._record(record, reached[:-1])
        value = self._state.objective_at(record.trial_id, reached[-1])
        decision = self._rungs.decide(record.trial_id, reached[-1], value, self._cohort(record))
        if decision is None:
            return None
        return RungDecided(trial=record.trial_id, value=value, **asdict(decision))

    def _record(self, record: TrialRecord, rungs: Sequence[int]) -> None:
        for rung in rungs:
            value = self._state.objective_at(record.trial_id, rung)
            self._rungs.record(record.trial_id, rung, value, self._cohort(record))

    def _may_stop(self, record: TrialRecord) -> bool:
        """Whether a rung may stop a trial: of those from which the first rung is learned, none may."""
        return self._state.first_rung is None or record.trial_id not in self._state.uncompared

    def _cohort(self, record: TrialRecord) -> int | None:
        size = self._plan.cohort_size
        return record.number // size if size else None
