"""How many times as fast a layer of graph attention is as torch-geometric's, forward and backward."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.layer import ATTENTION_LAYERS, AttentionKind, GraphAttention
from adapert.training.loop import flushed_denormals
from adapert.training.threads import threads
from benchmarks.measurement import Measurement

TOP_K, N_HEADS, SIZE = 20, 2, 128
CASES: tuple[tuple[AttentionKind, int, float | None], ...] = (
    ("gat_v2", 5_000, 8),
    ("gat_v2", 1_087, None),
    ("gat", 5_000, None),
    ("gat", 1_087, None),
)
"""Kind of attention, nodes, target."""

N_ROUNDS = 13
"""Of which the first compiles, and the fastest counts: what else the machine does only ever adds. CPU seconds
of the one thread, for the same reason."""

TINY = 1e-38
"""A scale of gradients at which about half of their products are denormal."""


def measure(scratch: Path) -> Iterator[Measurement]:
    """Run one layer in turn with torch-geometric's on one thread. Nothing is kept in `scratch`."""
    with threads(1):
        for kind, n_nodes, target in CASES:
            yield _compare(kind, n_nodes, target)
        yield _flush()


def _compare(kind: AttentionKind, n_nodes: int, target: float | None) -> Measurement:
    graph, layer, h = _draw(kind, n_nodes)
    weight = torch.randn(n_nodes, N_HEADS * SIZE)

    def fused() -> None:
        layer(h, graph).backward(weight)

    def of_pyg() -> None:
        layer.conv(h, graph.edge_index).backward(weight)

    ours, theirs = _fastest([fused, of_pyg])
    return Measurement(
        name=f"{kind}_{n_nodes}",
        value=theirs / ours,
        unit="times",
        target=target,
        bound="at least",
        note=f"{1e3 * ours:.1f} ms, torch-geometric {1e3 * theirs:.0f} ms; {n_nodes:,} nodes, {TOP_K} edges "
        f"and a loop into each, {N_HEADS} heads of {SIZE}",
    )


def _flush() -> Measurement:
    graph, layer, h = _draw("gat_v2", 1_087)
    weight = torch.randn(1_087, N_HEADS * SIZE)

    def run(gradient: Tensor) -> None:
        layer(h, graph).backward(gradient)

    tiny = partial(run, TINY * weight)
    ordinary, flushed, kept = _fastest([partial(run, weight), flushed_denormals()(tiny), tiny])
    return Measurement(
        name="gat_denormals",
        value=flushed / ordinary,
        unit="times",
        target=1.5,
        note=f"{1e3 * flushed:.1f} ms with gradients of {TINY}, {1e3 * ordinary:.1f} ms with those of 1; "
        f"{1e3 * kept:.1f} ms where denormals are kept",
    )


def _draw(kind: AttentionKind, n_nodes: int) -> tuple[AttentionGraph, GraphAttention, Tensor]:
    generator = np.random.default_rng(0)
    source = np.concatenate([generator.choice(n_nodes, size=TOP_K, replace=False) for _ in range(n_nodes)])
    graph = AttentionGraph(source, np.repeat(np.arange(n_nodes), TOP_K), n_nodes, self_loops=True)
    return graph, ATTENTION_LAYERS[kind](SIZE, SIZE, N_HEADS), torch.randn(n_nodes, SIZE, requires_grad=True)


def _fastest(works: list[Callable[[], None]]) -> list[float]:
    """Time pieces of work in turn, and take the minimum of each."""
    rounds = [[_cpu_seconds(work) for work in works] for _ in range(N_ROUNDS)]
    return [min(times) for times in zip(*rounds[1:], strict=True)]


def _cpu_seconds(work: Callable[[], None]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started
