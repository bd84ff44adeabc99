"""Search eight hyperparameters of TxPert, as `search` does AdaPert's."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.study import Search, Study
from search_spaces.txpert import SPACE

PUBLISHED: dict[str, Any] = {
    "data.control": "batch_mean",
    "graph.nodes": "perturbed",
    "training.max_epochs": 200,
    "training.patience": 30,
}
"""What TxPert's published form changes of the defaults, beside those of its section."""


def published_base(base: Config) -> Config:
    """Make TxPert's published form of a base config; fields that differ from the defaults stay.

    A config of TxPert stays as it is.
    """
    if base.model.name == "txpert":
        return base
    given, default = base.flat(), Config().flat()
    changes = {field: value for field, value in PUBLISHED.items() if given[field] == default[field]}
    return base.with_changes({"model.name": "txpert"} | changes)


def study(base: Config) -> Study:
    """TPE over eight hyperparameters, ASHA over epochs; the published form is the first trial."""
    default = Config().flat()
    return Study(
        name="search_txpert",
        question="How well does TxPert predict when it is tuned as AdaPert is?",
        base=published_base(base),
        plan=Search(space=SPACE, n_trials=24, initial_points=({field: default[field] for field in SPACE},)),
    )
