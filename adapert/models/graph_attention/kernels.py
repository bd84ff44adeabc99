"""Attention over a graph's edges on a CPU, and its gradient: nothing of (n_edges, size) is stored.

Scores of edges u -> v are, per head,

    s_uv = a . LeakyReLU(p_u + q_v)

in GATv2 (Brody et al., 2022), and in GAT (Velickovic et al., 2018) where p and q are a node's two shares of
the score and a = 1; and those of `scaled_scores` in Exphormer (Shirzad et al., 2023). They average values,

    alpha_uv = softmax of s_uv over the edges into v
    out_v = sum over u of alpha_uv x_u

A kernel does the nodes from `first` up to `last` and writes to no others, so that threads share the work. It
walks the edges in the order of these nodes: `starts` has each node's first position, (n_nodes + 1,), `other`
the node at the other end and `edge` the edge's number in the order of targets, (n_edges,). Numbers are
float32: those of nodes are (n_nodes, n_heads, size), those of edges (n_edges, n_heads) in the order of
targets. The last argument is filled, or added to.
"""

import numpy as np

from adapert.data.schema import FloatArray, IntArray
from adapert.models.compiled import compiled

NEGATIVE_SLOPE = 0.2
"""Of LeakyReLU, as in both papers."""

_SLOPE = np.float32(NEGATIVE_SLOPE)

