"""Search the six hyperparameters of AdaPert."""

from adapert.config import Config
from adapert.study.plan.study import Search, Study
from search_spaces.adapert import SPACE


def study(base: Config) -> Study:
    """TPE over the six hyperparameters, ASHA over epochs."""
    return Study(
        name="search",
        question="Which setting of the six hyperparameters predicts held-out perturbations best?",
        base=base,
        plan=Search(space=SPACE),
    )
