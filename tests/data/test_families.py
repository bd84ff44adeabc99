"""Families of perturbations, from the network, gene sets and responses."""

from collections.abc import Mapping
from pathlib import Path

import networkx
import numpy as np
import pytest
from fixtures.command import RunCommand, Simulated
from fixtures.experiment import Experiment
from fixtures.preparing import Prepare

from adapert.data.array_tables import Edges
from adapert.data.families import (
    describe_families,
    find_network_families,
    find_response_families,
    find_set_families,
)
from adapert.data.prepared import PreparedDataset, read_prepared
from adapert.data.schema import SPLITS
from adapert.errors import InputError
from adapert.seeding import derive_seed


def edges_of(pairs: Mapping[tuple[int, int], float]) -> Edges:
    both = {**pairs, **{(target, source): score for (source, target), score in pairs.items()}}
    source, target = np.array(list(both)).T
    return Edges(
        edge_source=source,
        edge_target=target,
        edge_score=np.array(list(both.values())),
        edge_rank=np.zeros(len(both), dtype=int),
    )


GENES = np.array(["A", "B", "C", "D", "E", "F", "G"])
TWO_TRIANGLES = {(0, 1): 900, (1, 2): 900, (0, 2): 900, (3, 4): 900, (4, 5): 900, (3, 5): 900, (2, 3): 100}


def members(families: dict[str, str]) -> set[frozenset[str]]:
    return {
        frozenset(name for name, own in families.items() if own == family) for family in families.values()
    }


def test_communities_of_the_network_are_families_and_a_gene_without_edges_is_alone() -> None:
    found = find_network_families(GENES.tolist(), edges_of(TWO_TRIANGLES), GENES)
    assert found == {"A": "A", "B": "A", "C": "A", "D": "D", "E": "D", "F": "D", "G": "G"}


def test_families_of_single_genes_are_louvain_communities_of_networkx() -> None:
    generator = np.random.default_rng(0)
    block = np.arange(60) // 12
    names = np.array([f"G{node:02d}" for node in range(60)])
    is_edge = generator.random((60, 60)) < np.where(block[:, None] == block, 0.5, 0.04)
    pairs = {(a, b): generator.uniform(1, 9) for a, b in np.argwhere(np.triu(is_edge, 1)).tolist()}
    largest = max(pairs.values())
    graph = networkx.Graph()
    graph.add_nodes_from(range(60))
    graph.add_weighted_edges_from((a, b, score / largest) for (a, b), score in sorted(pairs.items()))
    expected = networkx.community.louvain_communities(graph, seed=derive_seed(0, "families"))
    found = find_network_families(names.tolist(), edges_of(pairs), names)
    assert members(found) == {frozenset(names[sorted(nodes)].tolist()) for nodes in expected}
    assert len(members(found)) == 5


def test_families_do_not_depend_on_the_order_of_perturbations_and_edges() -> None:
    found = find_network_families(GENES.tolist(), edges_of(TWO_TRIANGLES), GENES)
    turned = dict(reversed(TWO_TRIANGLES.items()))
    assert find_network_families(GENES[::-1].tolist(), edges_of(turned), GENES) == found


def test_combinations_that_share_a_gene_are_of_one_family() -> None:
    found = find_network_families(["A+G", "B+G", "D", "E"], edges_of(TWO_TRIANGLES), GENES)
    assert members(found) == {frozenset({"A+G", "B+G"}), frozenset({"D", "E"})}


def test_a_gene_counts_in_its_smallest_set_and_a_combination_in_the_smallest_of_its_genes() -> None:
    sets = {"large": ["A", "B", "C", "D"], "small": ["B", "c_alias"], "other": ["X", "Y"]}
    names = ["A", "B", "C", "D+B", "E"]
    found = find_set_families(names, sets, Path("s.gmt"), {"c_alias": ("C",)})
    assert members(found) == {frozenset({"A"}), frozenset({"B", "C", "D+B"}), frozenset({"E"})}


def test_sets_without_a_perturbed_gene_are_refused() -> None:
    with pytest.raises(InputError, match=r"share genes with the data, but of the 2 in 's.gmt' \('x', 'y'\)"):
        find_set_families(["A"], {"s": ["x", "y"]}, Path("s.gmt"), {})


def test_alike_responses_are_a_family_whatever_all_have_in_common() -> None:
    generator = np.random.default_rng(1)
    common, first, second = generator.normal(size=(3, 200))
    own = 0.3 * generator.normal(size=(6, 200))
    effects = np.stack([first, first, first, second, second, np.zeros(200)])
    delta = (5 * common + effects + own).astype(np.float32)
    found = find_response_families(["F", "B", "C", "D", "E", "A"], delta)
    assert members(found) == {frozenset("FBC"), frozenset("DE"), frozenset("A")}
    assert found["F"] == "B"


def test_families_by_responses_never_relate_test_perturbations_to_others(experiment: Experiment) -> None:
    dataset = experiment.prepare(families="responses")
    families = {name: set(dataset.splits[name].table.family.tolist()) for name in SPLITS}
    assert not families["test"] & (families["train"] | families["validation"])
    others = {name for split in ("train", "validation") for name in _names(dataset, split)}
    assert families["train"] | families["validation"] <= others


def _names(dataset: PreparedDataset, split: str) -> list[str]:
    names: list[str] = dataset.splits[split].table.perturbations.tolist()  # type: ignore[index]
    return names


def test_only_other_families_than_the_network_s_give_another_fingerprint(
    experiment: Experiment, tmp_path: Path
) -> None:
    of_network = experiment.prepare()
    genes = sorted(of_network.shared.node_names[of_network.shared.is_perturbed].tolist())
    sets = tmp_path / "sets.gmt"
    sets.write_text("\t".join(["pathway", "", *genes]) + "\n")
    of_sets, of_responses = experiment.prepare(families=sets), experiment.prepare(families="responses")
    assert len({each.fingerprint for each in (of_network, of_sets, of_responses)}) == 3
    assert [each.manifest.families for each in (of_network, of_sets, of_responses)] == [
        *("network", "gene sets", "responses")
    ]
    assert {family for name in SPLITS for family in of_sets.splits[name].table.family.tolist()} == {genes[0]}


def test_prepare_shows_families_of_gene_sets_and_keeps_them(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--out", "out"]
    ended = adapert("prepare", simulated.cells, *files, "--split-fractions", "0.5", "0.2", "0.3")
    assert ended.status == 0
    dataset = read_prepared(tmp_path / "out", SPLITS)
    shown = [
        f"{name} {describe_families(split.table.family.tolist())}" for name, split in dataset.splits.items()
    ]
    assert " ".join(f"families by network {', '.join(shown)}".split()) in " ".join(ended.out.split())
    names = [name for split in dataset.splits.values() for name in split.table.perturbations.tolist()]
    expected = find_network_families(names, dataset.shared, dataset.shared.node_names)
    for split in dataset.splits.values():
        assert split.table.family.tolist() == [expected[name] for name in split.table.perturbations.tolist()]


def test_families_are_described_by_number_and_size() -> None:
    assert describe_families(["A", "A", "A", "B", "B", "C"]) == "3 (1 of one perturbation, largest 3, 2, 1)"
    assert describe_families(["A", "B"]) == "2 (2 of one perturbation)"


def test_families_that_are_no_file_are_refused_with_the_nearest_word(prepare: Prepare) -> None:
    refused = prepare(families="netwrok")
    assert "'network', 'responses' or a file of gene sets (.gmt), but there is no file 'netwrok'." in refused
    assert "Did you mean 'network'?" in refused
