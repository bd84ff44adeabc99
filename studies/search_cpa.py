"""Search the eight hyperparameters of CPA (own compact version), as `search` does AdaPert's."""

from adapert.config import Config
from adapert.study.plan.peers import find_point, published_config
from adapert.study.plan.study import Search, Study
from search_spaces.cpa import SPACE


def study(base: Config) -> Study:
    """TPE over the eight hyperparameters, ASHA over epochs; its own defaults are the first trial."""
    first = find_point(SPACE, published_config("cpa", Config()))
    return Study(
        name="search_cpa",
        question="How well does CPA (own compact version) predict when it is tuned as AdaPert is?",
        base=published_config("cpa", base),
        plan=Search(space=SPACE, n_trials=24, initial_points=(first,)),
    )
