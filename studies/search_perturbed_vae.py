"""Search the eight hyperparameters of PerturbedVAE (own construction), as `search` does AdaPert's."""

from adapert.config import Config
from adapert.study.plan.peers import find_point
from adapert.study.plan.study import Search, Study
from search_spaces.perturbed_vae import SPACE


def study(base: Config) -> Study:
    """TPE over the eight hyperparameters, ASHA over epochs; the defaults are the first trial."""
    return Study(
        name="search_perturbed_vae",
        question="How well does PerturbedVAE (own construction) predict when it is tuned as AdaPert is?",
        base=base.with_changes({"model.name": "perturbed_vae"}),
        plan=Search(space=SPACE, n_trials=24, initial_points=(find_point(SPACE, Config()),)),
    )
