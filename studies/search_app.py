"""Search the eight hyperparameters of APP, as `search` does AdaPert's."""

from adapert.config import Config
from adapert.study.plan.peers import find_point
from adapert.study.plan.study import Search, Study
from search_spaces.app import SPACE


def study(base: Config) -> Study:
    """TPE over the eight hyperparameters, ASHA over epochs; the first trial is APP to the letter."""
    return Study(
        name="search_app",
        question="How well does APP predict when it is tuned as AdaPert is?",
        base=base.with_changes({"model.name": "app"}),
        plan=Search(space=SPACE, n_trials=24, initial_points=(find_point(SPACE, Config()),)),
    )
