import gzip
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.metrics.pairwise import cosine_similarity

from adapert.data import row_chunks
from adapert.data.array_tables import Edges
from adapert.data.networks import KEPT_PAIRS, find_infos, jaccard_pairs, read_networks, similar_pairs
from adapert.errors import InputError

SETS = "ONE\tx\tA\tB\tC\nTWO\tx\tA\tB\nTHREE\tx\tC\tD\nFOUR\tx\tE\n"


def read(path: Path) -> Callable[[list[str]], Edges]:
    network = read_networks({"network": path}, {})["network"]
    return lambda nodes: network.connect(np.array(nodes), {})


def named(edges: Edges, nodes: list[str]) -> dict[tuple[str, str], float]:
    ends = zip(edges.edge_source.tolist(), edges.edge_target.tolist(), edges.edge_score.tolist(), strict=True)
    return {(nodes[source], nodes[target]): round(score, 6) for source, target, score in ends}


@pytest.mark.parametrize("name", ["go.gmt", "go.GMT.gz"])
def test_gene_sets_join_genes_by_the_jaccard_index_of_their_sets(tmp_path: Path, name: str) -> None:
    content = SETS.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    nodes = ["D", "C", "B", "A", "X"]
    edges = read(tmp_path / name)(nodes)
    third = round(1 / 3, 6)
    both = {("A", "B"): 1.0, ("A", "C"): third, ("B", "C"): third, ("C", "D"): 0.5}
    assert named(edges, nodes) == both | {(b, a): score for (a, b), score in both.items()}
    into_c = [nodes[source] for source in edges.edge_source[edges.edge_target == 1]]
    assert into_c == ["D", "A", "B"]
    assert edges.edge_rank[edges.edge_target == 1].tolist() == [0, 1, 2]


def test_jaccard_pairs_are_those_of_python_sets_whatever_is_in_memory_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)
    memberships = (generator.random((40, 60)) < 0.15).astype(np.int32)
    sets = [set(np.flatnonzero(row).tolist()) for row in memberships]
    expected = {}
    for first, second in combinations(range(40), 2):
        jaccard = len(sets[first] & sets[second]) / len(sets[first] | sets[second])
        if jaccard > 0.1:
            expected[first, second] = pytest.approx(jaccard)
    for at_once in (10**6, 100):
        monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", at_once)
        found = jaccard_pairs(scipy.sparse.csr_array(memberships))
        assert dict(zip(zip(found["first"], found["second"], strict=True), found["score"], strict=True)) == (
            expected
        )


def test_similar_pairs_are_the_best_of_scikit_learns_cosines_whatever_is_in_memory_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.random.default_rng(0).normal(size=(70, 5))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = np.abs(cosine_similarity(rows))
    upper = list(combinations(range(70), 2))
    best = sorted(upper, key=lambda pair: -cosine[pair])[: round(KEPT_PAIRS * len(upper))]
    for at_once in (10**6, 150):
        monkeypatch.setattr(row_chunks, "VALUES_AT_ONCE", at_once)
        found = similar_pairs(rows)
        assert set(zip(found["first"], found["second"], strict=True)) == set(best)
        np.testing.assert_allclose(found["score"], cosine[found["first"], found["second"]], rtol=1e-6)


def test_pairs_as_alike_as_the_last_that_counts_count_too() -> None:
    assert len(similar_pairs(np.tile([1.0, 0.0], (4, 1)))) == 6


def write_embeddings(path: Path, nodes: list[str]) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(nodes), 4))
    if path.suffix == ".npz":
        np.savez(path, symbols=np.array(nodes), embedding=vectors)
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        rows = [separator.join([node, *map(str, row)]) for node, row in zip(nodes, vectors, strict=True)]
        path.write_text("\n".join([separator.join("gabcd"), *rows]) + "\n")


def test_embeddings_are_a_network_in_every_form_and_order_of_nodes(tmp_path: Path) -> None:
    nodes = [f"G{number:02d}" for number in range(30)]
    found = []
    for name in ("screen.npz", "screen.csv", "screen.tsv"):
        write_embeddings(tmp_path / name, nodes)
        found += [named(read(tmp_path / name)(order), order) for order in (nodes, nodes[::-1])]
    assert all(one == found[0] for one in found)
    assert len(found[0]) == 2 * round(KEPT_PAIRS * 435)


def test_a_table_of_pairs_stays_one(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text("score,source,target\n900,A,B\n")
    assert named(read(tmp_path / "edges.csv")(["A", "B"]), ["A", "B"]) == {("A", "B"): 900, ("B", "A"): 900}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            ["X", "Y"],
            r"Gene sets must share genes with the data, but of the 5 in '.*go\.gmt' \('A', 'B', 'C'",
        ),
        (["A", "E"], r"no two of 2 have a Jaccard index above 0\.1\. Name a file of more and smaller sets"),
    ],
)
def test_gene_sets_that_join_nothing_are_refused(tmp_path: Path, nodes: list[str], message: str) -> None:
    (tmp_path / "go.gmt").write_text(SETS)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "go.gmt")(nodes)


def test_embeddings_of_one_gene_of_the_data_are_no_network(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "screen.npz", ["A", "B"])
    with pytest.raises(InputError, match=r"embeddings in '.*' have 1 of them and no two of these alike"):
        read(tmp_path / "screen.npz")(["A", "X"])


def test_each_of_strings_links_finds_its_info(tmp_path: Path) -> None:
    for name in ("links", "physical.links", "info"):
        (tmp_path / f"9606.protein.{name}.v12.0.txt").touch()
    paths = {
        "go": tmp_path / "go.gmt",
        "all": tmp_path / "9606.protein.links.v12.0.txt",
        "physical": tmp_path / "9606.protein.physical.links.v12.0.txt",
    }
    info = tmp_path / "9606.protein.info.v12.0.txt"
    assert find_infos(paths, None) == {"all": info, "physical": info}
    (tmp_path / "named.txt").touch()
    named_info = tmp_path / "named.txt"
    assert find_infos(paths, named_info) == {"all": named_info, "physical": named_info}
    (tmp_path / "edges.tsv").touch()
    one_table = {"go": tmp_path / "go.gmt", "edges": tmp_path / "edges.tsv"}
    assert find_infos(one_table, named_info) == {"edges": named_info}
    with pytest.raises(InputError, match=r"none of the networks is such a file: '.*go\.gmt'\. Leave it out"):
        find_infos({"go": tmp_path / "go.gmt"}, named_info)
