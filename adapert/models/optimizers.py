"""Torch's optimisers without its compiler."""

import inspect
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

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


@torch.no_grad()
def descend(
    optimizer: torch.optim.AdamW, parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor]
) -> None:
    """Take an AdamW's step by gradients that are given.

    It is what ``optimizer.step`` does, without its search for gradients and hooks: of many trials side by
    side, that takes longer than their step on a GPU.

    Args:
        optimizer: With one group of parameters.
        parameters: Those that have a gradient.
        gradients: Of each.
    """
    states = [optimizer.state[parameter] for parameter in parameters]
    if not all(states):  # the first step, which makes them
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        optimizer.zero_grad()
        return
    (group,) = optimizer.param_groups
    beta1, beta2 = group["betas"]
    adamw(
        list(parameters),
        list(gradients),
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        [state["step"] for state in states],
        fused=group["fused"],
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=group["lr"],
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )
