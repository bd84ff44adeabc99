"""The graph of a trial: a data set's networks as its config picks, restricts and disturbs them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from adapert.config import Config, GraphConfig, read_sections
from adapert.data.array_tables import Edges, SharedTable
from adapert.data.schema import BoolArray, FloatArray, IntArray
from adapert.data.sources import NETWORKS, NONE, check_single, choose_sources
from adapert.errors import InputError, name_some
from adapert.seeding import numpy_generator


@dataclass(frozen=True, kw_only=True)
class TrialEdges:
    """Edges of one network that carry a message, by the number of a node in the trial's graph.

    Attributes:
        network: Its name.
        edge_source: Node an edge comes from, (n_edges,).
        edge_target: Node an edge goes into, (n_edges,).
        edge_weight: 1, or the network's confidence where ``graph.edge_weight`` says so, (n_edges,).
    """

    network: str
    edge_source: IntArray
    edge_target: IntArray
    edge_weight: FloatArray


@dataclass(frozen=True, kw_only=True)
class TrialGraph:
    """Nodes and networks of a trial.

    Attributes:
        nodes: The data set's number of each node of the graph, ascending, (n_nodes,).
        networks: Edges of each network, in the order in which they are picked.
    """

    nodes: IntArray
    networks: tuple[TrialEdges, ...]

    def single(self) -> TrialEdges:
        """Edges for a model that reads one network; no edge where none is picked.

        Raises:
            InputError: Several networks are picked.
        """
        check_single([edges.network for edges in self.networks])
        if self.networks:
            return self.networks[0]
        none = np.empty(0, dtype=np.int64)
        return TrialEdges(network=NONE, edge_source=none, edge_target=none, edge_weight=np.empty(0))


def build_trial_graph(shared: SharedTable, config: GraphConfig, seed: int) -> TrialGraph:
    """Pick networks and nodes, keep the top k edges into each node, and add noise, in this order.

    Before top-k, the next best edges would take the places of removed ones, and the dose would not be what it
    says. Each network has random streams of its own.

    Args:
        shared: The data set's networks.
        config: Which of them, nodes, edges and noise.
        seed: The trial's.

    Raises:
        InputError: A network that the data set does not have, or more random edges than there is room for.
    """
    nodes = graph_nodes(shared, config)
    place = node_places(shared, config)
    names = shared.network_names.tolist()
    networks = []
    for name in choose_sources(config.networks, names, NETWORKS):
        edges = select_edges(shared.edges_of(name), config, place, name)
        stream = "" if name == names[0] else f"/{name}"
        networks.append(_disturb(edges, config, len(nodes), seed, stream))
    return TrialGraph(nodes=nodes, networks=tuple(networks))


def is_random(config: GraphConfig) -> bool:
    """Whether a trial's seed changes its graph."""
    is_noisy = config.kept_fraction < 1 or config.added_fraction > 0 or config.rewired_fraction > 0
    return is_noisy or config.edges == "rewired"


def has_chance(config: Config) -> bool:
    """Whether a trial's seed changes the fit: it draws weights, noise in the graph, or whose text is whose.

    Reference models read neither a graph's settings nor that of the text.
    """
    reads_settings = "graph" in read_sections(config.model.name)
    is_drawn = is_random(config.graph) or config.data.text_embedding == "shuffled"
    return config.has_weights or (reads_settings and is_drawn)


def graph_nodes(shared: SharedTable, config: GraphConfig) -> IntArray:
    """Number the nodes of a trial's graph in the data set, ascending, (n_graph_nodes,)."""
    if config.nodes == "perturbed":
        return np.flatnonzero(shared.is_perturbed)
    return np.arange(len(shared.node_names))


def node_places(shared: SharedTable, config: GraphConfig) -> IntArray:
    """Number the data set's nodes in a trial's graph, -1 where it does not have one, (n_nodes,)."""
    nodes = graph_nodes(shared, config)
    place = np.full(len(shared.node_names), -1)
    place[nodes] = np.arange(len(nodes))
    return place


def check_in_graph(shared: SharedTable, config: GraphConfig, nodes: Iterable[int]) -> None:
    """Refuse genes, by their node, that are not in a trial's graph.

    Raises:
        InputError: One that ``graph.nodes`` leaves out.
    """
    place = node_places(shared, config)
    outside = sorted({node for node in nodes if place[node] < 0})
    if outside:
        refuse_outside(shared.node_names[outside].tolist())


def refuse_outside(genes: list[str]) -> None:
    """Say that genes are not in a graph of perturbed genes alone.

    Raises:
        InputError: Always.
    """
    verb = "is" if len(genes) == 1 else "are"
    raise InputError(
        f"With graph.nodes 'perturbed' a model knows the genes that are perturbed in its data alone, but "
        f"{name_some(genes)} {verb} not. Train one with graph.nodes 'all'."
    )


def select_edges(edges: Edges, config: GraphConfig, place: IntArray, network: str) -> TrialEdges:
    """Select the edges among a graph's nodes that carry a message: the top k into each, of a weight above 0.

    Args:
        edges: The network's.
        config: How many, and their weights.
        place: From `node_places`, (n_nodes,).
        network: Its name.
    """
    source, target = place[edges.edge_source], place[edges.edge_target]
    is_inside = (source >= 0) & (target >= 0)
    rank = np.asarray(edges.edge_rank) if is_inside.all() else _rank_again(edges, is_inside)
    is_kept = is_inside & (rank < config.top_k)
    if config.edge_weight == "confidence":
        is_kept &= np.asarray(edges.edge_score) > 0
    kept = np.flatnonzero(is_kept)
    weight = np.ones(len(kept)) if config.edge_weight == "uniform" else np.asarray(edges.edge_score[kept])
    return TrialEdges(network=network, edge_source=source[kept], edge_target=target[kept], edge_weight=weight)


