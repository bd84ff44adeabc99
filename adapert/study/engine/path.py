"""The ablation path between two configs: one field a step, each time the one that helps most.

Fawcett and Hoos (2016), "Analysing differences between algorithm configurations through ablation": from a
start config every field that differs is moved to its final value alone; the best of these configs is kept,
the rest of the fields are tried on top of it, and so on until all are moved.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from adapert.records import TrialRecord, TrialStatus
from adapert.study.engine.proposals import Proposal, Unsampled
from adapert.study.engine.state import StudyState
from adapert.study.plan.plans import AblationPath, Assignment


@dataclass(frozen=True)
class Round:
    """The configs that are compared for one step of a path.

    Attributes:
        number: The step's number, from 1; 0 is the start, which is compared with nothing.
        variants: Field that is moved to the variant's name.
        first: Number of the round's first config.
    """

    number: int
    variants: Mapping[str, str]
    first: int


class PathTrials(Unsampled):
    """The trials of an ablation path: a round is asked for when the one before has ended."""

    def __init__(self, plan: AblationPath) -> None:
        self._plan = plan

    def propose(self, state: StudyState) -> list[Proposal]:
        """The next trial of the rounds so far; none while the last of them runs."""
        return self._left(state)[:1]

    def has_more(self, state: StudyState) -> bool:
        """Whether trials are left to ask for, now or once this round has ended."""
        rounds, _ = self._rounds(state)
        return bool(self._left(state)) or rounds[-1].number < len(self._plan.start)

    def _left(self, state: StudyState) -> list[Proposal]:
        rounds, steps = self._rounds(state)
        asked = {(record.variant, record.seed) for record in state.records.values()}
        return [
            proposal
            for each in rounds
            for proposal in self._proposals(each, steps)
            if (proposal.assignment.variant, proposal.assignment.seed) not in asked
        ]

    def _rounds(self, state: StudyState) -> tuple[list[Round], list[str]]:
        """Rounds whose configs are known, and the steps that were taken, in their order."""
        fields, steps = list(self._plan.start), list[str]()
        rounds = [Round(0, {"": path_variant(0, "start")}, 0)]
        while len(steps) < len(fields):
            first = rounds[-1].first + len(rounds[-1].variants)
            number = len(steps) + 1
            left = [field for field in fields if field not in steps]
            rounds.append(Round(number, {field: path_variant(number, field) for field in left}, first))
            step = self._decide(rounds[-1], state)
            if step is None:
                break
            steps.append(step)
        return rounds, steps

    def _decide(self, each: Round, state: StudyState) -> str | None:
        """The field of best mean objective; None while a trial of the round is open."""
        of_round = {variant: list[TrialRecord]() for variant in each.variants.values()}
        for record in state.records.values():
            if record.variant in of_round:
                of_round[record.variant].append(record)
        for records in of_round.values():
            is_open = any(record.status == TrialStatus.RUNNING for record in records)
            if is_open or len(records) < self._plan.n_seeds:
                return None
        return max(each.variants, key=lambda field: mean_objective(of_round[each.variants[field]]))

    def _proposals(self, each: Round, steps: list[str]) -> list[Proposal]:
        before = set(steps[: max(0, each.number - 1)])
        start = self._plan.start
        changes = {
            field: {name: value for name, value in start.items() if name not in before | {field}}
            for field in each.variants
        }
        return [
            Proposal(each.first + index, Assignment(variant, seed, changes[field]))
            for index, (field, variant) in enumerate(each.variants.items())
            for seed in range(self._plan.n_seeds)
        ]


def path_variant(number: int, field: str) -> str:
    """Name a config of a path by its step and the field that it moves: ``"2 model.tau"``."""
    return f"{number} {field}"


def mean_objective(records: Iterable[TrialRecord]) -> float:
    """Mean objective of the finished trials; minus infinity without any."""
    finished = [record.objective for record in records if record.status == TrialStatus.FINISHED]
    return float(np.mean(finished)) if finished else -np.inf
