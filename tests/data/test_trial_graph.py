from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fixtures.dataset import build_tiny_dataset, with_second_network

from adapert.config import Config, GraphConfig
from adapert.data.array_tables import SharedTable
from adapert.data.trial_graph import (
    TrialEdges,
    build_trial_graph,
    check_in_graph,
    draw_edges,
    has_chance,
    is_random,
    rewire_sources,
)
from adapert.errors import InputError
from adapert.registry import build_model

SHARED = with_second_network(build_tiny_dataset()).shared
N_NODES = len(SHARED.node_names)


def first_edges(shared: SharedTable = SHARED, seed: int = 0, **graph: Any) -> TrialEdges:
    return build_trial_graph(shared, GraphConfig(**graph), seed).networks[0]


def pairs(edges: TrialEdges) -> list[tuple[int, int]]:
    return list(zip(edges.edge_source.tolist(), edges.edge_target.tolist(), strict=True))


def sparse_edges(n_nodes: int = 60, n_edges: int = 240, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    pairs = np.array([(s, t) for s in range(n_nodes) for t in range(n_nodes) if s != t])
    return pairs[generator.choice(len(pairs), size=n_edges, replace=False)].T


@pytest.mark.parametrize("seed", range(5))
def test_rewiring_keeps_every_number_of_edges_in_and_out(seed: int) -> None:
    source, target = sparse_edges()
    rewired = rewire_sources(source, target, np.random.default_rng(seed))
    assert np.array_equal(np.bincount(rewired, minlength=60), np.bincount(source, minlength=60))
    assert not np.array_equal(rewired, source)


@pytest.mark.parametrize("seed", range(5))
def test_rewiring_of_a_sparse_graph_makes_no_self_loop_and_no_repeated_edge(seed: int) -> None:
    source, target = sparse_edges()
    rewired = rewire_sources(source, target, np.random.default_rng(seed))
    assert (rewired != target).all()
    assert len(set(zip(rewired.tolist(), target.tolist(), strict=True))) == len(source)


@pytest.mark.parametrize("seed", range(5))
def test_only_chosen_edges_exchange_sources_and_none_becomes_a_repeat(seed: int) -> None:
    source, target = sparse_edges()
    chosen = np.arange(0, len(source), 3)
    rewired = rewire_sources(source, target, np.random.default_rng(seed), chosen)
    stays = np.setdiff1d(np.arange(len(source)), chosen)
    assert np.array_equal(rewired[stays], source[stays])
    assert sorted(rewired[chosen]) == sorted(source[chosen])
    assert (rewired != target).all()
    assert len(set(zip(rewired.tolist(), target.tolist(), strict=True))) == len(source)


@pytest.mark.parametrize("edge_weight", ["uniform", "confidence"])
@pytest.mark.parametrize("top_k", [1, 3])
def test_the_best_edges_among_perturbed_genes_are_those_of_a_plain_loop(top_k: int, edge_weight: str) -> None:
    perturbed = [0, 1, 2, 5, 7, 8, 11, 13]
    shared = replace(SHARED, is_perturbed=np.isin(np.arange(N_NODES), perturbed))
    expected = {}
    for target in perturbed:
        into = [
            (-float(shared.edge_score[edge]), int(shared.edge_source[edge]))
            for edge in np.flatnonzero(shared.edge_target == target)
            if shared.edge_source[edge] in perturbed
        ]
        for score, source in sorted(into)[:top_k]:
            weight = 1.0 if edge_weight == "uniform" else -score
            expected[perturbed.index(source), perturbed.index(target)] = weight
    graph = GraphConfig(nodes="perturbed", top_k=top_k, edge_weight=edge_weight)
    built = build_trial_graph(shared, graph, 0)
    edges = built.networks[0]
    assert built.nodes.tolist() == perturbed
    assert dict(zip(pairs(edges), edges.edge_weight.tolist(), strict=True)) == expected


def test_order_of_edges_makes_no_difference_to_those_of_perturbed_genes() -> None:
    order = np.random.default_rng(1).permutation(len(SHARED.edge_source))
    fields = ("edge_source", "edge_target", "edge_score", "edge_rank")
    shared = replace(SHARED, is_perturbed=np.arange(N_NODES) < 9)
    shuffled = replace(shared, **{field: getattr(SHARED, field)[order] for field in fields})
    one, other = (first_edges(each, nodes="perturbed", top_k=2) for each in (shared, shuffled))
    assert sorted(pairs(one)) == sorted(pairs(other))


def test_networks_are_picked_by_name_in_their_order() -> None:
    def picked(networks: str) -> list[str]:
        graph = build_trial_graph(SHARED, GraphConfig(networks=networks), 0)
        return [edges.network for edges in graph.networks]

    assert picked("") == ["network"]
    assert picked("go") == ["go"]
    assert picked("go+network") == ["go", "network"]
    assert picked("none") == []
    go = build_trial_graph(SHARED, GraphConfig(networks="network+go"), 0).networks[1]
    assert np.array_equal(go.edge_source, SHARED.networks["go"].edge_source)


def test_noise_comes_after_top_k_in_the_dose_that_is_asked_for() -> None:
    whole = set(pairs(first_edges(top_k=3)))
    kept = set(pairs(first_edges(top_k=3, kept_fraction=0.6)))
    added = pairs(first_edges(top_k=3, added_fraction=0.5))
    assert kept < whole
    assert len(kept) == round(0.6 * len(whole))
    assert set(added) > whole
    assert len(added) == len(set(added)) == len(whole) + round(0.5 * len(whole))
    assert all(source != target for source, target in added)


def test_no_edge_may_be_kept_at_all() -> None:
    assert pairs(first_edges(kept_fraction=0.0)) == []


@pytest.mark.parametrize("fraction", [0.2, 0.6, 1.0])
def test_rewiring_a_fraction_keeps_degrees_and_the_other_edges(fraction: float) -> None:
    before, after = (first_edges(top_k=3, rewired_fraction=share) for share in (0.0, fraction))
    assert np.array_equal(before.edge_target, after.edge_target)
    assert np.array_equal(np.sort(before.edge_source), np.sort(after.edge_source))
    n_moved = len(set(pairs(before)) - set(pairs(after)))
    assert 0 < n_moved <= round(fraction * len(before.edge_source))


def test_added_edges_weigh_as_the_networks_own_do() -> None:
    edges = first_edges(top_k=3, added_fraction=1.0, edge_weight="confidence")
    own = first_edges(top_k=3, edge_weight="confidence")
    assert np.array_equal(edges.edge_weight[: len(own.edge_weight)], own.edge_weight)
    assert set(edges.edge_weight.tolist()) == set(own.edge_weight.tolist())


@pytest.mark.parametrize("noise", ["kept_fraction", "added_fraction", "rewired_fraction"])
def test_noise_is_drawn_from_the_seed_and_not_alike_for_two_networks(noise: str) -> None:
    shared = replace(SHARED, networks={"go": SHARED.edges_of("network")})

    def edges(seed: int) -> list[list[tuple[int, int]]]:
        config = GraphConfig(networks="network+go", **{noise: 0.5})
        return [pairs(network) for network in build_trial_graph(shared, config, seed).networks]

    assert edges(0) == edges(0)
    assert edges(0) != edges(1)
    assert edges(0)[0] != edges(0)[1]
    assert is_random(GraphConfig(**{noise: 0.5}))


def test_a_graph_without_noise_is_the_same_for_every_seed() -> None:
    assert not is_random(GraphConfig(nodes="perturbed", top_k=3))
    assert pairs(first_edges(seed=0, top_k=3)) == pairs(first_edges(seed=1, top_k=3))


def test_every_absent_edge_is_as_likely_to_be_drawn() -> None:
    source, target = np.array([0, 1, 2]), np.array([1, 2, 3])
    counts = np.zeros((4, 4))
    for seed in range(3_000):
        new = draw_edges(source, target, 4, 2, np.random.default_rng(seed))
        counts[new] += 1
    counts[source, target] = counts[np.diag_indices(4)] = np.nan
    present = counts[~np.isnan(counts)]
    assert len(present) == 9
    # 6,000 draws over 9 edges: a standard deviation of 23.
    assert np.abs(present - 6_000 / 9).max() < 4 * 23


def test_all_absent_edges_may_be_drawn_but_no_more() -> None:
    source, target = np.array([0]), np.array([1])
    new = draw_edges(source, target, 3, 5, np.random.default_rng(0))
    assert len(set(zip(*map(np.ndarray.tolist, new), strict=True))) == 5
    with pytest.raises(InputError, match=r"added_fraction must leave room .* but 6 do not fit among 3 genes"):
        draw_edges(source, target, 3, 6, np.random.default_rng(0))


def test_a_gene_outside_of_the_graph_is_refused_by_name() -> None:
    shared = replace(SHARED, is_perturbed=np.arange(N_NODES) < 9)
    check_in_graph(shared, GraphConfig(), range(N_NODES))
    check_in_graph(shared, GraphConfig(nodes="perturbed"), range(9))
    with pytest.raises(InputError, match=r"graph\.nodes 'perturbed' .* but 'G09', 'G12' are not\. Train"):
        check_in_graph(shared, GraphConfig(nodes="perturbed"), [0, 12, 9])


@pytest.mark.parametrize(
    "changes",
    [
        {"model.name": "adapert", "training.max_epochs": 1},
        {"model.name": "kernel_ridge"},
        {"model.name": "kernel_ridge", "graph.edges": "rewired"},
        {"model.name": "kernel_ridge", "graph.added_fraction": 0.5},
        {"model.name": "kernel_ridge", "data.text_embedding": "shuffled"},
        {"model.name": "ridge_text", "data.text_embedding": "shuffled"},
        {"model.name": "ridge_network", "graph.edges": "rewired"},
        {"model.name": "mean"},
    ],
    ids=lambda changes: "-".join(str(value) for value in changes.values()),
)
def test_fits_of_two_seeds_differ_where_there_is_chance(changes: dict[str, Any]) -> None:
    config, dataset = Config().with_changes(changes), build_tiny_dataset()
    first, second = (build_model(config, seed, torch.device("cpu")) for seed in (0, 1))
    for model in (first, second):
        model.fit(dataset)
    wanted = [str(name) for name in dataset.splits["validation"].table.perturbations]
    is_same = np.array_equal(first.predict(wanted), second.predict(wanted))
    assert has_chance(config) != is_same