# Sums may be reordered. NaN and infinity count, since a maximum is looked for.
_compiled = compiled(fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy", nogil=True)


@_compiled
def leaky_scores(
    first: int,
    last: int,
    starts: IntArray,
    other: IntArray,
    p: FloatArray,
    q: FloatArray,
    a: FloatArray,
    score: FloatArray,
) -> None:
    """Fill the scores of edges into targets, with a of (n_heads, size)."""
    n_heads, size = a.shape
    for v in range(first, last):
        for e in range(starts[v], starts[v + 1]):
            u = other[e]
            for h in range(n_heads):
                total = np.float32(0)
                for i in range(size):
                    hidden = p[u, h, i] + q[v, h, i]
                    total += a[h, i] * (hidden if hidden > 0 else _SLOPE * hidden)
                score[e, h] = total


@_compiled
def leaky_slopes(
    first: int,
    last: int,
    starts: IntArray,
    other: IntArray,
    edge: IntArray,
    own: FloatArray,
    others: FloatArray,
    to_score: FloatArray,
    to_own: FloatArray,
) -> None:
    """Add up d s_uv LeakyReLU'(p_u + q_v) over a node's edges.

    For sources, p is `own` and q is `others`; for targets the other way round.
    """
    n_heads, size = own.shape[1:]
    for v in range(first, last):
        for position in range(starts[v], starts[v + 1]):
            u = other[position]
            for h in range(n_heads):
                slope = to_score[edge[position], h]
                for i in range(size):
                    to_own[v, h, i] += slope if own[v, h, i] + others[u, h, i] > 0 else _SLOPE * slope


@_compiled
def softmax_sum(
    first: int,
    last: int,
    starts: IntArray,
    other: IntArray,
    x: FloatArray,
    alpha: FloatArray,
    out: FloatArray,
) -> None:
    """Turn scores into alpha where they stand, and add up alpha_uv x_u; a node without edges gets none."""
    n_heads, size = x.shape[1:]
    for v in range(first, last):
        for h in range(n_heads):
            largest, total = np.float32(-np.inf), np.float32(0)
            for e in range(starts[v], starts[v + 1]):
                largest = max(largest, alpha[e, h])
            for e in range(starts[v], starts[v + 1]):
                alpha[e, h] = np.exp(alpha[e, h] - largest)
                total += alpha[e, h]
            for e in range(starts[v], starts[v + 1]):
                alpha[e, h] /= total
                u, weight = other[e], alpha[e, h]
                for i in range(size):
                    out[v, h, i] += weight * x[u, h, i]


@_compiled
def softmax_slopes(
    first: int,
    last: int,
    starts: IntArray,
    other: IntArray,
    x: FloatArray,
    alpha: FloatArray,
    g: FloatArray,
    to_score: FloatArray,
) -> None:
    """Fill d s_uv = alpha_uv (g_v . x_u - sum over w of alpha_wv g_v . x_w), with the gradient g of out."""
    n_heads, size = x.shape[1:]
    for v in range(first, last):
        for h in range(n_heads):
            mean = np.float32(0)
            for e in range(starts[v], starts[v + 1]):
                u, product = other[e], np.float32(0)
                for i in range(size):
                    product += g[v, h, i] * x[u, h, i]
                to_score[e, h] = product
                mean += alpha[e, h] * product
            for e in range(starts[v], starts[v + 1]):
                to_score[e, h] = alpha[e, h] * (to_score[e, h] - mean)


@_compiled
def weighted_sum(
    first: int,
    last: int,
    starts: IntArray,
    other: IntArray,
    edge: IntArray,
    weight: FloatArray,
    others: FloatArray,
    to_own: FloatArray,
) -> None:
    """Add up weight_uv times the node at the other end over a node's edges."""
    n_heads, size = others.shape[1:]
    for v in range(first, last):
        for position in range(starts[v], starts[v + 1]):
            u = other[position]
            for h in range(n_heads):
                factor = weight[edge[position], h]
                for i in range(size):
                    to_own[v, h, i] += factor * others[u, h, i]


@_compiled
def scaled_scores(
    first: int,
    last: int,
    starts: IntArray,
    other: IntArray,
    kind: IntArray,
    q: FloatArray,
    k: FloatArray,
    scale: FloatArray,
    shift: FloatArray,
    score: FloatArray,
) -> None:
    """Fill s_uv = q_v . (k_u scale_t) + shift_t, t being the edge's kind.

    Args:
        first: First target.
        last: The target after the last.
        starts: Of the edges into each target.
        other: Their sources.
        kind: Their kinds, (n_edges,).
        q: Of targets.
        k: Of sources.
        scale: Of kinds, (n_kinds, n_heads, size).
        shift: Of kinds, (n_kinds, n_heads).
        score: Filled.
    """
    n_heads, size = q.shape[1:]
    for v in range(first, last):
        for e in range(starts[v], starts[v + 1]):
            u, t = other[e], kind[e]
            for h in range(n_heads):
                total = np.float32(0)
                for i in range(size):
                    total += q[v, h, i] * k[u, h, i] * scale[t, h, i]
                score[e, h] = total + shift[t, h]


@_compiled
def scaled_slopes(
    first: int,
    last: int,
    starts: IntArray,
    other: IntArray,
    edge: IntArray,
    kind: IntArray,
    scale: FloatArray,
    to_score: FloatArray,
    others: FloatArray,
    to_own: FloatArray,
) -> None:
    """Add up d s_uv scale_t times the node at the other end over a node's edges: to q of k, and to k of q."""
    n_heads, size = others.shape[1:]
    for v in range(first, last):
        for position in range(starts[v], starts[v + 1]):
            u, e = other[position], edge[position]
            for h in range(n_heads):
                slope = to_score[e, h]
                for i in range(size):
                    to_own[v, h, i] += slope * scale[kind[e], h, i] * others[u, h, i]


@_compiled
def kind_slopes(
    first: int,
    last: int,
    starts: IntArray,
    edge: IntArray,
    source: IntArray,
    target: IntArray,
    q: FloatArray,
    k: FloatArray,
    to_score: FloatArray,
    to_shift: FloatArray,
    to_scale: FloatArray,
) -> None:
    """Add up d s_uv q_v k_u, and d s_uv, over the edges of each kind, whose numbers `edge` has by kind."""
    n_heads, size = q.shape[1:]
    for t in range(first, last):
        for position in range(starts[t], starts[t + 1]):
            e = edge[position]
            u, v = source[e], target[e]
            for h in range(n_heads):
                slope = to_score[e, h]
                to_shift[t, h] += slope
                for i in range(size):
                    to_scale[t, h, i] += slope * q[v, h, i] * k[u, h, i]
