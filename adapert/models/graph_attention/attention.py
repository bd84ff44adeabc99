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
from adapert.models.graph_attention.kernels import (
    kind_slopes,
    leaky_scores,
    leaky_slopes,
    scaled_scores,
    scaled_slopes,
    softmax_slopes,
    softmax_sum,
    weighted_sum,
)
from adapert.models.graph_attention.provenance import ProvenanceGraph


def has_kernels(h: Tensor) -> bool:
    """Whether the kernels can compute with a tensor: float32 on a CPU."""
    return h.device.type == "cpu" and h.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


def leaky_attention(graph: AttentionGraph, x: Tensor, p: Tensor, q: Tensor, a: Tensor) -> Tensor:
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
    return weighted_average(graph, _LeakyScores.apply(graph, p, q, a), x)  # type: ignore[no-untyped-call]


def weighted_average(graph: AttentionGraph, score: Tensor, x: Tensor) -> Tensor:
    """Average over the edges into each node, weighted by softmax of their scores.

    Args:
        graph: The edges.
        score: In the order of targets, float32 on the CPU, (n_edges, n_heads).
        x: Values, (n_nodes, n_heads, size).

    Returns:
        out, as x; 0 for a node that no edge goes into.
    """
    return _Average.apply(graph, score, x)  # type: ignore[no-any-return, no-untyped-call]


def provenance_scores(graph: ProvenanceGraph, q: Tensor, k: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Score each edge by q_v . (k_u scale_t) + shift_t, t being its provenance.

    Args:
        graph: The edges.
        q: Queries, float32 on the CPU, (n_nodes, n_heads, size).
        k: Keys, as q.
        scale: Of each provenance, (n_provenances, n_heads, size).
        shift: Of each provenance, (n_provenances, n_heads).

    Returns:
        Scores in the order of targets, (n_edges, n_heads).
    """
    return _ScaledScores.apply(graph, q, k, scale, shift)  # type: ignore[no-any-return, no-untyped-call]


class _LeakyScores(torch.autograd.Function):
    """See `adapert.models.graph_attention.kernels` for the equations."""

    @staticmethod
    def forward(ctx: Any, graph: AttentionGraph, p: Tensor, q: Tensor, a: Tensor) -> Tensor:
        p, q, a = (tensor.contiguous() for tensor in (p, q, a))
        starts, source, _ = graph.into_targets
        score = p.new_empty(len(source), len(a))
        _share(leaky_scores, starts, source, *_arrays(p, q, a, score))
        ctx.graph = graph
        # Hidden units are computed again for the gradient.
        ctx.save_for_backward(p, q, a)
        return score

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor]:
        p, q, a = ctx.saved_tensors
        to_score, to_p, to_q = gradients[0].contiguous(), torch.zeros_like(p), torch.zeros_like(q)
        _share(leaky_slopes, *ctx.graph.into_targets, *_arrays(q, p, to_score, to_q))
        _share(leaky_slopes, *ctx.graph.out_of_sources, *_arrays(p, q, to_score, to_p))
        # LeakyReLU(x) = x LeakyReLU'(x), so that a's gradient takes no third pass over the edges.
        return None, to_p * a, to_q * a, (p * to_p + q * to_q).sum(dim=0)


class _ScaledScores(torch.autograd.Function):
    """See `adapert.models.graph_attention.kernels` for the equations."""

    @staticmethod
    def forward(
        ctx: Any, graph: ProvenanceGraph, q: Tensor, k: Tensor, scale: Tensor, shift: Tensor
    ) -> Tensor:
        q, k, scale, shift = (tensor.contiguous() for tensor in (q, k, scale, shift))
        score = q.new_empty(len(graph.provenance), q.shape[1])
        into = graph.into_targets[:2]
        _share(scaled_scores, *into, *_arrays(graph.provenance, q, k, scale, shift, score))
        ctx.graph = graph
        ctx.save_for_backward(q, k, scale, shift)
        return score

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor, Tensor, Tensor]:
        q, k, scale, shift = ctx.saved_tensors
        graph, to_score = ctx.graph, gradients[0].contiguous()
        to_q, to_k, to_scale, to_shift = (torch.zeros_like(tensor) for tensor in (q, k, scale, shift))
        shared = (graph.provenance, scale, to_score)
        _share(scaled_slopes, *graph.into_targets, *_arrays(*shared, k, to_q))
        _share(scaled_slopes, *graph.out_of_sources, *_arrays(*shared, q, to_k))
        starts, _, edge = graph.of_provenances
        _share(kind_slopes, starts, edge, *_arrays(*graph.edge_index, q, k, to_score, to_shift, to_scale))
        return None, to_q, to_k, to_scale, to_shift


class _Average(torch.autograd.Function):
    """See `adapert.models.graph_attention.kernels` for the equations."""

    @staticmethod
    def forward(ctx: Any, graph: AttentionGraph, score: Tensor, x: Tensor) -> Tensor:
        x, alpha, out = x.contiguous(), score.clone(), torch.zeros_like(x)
        _share(softmax_sum, *graph.into_targets[:2], *_arrays(x, alpha, out))
        ctx.graph = graph
        ctx.save_for_backward(x, alpha)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, Tensor]:
        x, alpha = ctx.saved_tensors
        g, to_score, to_x = gradients[0].contiguous(), torch.empty_like(alpha), torch.zeros_like(x)
        _share(softmax_slopes, *ctx.graph.into_targets[:2], *_arrays(x, alpha, g, to_score))
        _share(weighted_sum, *ctx.graph.out_of_sources, *_arrays(alpha, g, to_x))
        return None, to_score, to_x


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
