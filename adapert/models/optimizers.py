"""Torch's optimisers without its compiler."""

import inspect
from typing import TypeVar

import torch
from torch.optim import Optimizer

Kind = TypeVar("Kind", bound=Optimizer)

GUARDED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")
"""Methods that torch keeps its compiler from compiling."""


def without_compiler(kind: type[Kind]) -> type[Kind]:
    """Derive an optimiser that takes the same steps without loading torch's compiler.

    Nothing is compiled here. Torch still imports the compiler (`torch._dynamo`) in each process that trains,
    to guard an optimiser's methods from it, and that takes about as long as to import torch.

    Args:
        kind: One of torch's that is not differentiated through.
    """
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in GUARDED}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods | {"step": step})
