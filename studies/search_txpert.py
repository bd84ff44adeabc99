"""Search eight hyperparameters of TxPert, as `search` does AdaPert's."""

from typing import Any

from adapert.config import Config
from adapert.study.plan.peers import find_point, published_config
from adapert.study.plan.study import Search, Study
from search_spaces.txpert import SPACE

BUDGET: dict[str, Any] = {"training.max_epochs": 200, "training.patience": 30}
"""Of TxPert's published form."""


def study(base: Config) -> Study:
    """TPE over eight hyperparameters, ASHA over epochs; the published form is the first trial."""
    return Study(
        name="search_txpert",
        question="How well does TxPert predict when it is tuned as AdaPert is?",
        base=published_config("txpert", base, BUDGET),
        plan=Search(space=SPACE, n_trials=24, initial_points=(find_point(SPACE, Config()),)),
    )
