"""The score of every node for every perturbation (Eq. 10), without a tensor of all hidden units.

Written plainly, ``act(node + text)`` has n_perturbations x n_nodes x score_size elements, most of a
training step's time and memory. Here they are computed where they are used, and again for the gradient.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from adapert.data.schema import FloatArray
from adapert.models.activations import ACTIVATIONS
from adapert.models.compiled_scores import can_be_compiled, compiled_score, compiled_slopes
from adapert.models.precision import full_precision
from adapert.models.score_kernels import sum_reciprocals, sum_slopes
from adapert.models.side_by_side import map_trials, stack_trials

Score: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From node (n_nodes, score_size), text (n_perturbations, score_size) and w (score_size,) to
a_pv = w . act(node_v + text_p), (n_perturbations, n_nodes). All may have first dimensions in common."""

Activation: TypeAlias = Callable[[Tensor], Tensor]

CHUNK_ELEMENTS = 2**25
"""Hidden units at once where they are written out: 128 MB."""

FUSED_RANGE = 40.0
"""|x| up to which exp(2 x) and exp(-2 x), and sums of the two, are ordinary float32 numbers."""


def build_score(activation: str) -> Score:
    """Pick the score of an activation."""
    return tanh_score if activation == "tanh" else partial(chunked_score, ACTIVATIONS[activation])


def tanh_score(node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    """Score with tanh: fused on a CPU in float32, compiled on a GPU; in chunks where neither can be.

    That is on a GPU without a compiler for it, and on a CPU where exponentials would overflow.
    """
    return _TanhScore.apply(node, text, w)  # type: ignore[no-any-return, no-untyped-call]


def chunked_score(act: Activation, node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    """Score with any activation, as many perturbations at a time as `CHUNK_ELEMENTS` allow."""
    return _ChunkedScore.apply(act, node, text, w)  # type: ignore[no-any-return, no-untyped-call]


def _score_chunk(act: Activation, node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    # In float32 under autocast too, which is not there when the gradient is computed.
    with full_precision(node.device):
        hidden = act(node.unsqueeze(-3) + text.unsqueeze(-2))
        return (hidden @ w[..., None, :, None]).squeeze(-1)


def _split(node: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """Split what has a row a perturbation, (..., n_perturbations, size)."""
    return torch.split(rows, max(1, CHUNK_ELEMENTS // node.numel()), dim=-2)


def _score(act: Activation, node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    return torch.cat([_score_chunk(act, node, chunk, w) for chunk in _split(node, text)], dim=-2)


@torch.enable_grad()
def _slopes(
    act: Activation, node: Tensor, text: Tensor, w: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `node`, `text` and `w` from the scores', with hidden units made again."""
    to_node, to_w = torch.zeros_like(node), torch.zeros_like(w)
    to_text = []
    for chunk, to_chunk in zip(_split(node, text), _split(node, gradient), strict=True):
        inputs = [each.detach().requires_grad_() for each in (node, chunk, w)]
        more_node, more_text, more_w = torch.autograd.grad(_score_chunk(act, *inputs), inputs, to_chunk)
        to_node, to_w = to_node + more_node, to_w + more_w
        to_text.append(more_text)
    return to_node, torch.cat(to_text, dim=-2), to_w


class _ChunkedScore(torch.autograd.Function):
    """Hidden units are never stored."""

    @staticmethod
    def forward(act: Activation, node: Tensor, text: Tensor, w: Tensor) -> Tensor:
        return _score(act, node, text, w)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.act = inputs[0]
        ctx.save_for_backward(*inputs[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        node, text, w = ctx.saved_tensors
        return None, *_slopes(ctx.act, node, text, w, gradients[0])

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], act: Activation, *inputs: Tensor
    ) -> tuple[Tensor, int]:
        return chunked_score(act, *stack_trials(info.batch_size, in_dims[1:], inputs)), 0


class _TanhScore(torch.autograd.Function):
    """Hidden units are never stored. See `adapert.models.score_kernels` for the equations."""

    @staticmethod
    def forward(node: Tensor, text: Tensor, w: Tensor) -> Tensor:
        if can_be_compiled(node):
            return compiled_score(node, text, w)
        if not _can_be_fused(node, text):
            return _score(torch.tanh, node, text, w)
        sums = torch.empty(len(text), len(node))
        sum_reciprocals(*_arrays(*_exponentials(node, text), w, sums))
        return w.sum() - 2 * sums

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        node, text, w = ctx.saved_tensors
        if can_be_compiled(node):
            return compiled_slopes(node, text, w, gradients[0])
        if not _can_be_fused(node, text):
            return _slopes(torch.tanh, node, text, w, gradients[0])
        e, f = _exponentials(node, text)
        to_node, to_text, to_w = torch.empty_like(e), torch.zeros_like(f), torch.zeros_like(w)
        sum_slopes(*_arrays(e, f, gradients[0], to_node, to_text, to_w))
        # d tanh(x) / dx = 4 (r - r^2)
        to_node, to_text = to_node.mul_(4 * w.unsqueeze(1)), 4 * w * to_text
        return to_node.T, to_text, gradients[0].sum() - 2 * to_w

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Tensor, int]:
        """Score all trials at once on a GPU, and one after the other on a CPU: a core is busy with one."""
        if inputs[0].device.type == "cpu":
            return map_trials(tanh_score, info.batch_size, in_dims, inputs), 0
        return tanh_score(*stack_trials(info.batch_size, in_dims, inputs)), 0


def _can_be_fused(node: Tensor, text: Tensor) -> bool:
    is_plain = node.device.type == "cpu" and node.dtype == torch.float32
    return is_plain and float(max(node.abs().max(), text.abs().max())) <= FUSED_RANGE


def _exponentials(node: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    return (-2 * node.T).exp_().contiguous(), (2 * text).exp_()


def _arrays(*tensors: Tensor) -> list[FloatArray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]
