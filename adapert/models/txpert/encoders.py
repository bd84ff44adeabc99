"""How TxPert embeds genes: graph attention on one network, or on several by one of three ways."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from adapert.config import TxPertConfig
from adapert.data.trial_graph import TrialGraph
from adapert.models.graph_attention.expander import random_expander
from adapert.models.graph_attention.exphormer import ExphormerStack
from adapert.models.graph_attention.graph import AttentionGraph
from adapert.models.graph_attention.hybrid import HybridStacks
from adapert.models.graph_attention.layer import AttentionKind
from adapert.models.graph_attention.multilayer import MultilayerStack, join_networks
from adapert.models.graph_attention.stack import GraphAttentionStack

N_CYCLES = 3
"""Half of the random edges that Exphormer gives each gene."""

GraphEncoder: TypeAlias = GraphAttentionStack | HybridStacks | MultilayerStack | ExphormerStack
"""Embeds all genes: ``forward(h, generator)`` maps (n_nodes, size) to (n_nodes, out_size)."""


def build_graphs(graph: TrialGraph, self_loops: bool) -> list[AttentionGraph]:
    """Sort the edges of each network that a trial reads; without any there is one graph without edges."""
    networks = graph.networks or (graph.single(),)
    return [
        AttentionGraph(edges.edge_source, edges.edge_target, len(graph.nodes), self_loops)
        for edges in networks
    ]


def _stack(graph: AttentionGraph, config: TxPertConfig, layer: AttentionKind) -> GraphAttentionStack:
    return GraphAttentionStack(
        graph,
        config.size,
        layer=layer,
        n_layers=config.n_layers,
        size=config.size,
        n_heads=config.n_heads,
        skip=config.skip,
        norm=config.norm,
        dropout=config.dropout,
    )


def _gat(
    graphs: Sequence[AttentionGraph], config: TxPertConfig, generator: np.random.Generator
) -> GraphAttentionStack:
    return _stack(graphs[0], config, "gat")


def _gat_v2(
    graphs: Sequence[AttentionGraph], config: TxPertConfig, generator: np.random.Generator
) -> GraphAttentionStack:
    return _stack(graphs[0], config, "gat_v2")


def _hybrid(
    graphs: Sequence[AttentionGraph], config: TxPertConfig, generator: np.random.Generator
) -> HybridStacks:
    stacks = [_stack(graph, config, "gat_v2") for graph in graphs]
    return HybridStacks(stacks, config.size, n_heads=config.n_heads, dropout=config.dropout)


def _multilayer(
    graphs: Sequence[AttentionGraph], config: TxPertConfig, generator: np.random.Generator
) -> MultilayerStack:
    return MultilayerStack(_stack(join_networks(graphs), config, "gat_v2"), len(graphs))


def _exphormer(
    graphs: Sequence[AttentionGraph], config: TxPertConfig, generator: np.random.Generator
) -> ExphormerStack:
    return ExphormerStack(
        graphs,
        random_expander(graphs[0].n_nodes, N_CYCLES, generator),
        config.size,
        n_layers=config.n_layers,
        n_heads=config.n_heads,
        norm=config.norm,
        dropout=config.dropout,
    )


GRAPH_ENCODERS: dict[
    str, Callable[[Sequence[AttentionGraph], TxPertConfig, np.random.Generator], GraphEncoder]
] = {
    "gat": _gat,
    "gat_v2": _gat_v2,
    "hybrid": _hybrid,
    "multilayer": _multilayer,
    "exphormer": _exphormer,
}
"""What ``txpert.layer`` names, made of a graph a network, sizes and a generator of random edges."""
