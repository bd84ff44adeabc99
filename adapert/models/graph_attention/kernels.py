"""Attention over a graph's edges on a CPU, and its gradient, fused: nothing of (n_edges, size) is stored.

With edges u -> v, per head

    s_uv = a . LeakyReLU(p_u + q_v)
    alpha_uv = softmax of s_uv over the edges into v
    out_v = sum over u of alpha_uv x_u

which is GATv2 (Brody et al., 2022) where p = x, and GAT (Velickovic et al., 2018) where p and q are a
node's two shares of the score and a = 1.

A kernel does the nodes from `first` up to `last`, and writes to no others, so that threads share the work.
All numbers are float32; x and its gradients are (n_nodes, n_heads, size), p and q (n_nodes, n_heads,
score_size), a (n_heads, score_size), what belongs to edges (n_edges, n_heads) in the order of targets.
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
def attend(
    first: int,
    last: int,
    starts: IntArray,
    source: IntArray,
    x: FloatArray,
    p: FloatArray,
    q: FloatArray,
    a: FloatArray,
    alpha: FloatArray,
    out: FloatArray,
) -> None:
    """Fill alpha of the edges into each node, and add to its row of `out`.

    Args:
        first: First target.
        last: The target after the last.
        starts: Number of each target's first edge, (n_nodes + 1,).
        source: Source of each edge, (n_edges,).
        x: Values.
        p: The sources' part of the hidden units.
        q: The targets' part.
        a: Weights of the hidden units.
        alpha: Filled.
        out: Zeros; a target without edges keeps them.
    """
    n_heads, size = x.shape[1:]
    for v in range(first, last):
        for h in range(n_heads):
            largest = np.float32(-np.inf)
            for e in range(starts[v], starts[v + 1]):
                u, score = source[e], np.float32(0)
                for c in range(a.shape[1]):
                    hidden = p[u, h, c] + q[v, h, c]
                    score += a[h, c] * (hidden if hidden > 0 else _SLOPE * hidden)
                alpha[e, h] = score
                largest = max(largest, score)
            total = np.float32(0)
            for e in range(starts[v], starts[v + 1]):
                alpha[e, h] = np.exp(alpha[e, h] - largest)
                total += alpha[e, h]
            for e in range(starts[v], starts[v + 1]):
                alpha[e, h] /= total
                u, weight = source[e], alpha[e, h]
                for c in range(size):
                    out[v, h, c] += weight * x[u, h, c]


@_compiled
def spread_to_targets(
    first: int,
    last: int,
    starts: IntArray,
    source: IntArray,
    x: FloatArray,
    p: FloatArray,
    q: FloatArray,
    alpha: FloatArray,
    g: FloatArray,
    to_score: FloatArray,
    to_target: FloatArray,
) -> None:
    """Take the gradient g of `out` back to the scores, and to the targets' hidden units.

    d s_uv = alpha_uv (g_v . x_u - sum over u' of alpha_u'v g_v . x_u')

    Args:
        first: First target.
        last: The target after the last.
        starts: As in `attend`.
        source: As in `attend`.
        x: As in `attend`.
        p: As in `attend`.
        q: As in `attend`.
        alpha: As `attend` left it.
        g: As x.
        to_score: Filled with d s.
        to_target: Zeros, as q; sums over u of d s_uv LeakyReLU'(p_u + q_v) are added.
    """
    n_heads, size = x.shape[1:]
    for v in range(first, last):
        for h in range(n_heads):
            mean = np.float32(0)
            for e in range(starts[v], starts[v + 1]):
                u, product = source[e], np.float32(0)
                for c in range(size):
                    product += g[v, h, c] * x[u, h, c]
                to_score[e, h] = product
                mean += alpha[e, h] * product
            for e in range(starts[v], starts[v + 1]):
                u, slope = source[e], alpha[e, h] * (to_score[e, h] - mean)
                to_score[e, h] = slope
                for c in range(q.shape[2]):
                    to_target[v, h, c] += slope if p[u, h, c] + q[v, h, c] > 0 else _SLOPE * slope


@_compiled
def spread_to_sources(
    first: int,
    last: int,
    starts: IntArray,
    target: IntArray,
    edge: IntArray,
    p: FloatArray,
    q: FloatArray,
    alpha: FloatArray,
    g: FloatArray,
    to_score: FloatArray,
    to_source: FloatArray,
    to_x: FloatArray,
) -> None:
    """Take gradients back to the sources: their hidden units, and their values.

    Args:
        first: First source.
        last: The source after the last.
        starts: Position of each source's first edge, (n_nodes + 1,).
        target: Target of each edge, in the order of sources, (n_edges,).
        edge: Number of each edge in the order of targets, (n_edges,).
        p: As in `attend`.
        q: As in `attend`.
        alpha: As `attend` left it.
        g: As in `spread_to_targets`.
        to_score: As `spread_to_targets` left it.
        to_source: Zeros, as p; sums over v of d s_uv LeakyReLU'(p_u + q_v) are added.
        to_x: Zeros, as x; sums over v of alpha_uv g_v are added.
    """
    n_heads, size = g.shape[1:]
    for u in range(first, last):
        for h in range(n_heads):
            for position in range(starts[u], starts[u + 1]):
                v, weight, slope = target[position], alpha[edge[position], h], to_score[edge[position], h]
                for c in range(size):
                    to_x[u, h, c] += weight * g[v, h, c]
                for c in range(p.shape[2]):
                    to_source[u, h, c] += slope if p[u, h, c] + q[v, h, c] > 0 else _SLOPE * slope
