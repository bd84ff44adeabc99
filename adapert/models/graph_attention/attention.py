"""Attention over a graph's edges as a step of autograd, on one or several threads of a CPU."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from adapert.data.schema import FloatArray, IntArray
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.kernels import attend, spread_to_sources, spread_to_targets


def fused_attention(graph: AttentionGraph, x: Tensor, p: Tensor, q: Tensor, a: Tensor) -> Tensor:
    """Average over the edges into each node, weighted by softmax of a . LeakyReLU(p_u + q_v).

    Args:
        graph: The edges.
        x: Values, float32 on the CPU, (n_nodes, n_heads, size).
        p: The sources' part of the hidden units, (n_nodes, n_heads, score_size).
        q: The targets' part, as p.
        a: Weights of the hidden units, (n_heads, score_size).

    Returns:
        out, as x; 0 for a node that no edge goes into.
    """
    return _FusedAttention.apply(graph, x, p, q, a)  # type: ignore[no-any-return, no-untyped-call]


class _FusedAttention(torch.autograd.Function):
    """See `adapert.models.graph_attention.kernels` for the equations."""

    @staticmethod
    def forward(ctx: Any, graph: AttentionGraph, x: Tensor, p: Tensor, q: Tensor, a: Tensor) -> Tensor:
        x, p, q, a = (tensor.contiguous() for tensor in (x, p, q, a))
        starts, source, _ = graph.into_targets
        alpha, out = x.new_empty(len(source), x.shape[1]), torch.zeros_like(x)
        _share(attend, starts, source, *_arrays(x, p, q, a, alpha, out))
        ctx.graph = graph
        # Hidden units are computed again for the gradient: (n_edges, n_heads, size) is never stored.
        ctx.save_for_backward(x, p, q, a, alpha)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor, Tensor]:
        x, p, q, a, alpha = ctx.saved_tensors
        g = gradients[0].contiguous()
        into, out_of = ctx.graph.into_targets, ctx.graph.out_of_sources
        to_score, to_target = torch.empty_like(alpha), torch.zeros_like(q)
        _share(spread_to_targets, into.starts, into.other, *_arrays(x, p, q, alpha, g, to_score, to_target))
        to_source, to_x = torch.zeros_like(p), torch.zeros_like(x)
        _share(spread_to_sources, *out_of, *_arrays(p, q, alpha, g, to_score, to_source, to_x))
        # LeakyReLU(x) = x LeakyReLU'(x), so that a's gradient takes no third pass over the edges.
        to_a = (p * to_source + q * to_target).sum(dim=0)
        return None, to_x, to_source * a, to_target * a, to_a


def _share(kernel: Callable[..., None], starts: IntArray, *arrays: FloatArray | IntArray) -> None:
    """Run a kernel on as many threads as torch has, each on nodes with about as many edges.

    Threads that start here round denormals to 0 where the calling thread does (`flushed_denormals`), which
    those of a standing pool would not.
    """
    n_threads = torch.get_num_threads()
    edges = np.linspace(0, starts[-1], n_threads + 1)[1:-1]
    bounds = [0, *np.searchsorted(starts, edges).tolist(), len(starts) - 1]
    if n_threads == 1:
        kernel(*bounds, starts, *arrays)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        futures = [pool.submit(kernel, first, last, starts, *arrays) for first, last in pairwise(bounds)]
    for future in futures:
        future.result()


def _arrays(*tensors: Tensor) -> list[FloatArray]:
    return [tensor.detach().numpy() for tensor in tensors]
