"""Search the six knobs of AdaPert."""

from adapert.config import Config
from adapert.study.plan.study import Search, Study
from search_spaces.adapert import SPACE


def study(base: Config) -> Study:
    """TPE over the six knobs, ASHA over epochs."""
    return Study(
        name="search",
        question="Which setting of the six knobs predicts held-out perturbations best?",
        base=base,
        plan=Search(space=SPACE),
    )
