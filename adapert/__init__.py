"""adapert: hyperparameter search and ablation studies for the AdaPert perturbation model.

The functions of `adapert.api` are here too, as ``adapert.launch`` and so on; each is what a command of the
same name does.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_FUNCTIONS = (
    "prepare",
    "launch",
    "load_trials",
    "load_metrics",
    "pick",
    "evaluate",
    "compare",
    "predict",
    "rerun",
    "draw_figures",
    "write_report",
)

__all__ = ["__version__", *_FUNCTIONS]


def __getattr__(name: str) -> Any:
    # Torch, Ray and MLflow take seconds to import: only who calls a function waits for them.
    if name in _FUNCTIONS:
        return getattr(import_module("adapert.api"), name)
    suggestion = import_module("adapert.errors").nearest(name, _FUNCTIONS)
    raise AttributeError(f"module 'adapert' has no attribute '{name}'.{suggestion}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})
