"""The score of Eq. 10 with tanh on a GPU, and its gradient: kernels that torch's compiler writes.

Each adds up hidden units that it computes itself, h_pvk = tanh(node_vk + text_pk), so that none is stored:

    a_pv = sum over k of w_k h_pvk
    d node_vk = w_k sum over p of g_pv (1 - h_pvk^2),  d text_pk = w_k sum over v of the same
    d w_k = sum over p and v of g_pv h_pvk

Arguments are those of `adapert.models.scores`, with first dimensions in common, and the gradient g of a.
"""

import os
import shutil
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor


def can_be_compiled(node: Tensor) -> bool:
    """Whether a tensor is on a GPU that the compiler can write kernels for; a CPU has its own."""
    return node.device.type == "cuda" and _has_compiler()


@cache
def _has_compiler() -> bool:
    from torch.utils._triton import has_triton  # late: a CPU needs none of it

    # Triton has its launcher built by a compiler of C, which `has_triton` does not look for.
    has_c = "CC" in os.environ or any(map(shutil.which, ("gcc", "clang")))
    return has_c and bool(has_triton())


def compiled_score(node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    """Score, (..., n_perturbations, n_nodes)."""
    score: Tensor = _compiled(_score)(node, text, w)
    return score


def compiled_slopes(node: Tensor, text: Tensor, w: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of node, text and w."""
    # One reduction each: of several, hidden units could be stored in between.
    to_node, to_text, to_w = (_compiled(slope)(node, text, g) for slope in (_to_node, _to_text, _to_w))
    return to_node * w.unsqueeze(-2), to_text * w.unsqueeze(-2), to_w


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # Minibatches and slots differ in number: one kernel serves all.
    return torch.compile(function, dynamic=True)


def _hidden(node: Tensor, text: Tensor) -> Tensor:
    return torch.tanh(node.unsqueeze(-3) + text.unsqueeze(-2))


def _score(node: Tensor, text: Tensor, w: Tensor) -> Tensor:
    return (_hidden(node, text) * w[..., None, None, :]).sum(dim=-1)


def _to_node(node: Tensor, text: Tensor, g: Tensor) -> Tensor:
    return ((1 - _hidden(node, text).square()) * g.unsqueeze(-1)).sum(dim=-3)


def _to_text(node: Tensor, text: Tensor, g: Tensor) -> Tensor:
    return ((1 - _hidden(node, text).square()) * g.unsqueeze(-1)).sum(dim=-2)


def _to_w(node: Tensor, text: Tensor, g: Tensor) -> Tensor:
    return (_hidden(node, text) * g.unsqueeze(-1)).sum(dim=(-3, -2))
