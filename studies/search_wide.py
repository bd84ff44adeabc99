"""Search the six hyperparameters together with the optimiser and the sizes."""

from adapert.config import Config
from adapert.study.plan.study import Search, Study
from search_spaces.adapert_wide import SPACE


def study(base: Config) -> Study:
    """TPE over thirteen fields, ASHA over epochs."""
    return Study(
        name="search_wide",
        question="What do learning rate, regularisation and sizes add to the six hyperparameters?",
        base=base,
        plan=Search(space=SPACE, n_trials=64),
    )