def _rank_again(edges: Edges, is_inside: BoolArray) -> IntArray:
    """Rank the edges into each node among those that are inside, (n_edges,)."""
    target, rank = np.asarray(edges.edge_target), np.asarray(edges.edge_rank)
    order = np.lexsort((rank, target))
    order = order[is_inside[order]]
    _, first, n_into = np.unique(target[order], return_index=True, return_counts=True)
    again = np.zeros(len(rank), dtype=rank.dtype)
    again[order] = np.arange(len(order)) - np.repeat(first, n_into)
    return again


def _disturb(edges: TrialEdges, config: GraphConfig, n_nodes: int, seed: int, stream: str) -> TrialEdges:
    """Rewire, take and add as many edges as fractions of the given ones say."""
    source, target, weight = edges.edge_source, edges.edge_target, edges.edge_weight
    n_edges = len(source)
    if config.edges == "rewired":
        source = rewire_sources(source, target, numpy_generator(seed, f"rewiring{stream}"))
    if config.rewired_fraction:
        generator = numpy_generator(seed, f"rewired edges{stream}")
        chosen = generator.permutation(n_edges)[: round(config.rewired_fraction * n_edges)]
        source = rewire_sources(source, target, generator, np.sort(chosen))
    if config.kept_fraction < 1:
        order = numpy_generator(seed, f"kept edges{stream}").permutation(n_edges)
        kept = np.sort(order[: round(config.kept_fraction * n_edges)])
        source, target, weight = source[kept], target[kept], weight[kept]
    if n_added := round(config.added_fraction * n_edges):
        generator = numpy_generator(seed, f"added edges{stream}")
        new_source, new_target = draw_edges(source, target, n_nodes, n_added, generator)
        # Weights as the network's own edges have: others would tell which edges are new.
        new_weight = generator.choice(edges.edge_weight, size=n_added)
        source, target, weight = (
            np.concatenate(pair)
            for pair in ((source, new_source), (target, new_target), (weight, new_weight))
        )
    return TrialEdges(network=edges.network, edge_source=source, edge_target=target, edge_weight=weight)


def draw_edges(
    source: IntArray, target: IntArray, n_nodes: int, n_added: int, generator: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Draw directed edges that are not there yet, each as likely; none is of a node with itself.

    Args:
        source: Node each present edge comes from, (n_edges,).
        target: Node each present edge goes into, (n_edges,).
        n_nodes: Nodes.
        n_added: Edges to draw.
        generator: Draws them.

    Returns:
        Source and target of the new edges, (n_added,) each.

    Raises:
        InputError: There is no room for so many.
    """
    taken = np.unique(target.astype(np.int64) * n_nodes + source)
    room = n_nodes * (n_nodes - 1) - len(taken)
    if n_added > room:
        raise InputError(
            f"graph.added_fraction must leave room for the edges that it adds, but {n_added:,} do not fit "
            f"among {n_nodes:,} genes with {len(taken):,}. Choose a smaller fraction."
        )
    new = np.empty(0, dtype=np.int64)
    while len(new) < n_added:
        # One number for an edge; loops are never drawn: the source is one of the other nodes.
        into = generator.integers(n_nodes, size=2 * n_added)
        other = generator.integers(n_nodes - 1, size=2 * n_added)
        drawn = into * n_nodes + other + (other >= into)
        together = np.concatenate([new, drawn[~np.isin(drawn, taken)]])
        _, first = np.unique(together, return_index=True)
        new = together[np.sort(first)]  # in the order of the draws, of which the first are taken
    new = new[:n_added]
    return new % n_nodes, new // n_nodes


def rewire_sources(
    source: IntArray,
    target: IntArray,
    generator: np.random.Generator,
    chosen: IntArray | None = None,
    n_rounds: int = 200,
) -> IntArray:
    """Permute edge sources: every gene keeps its number of edges in and out.

    Args:
        source: Node each edge comes from, (n_edges,).
        target: Node each edge goes into, (n_edges,).
        generator: Draws the permutation.
        chosen: Edges that exchange sources, ascending, (n_chosen,); None for all.
        n_rounds: Attempts to undo self-loops and repeated edges by swapping with random edges.

    Returns:
        New sources, (n_edges,). On very dense graphs a few self-loops or repeats may remain.
    """
    moved = np.arange(len(source)) if chosen is None else chosen
    rewired = source.copy()
    rewired[moved] = generator.permutation(source[moved])
    # Edges that stay come first: of a repeated edge the one that moved is swapped again.
    order = np.concatenate([np.setdiff1d(np.arange(len(source)), moved), moved])
    for _ in range(n_rounds):
        # One number an edge, of which repeated edges have the same.
        key = target.astype(np.int64) * (source.max(initial=0) + 1) + rewired
        _, first = np.unique(key[order], return_index=True)
        is_bad = np.ones(len(rewired), dtype=bool)
        is_bad[order[first]] = False
        is_bad |= rewired == target
        bad = moved[is_bad[moved]]
        if not len(bad):
            break
        # A swap of two sources keeps every degree.
        for edge, other in zip(bad, moved[generator.integers(len(moved), size=len(bad))], strict=True):
            rewired[edge], rewired[other] = rewired[other], rewired[edge]
    return rewired
