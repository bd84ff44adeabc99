"""The score of every node for every perturbation (Eq. 10), without a tensor of all hidden units.

Written plainly, ``act(node + text)`` has n_perturbations x n_nodes x score_size elements, most of a
training step's time and memory. Here they are computed where they are used, and again for the gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from adapert.data.schema import FloatArray
from adapert.models.activations import ACTIVATIONS
from adapert.models.score_kernels import sum_reciprocals, sum_slopes

Score: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From node (n_nodes, score_size), text (n_perturbations, score_size) and w (score_size,) to
a_pv = w . act(node_v + text_p), (n_perturbations, n_nodes)."""

CHUNK_ELEMENTS = 2**25
"""Hidden units at once where they are written out: 128 MB."""

FUSED_RANGE = 40.0
"""|x| up to which exp(2 x) and exp(-2 x), and sums of the two, are ordinary float32 numbers."""


def build_score(activation: str) -> Score:
    """Pick the score of an activation."""
    return tanh_score if activation == "tanh" else partial(chunked_score, ACTIVATIONS[activation])


def tanh_score(node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    """Score with tanh: fused on a CPU in float32, else, or where exponentials would overflow, in chunks."""
    is_fused = node.device.type == "cpu" and node.dtype == torch.float32
    if not is_fused or max(node.abs().max(), text.abs().max()) > FUSED_RANGE:
        return chunked_score(torch.tanh, node, text, w)
    return _FusedTanhScore.apply(node, text, w)  # type: ignore[no-any-return, no-untyped-call]


def chunked_score(act: Callable[[Tensor], Tensor], node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    """Score with any activation, as many perturbations at a time as `CHUNK_ELEMENTS` allow."""

    def score(chunk: Tensor) -> Tensor:
        return act(node + chunk.unsqueeze(1)) @ w

    chunks = torch.split(text, max(1, CHUNK_ELEMENTS // node.numel()))
    return torch.cat([checkpoint(score, chunk, use_reentrant=False) for chunk in chunks])


class _FusedTanhScore(torch.autograd.Function):
    """See `adapert.models.score_kernels` for the equations."""

    @staticmethod
    def forward(ctx: Any, node: Tensor, text: Tensor, w: Tensor) -> Tensor:
        e, f = (-2 * node.T).exp_().contiguous(), (2 * text).exp_()
        # The exponentials are all that the gradient needs: (n_perturbations, n_nodes, size) is never stored.
        ctx.save_for_backward(e, f, w)
        sums = torch.empty(len(text), len(node))
        sum_reciprocals(*_arrays(e, f, w, sums))
        return w.sum() - 2 * sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        e, f, w = ctx.saved_tensors
        to_node, to_text, to_w = torch.empty_like(e), torch.zeros_like(f), torch.zeros_like(w)
        sum_slopes(*_arrays(e, f, gradients[0], to_node, to_text, to_w))
        # d tanh(x) / dx = 4 (r - r^2)
        to_node, to_text = to_node.mul_(4 * w.unsqueeze(1)), 4 * w * to_text
        return to_node.T, to_text, gradients[0].sum() - 2 * to_w


def _arrays(*tensors: Tensor) -> list[FloatArray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
