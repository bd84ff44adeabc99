"""Search the eight hyperparameters of GEARS, as `search` does AdaPert's."""

from adapert.config import Config
from adapert.study.plan.peers import find_point, published_config
from adapert.study.plan.study import Search, Study
from search_spaces.gears import SPACE


def study(base: Config) -> Study:
    """TPE over the eight hyperparameters, ASHA over epochs; the published form is the first trial."""
    first = find_point(SPACE, published_config("gears", Config()))
    return Study(
        name="search_gears",
        question="How well does GEARS predict when it is tuned as AdaPert is?",
        base=published_config("gears", base),
        plan=Search(space=SPACE, n_trials=24, initial_points=(first,)),
    )
