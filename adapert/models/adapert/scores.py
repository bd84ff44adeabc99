"""The score of every node for every perturbation (Eq. 10), without a tensor of all hidden units.

Written plainly, ``act(node + text)`` has n_perturbations x n_nodes x score_size elements, most of a
training step's time and memory. Here they are computed where they are used, and again for the gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numba
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from adapert.models.adapert.kernels import BLOCK_NODES, sum_reciprocals, sum_slopes
from adapert.models.adapert.message_passing import ACTIVATIONS

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
    """Score with tanh: fused on a CPU, in chunks elsewhere and where the exponentials would overflow."""
    if node.device.type != "cpu" or max(node.abs().max(), text.abs().max()) > FUSED_RANGE:
        return chunked_score(torch.tanh, node, text, w)
    return _FusedTanhScore.apply(node, text, w)  # type: ignore[no-any-return, no-untyped-call]


def chunked_score(act: Callable[[Tensor], Tensor], node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    """Score with any activation, as many perturbations at a time as `CHUNK_ELEMENTS` allow."""

    def score(chunk: Tensor) -> Tensor:
        return act(node + chunk.unsqueeze(1)) @ w

    chunks = torch.split(text, max(1, CHUNK_ELEMENTS // node.numel()))
    return torch.cat([checkpoint(score, chunk, use_reentrant=False) for chunk in chunks])


class _FusedTanhScore(torch.autograd.Function):
    """See `adapert.models.adapert.kernels` for the equations."""

    @staticmethod
    def forward(ctx: Any, node: Tensor, text: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(node, text, w)
        sums = torch.empty(len(text), len(node))
        _run(sum_reciprocals, *_exponentials(node, text), w, sums)
        return w.sum() - 2 * sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (gradient,) = gradients  # (n_perturbations, n_nodes)
        node, text, w = ctx.saved_tensors
        n_blocks = -(-len(node) // BLOCK_NODES)
        to_node = torch.empty(node.T.shape)
        to_text, to_w = torch.empty(n_blocks, *text.shape), torch.zeros(n_blocks, len(w))
        _run(sum_slopes, *_exponentials(node, text), gradient, to_node, to_text, to_w)
        # d tanh(x) / dx = 4 (r - r^2)
        to_node, to_text = 4 * w.unsqueeze(1) * to_node, 4 * w * to_text.sum(dim=0)
        return to_node.T, to_text, gradient.sum() - 2 * to_w.sum(dim=0)


def _exponentials(node: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    return (-2 * node.T).exp_(), (2 * text).exp_()


def _run(kernel: Callable[..., None], *tensors: Tensor) -> None:
    n_threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(n_threads)
    kernel(*(tensor.detach().contiguous().numpy() for tensor in tensors))
