"""Search the hyperparameters of kernel ridge, as `search` does AdaPert's."""

from adapert.config import Config
from adapert.study.plan.peers import searched_spaces
from adapert.study.plan.study import Search, Study


def study(base: Config) -> Study:
    """TPE over eight hyperparameters, and two more where the config picks several sources of embeddings.

    A fit takes seconds, and has no epochs to stop early at.
    """
    return Study(
        name="search_kernel_ridge",
        question="How well does kernel ridge predict when it is tuned as AdaPert is?",
        base=base.with_changes({"model.name": "kernel_ridge"}),
        plan=Search(space=searched_spaces(base)["kernel_ridge"], n_trials=64),
    )
