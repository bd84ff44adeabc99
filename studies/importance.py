"""Which of the six hyperparameters matters, alone and together?"""

from adapert.config import Config
from adapert.study.plan.study import Search, Study
from search_spaces.adapert import SPACE


def study(base: Config) -> Study:
    """A Sobol sequence over the six hyperparameters, every config trained to its end."""
    return Study(
        name="importance",
        question="Which of the six hyperparameters matters most, and which pairs of them act together?",
        base=base,
        plan=Search(kind="importance", space=SPACE, sampler="quasi_random", n_trials=128),
    )
