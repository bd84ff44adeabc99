"""Search the hyperparameters, the optimiser and the sizes together with the forms of the model's parts."""

from adapert.config import Config
from adapert.study.plan.study import Search, Study
from search_spaces.adapert_forms import SPACE


def study(base: Config) -> Study:
    """TPE over twenty fields, ASHA over epochs."""
    return Study(
        name="search_forms",
        question="Which forms, sizes and settings of the model predict held-out perturbations best?",
        base=base,
        plan=Search(space=SPACE, n_trials=100),
    )
