"""Which source gives the trials of which plan."""

from collections.abc import Callable

from adapert.study.engine.path import PathTrials
from adapert.study.engine.search import Suggestions
from adapert.study.engine.sources import ListedTrials, SampledTrials, TrialSource
from adapert.study.engine.state import StudyState
from adapert.study.plan.plans import AblationPath, Plan, Search


def build_source(plan: Plan, state: StudyState, suggest: Callable[[Search], Suggestions]) -> TrialSource:
    """Build the source of a plan's trials.

    Args:
        plan: The study's.
        state: The study's, which the source continues.
        suggest: Begins a search in Optuna; called for a plan that is sampled.
    """
    if isinstance(plan, AblationPath):
        return PathTrials(plan)
    if isinstance(plan, Search) and plan.is_sampled:
        return SampledTrials(plan, suggest(plan), state)
    return ListedTrials(plan)
