"""Search the eight hyperparameters of kernel ridge, as `search` does AdaPert's."""

from adapert.config import Config
from adapert.study.plan.study import Search, Study
from search_spaces.kernel_ridge import SPACE


def study(base: Config) -> Study:
    """TPE over the eight hyperparameters; a fit takes seconds, and has no epochs to stop early at."""
    return Study(
        name="search_kernel_ridge",
        question="How well does kernel ridge predict when it is tuned as AdaPert is?",
        base=base.with_changes({"model.name": "kernel_ridge"}),
        plan=Search(space=SPACE, n_trials=64),
    )
