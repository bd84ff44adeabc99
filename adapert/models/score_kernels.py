"""The score of Eq. 10 with tanh on a CPU, and its gradient, fused: each element is computed where it is used.

With e_v = exp(-2 node_v) and f_p = exp(2 text_p), tanh(node_v + text_p) = 1 - 2 r for r = e / (e + f):
an addition and a division an element, which vectorise, instead of a tanh.
"""

import numpy as np

from adapert.data.schema import FloatArray
from adapert.models.compiled import compiled

BLOCK_NODES = 512
"""Nodes whose values stay in a core's cache."""


# Sums may be reordered, divisions estimated and refined. Nothing compares, so NaN passes through.
# Blocks are copied by loops: to compile an array's assignment to a block of another takes seconds.
_compiled = compiled(fastmath=True, error_model="numpy")


@_compiled
def sum_reciprocals(e: FloatArray, f: FloatArray, w: FloatArray, sums: FloatArray) -> None:
    """Fill ``sums[p, v]`` with the sum over k of w_k r_pkv.

    Args:
        e: exp(-2 node), float32, (score_size, n_nodes).
        f: exp(2 text), float32, (n_perturbations, score_size).
        w: float32, (score_size,).
        sums: float32, (n_perturbations, n_nodes).
    """
    score_size, n_nodes = e.shape
    for start in range(0, n_nodes, BLOCK_NODES):
        stop = min(start + BLOCK_NODES, n_nodes)
        e_block = np.empty((score_size, stop - start), np.float32)
        for k in range(score_size):
            for v in range(stop - start):
                e_block[k, v] = e[k, start + v]
        total = np.empty(stop - start, np.float32)
        for p in range(len(f)):
            total[:] = 0
            for k in range(score_size):
                e_k, f_pk, w_k = e_block[k], f[p, k], w[k]
                for v in range(stop - start):
                    total[v] += w_k * (e_k[v] / (e_k[v] + f_pk))
            for v in range(stop - start):
                sums[p, start + v] = total[v]


@_compiled
def sum_slopes(
    e: FloatArray,
    f: FloatArray,
    gradient: FloatArray,
    to_node: FloatArray,
    to_text: FloatArray,
    to_w: FloatArray,
) -> None:
    """Sum the gradient g of the scores times the slope r - r^2 (for w: times r).

    Args:
        e: As in `sum_reciprocals`.
        f: As in `sum_reciprocals`.
        gradient: g, float32, (n_perturbations, n_nodes).
        to_node: Filled with sums over p, (score_size, n_nodes).
        to_text: Zeros; sums over v are added, (n_perturbations, score_size).
        to_w: Zeros; sums over p and v are added, (score_size,).
    """
    score_size, n_nodes = e.shape
    for start in range(0, n_nodes, BLOCK_NODES):
        stop = min(start + BLOCK_NODES, n_nodes)
        e_block = np.empty((score_size, stop - start), np.float32)
        node_block = np.empty((score_size, stop - start), np.float32)
        for k in range(score_size):
            for v in range(stop - start):
                e_block[k, v], node_block[k, v] = e[k, start + v], 0
        for p in range(len(f)):
            g = gradient[p, start:stop]
            for k in range(score_size):
                e_k, node_k, f_pk = e_block[k], node_block[k], f[p, k]
                slope_sum, r_sum = np.float32(0), np.float32(0)
                for v in range(stop - start):
                    r = e_k[v] / (e_k[v] + f_pk)
                    g_r = g[v] * r
                    g_slope = g_r - g_r * r
                    r_sum += g_r
                    slope_sum += g_slope
                    node_k[v] += g_slope
                to_text[p, k] += slope_sum
                to_w[k] += r_sum
        for k in range(score_size):
            for v in range(stop - start):
                to_node[k, start + v] = node_block[k, v]
