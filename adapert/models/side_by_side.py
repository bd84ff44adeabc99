"""What functions that `torch.vmap` cannot map make of trials that are trained side by side."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def stack_trials(n_trials: int, in_dims: Sequence[int | None], inputs: Sequence[Tensor]) -> list[Tensor]:
    """Make the trials the first dimension of each input.

    Args:
        n_trials: Number of trials.
        in_dims: Dimension of trials of each input; None for one that all trials share.
        inputs: As `torch.vmap` gives them to an `autograd.Function`.
    """
    return [
        value.expand(n_trials, *value.shape) if dim is None else value.movedim(dim, 0)
        for value, dim in zip(inputs, in_dims, strict=True)
    ]


def map_trials(
    function: Callable[..., Tensor], n_trials: int, in_dims: Sequence[int | None], inputs: Sequence[Tensor]
) -> Tensor:
    """Call a function of one trial's tensors for each, and stack what it returns; else as `stack_trials`."""
    stacked = stack_trials(n_trials, in_dims, inputs)
    return torch.stack([function(*of_trial) for of_trial in zip(*stacked, strict=True)])
