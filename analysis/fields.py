"""Fields of a config: in which of them trials differ, and what they are called."""

import pandas as pd

from adapert.config import Config

HYPERPARAMETERS = {
    "loss.lambda_non": r"$\lambda_{\mathrm{non}}$",
    "loss.lambda_align": r"$\lambda_{\mathrm{align}}$",
    "loss.huber_delta": r"Huber $\delta$",
    "model.tau": r"$\tau$",
    "model.threshold": r"threshold $T$",
    "graph.top_k": "edges per gene",
}
"""The paper's six, in the order they are drawn; any other field follows in the config's order."""

_NO_SETTINGS = ("data.path", "data.fingerprint")


def field_label(field: str) -> str:
    """Label a field: its symbol in the paper, or its name in words."""
    return HYPERPARAMETERS.get(field, field.rpartition(".")[2].removeprefix("n_").replace("_", " "))


def varied_fields(trials: pd.DataFrame) -> list[str]:
    """List the config fields in which trials differ, the paper's six hyperparameters first."""
    known = [
        *HYPERPARAMETERS,
        *(name for name in Config().flat() if name not in (*HYPERPARAMETERS, *_NO_SETTINGS)),
    ]
    return [name for name in known if name in trials and trials[name].nunique() > 1]
