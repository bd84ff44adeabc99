import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present

from adapert.data.array_tables import Edges
from adapert.data.graph import build_edges, find_network_info, read_network
from adapert.errors import InputError

LINES = [("A", "B", 900), ("B", "C", 800), ("A", "C", 800), ("D", "A", 700)]


def network(lines: list[tuple[str, str, int]] = LINES) -> pd.DataFrame:
    return pd.DataFrame(lines, columns=["gene_a", "gene_b", "score"])


def named_edges(edges: Edges, nodes: list[str] | str) -> list[tuple[str, str, int, int]]:
    return [
        (nodes[s], nodes[t], int(score), int(rank))
        for s, t, score, rank in zip(
            edges.edge_source, edges.edge_target, edges.edge_score, edges.edge_rank, strict=True
        )
    ]


def test_edges_run_both_ways_best_first() -> None:
    nodes = ["A", "B", "C"]
    assert named_edges(build_edges(network(), np.array(nodes), {}), nodes) == [
        ("B", "A", 900, 0),
        ("C", "A", 800, 1),
        ("A", "B", 900, 0),
        ("C", "B", 800, 1),
        ("A", "C", 800, 0),
        ("B", "C", 800, 1),
    ]


@pytest.mark.parametrize("seed", range(3))
def test_order_of_nodes_and_edges_makes_no_difference(seed: int) -> None:
    generator = np.random.default_rng(seed)
    nodes = [f"G{number}" for number in range(12)]
    pairs = [(a, b, int(generator.integers(1, 4))) for a in nodes for b in nodes if a < b]
    shuffled_nodes = generator.permutation(nodes)
    shuffled = [pairs[number] for number in generator.permutation(len(pairs))]
    swapped = [(b, a, score) for a, b, score in shuffled]
    one = named_edges(build_edges(network(pairs), np.array(nodes), {}), nodes)
    other = named_edges(build_edges(network(swapped), shuffled_nodes, {}), shuffled_nodes.tolist())
    assert sorted(one) == sorted(other)


def test_best_score_of_repeated_pairs_counts_and_loops_do_not() -> None:
    lines = [("A", "B", 1), ("B", "A", 5), ("A", "B", 3), ("A", "A", 9)]
    assert named_edges(build_edges(network(lines), np.array(["A", "B"]), {}), "AB") == [
        ("B", "A", 5, 0),
        ("A", "B", 5, 0),
    ]


def test_alias_finds_the_node() -> None:
    aliases = {"AARS1": ("AARS",), "AARS": ("AARS1",)}
    edges = build_edges(network([("AARS1", "B", 1)]), np.array(["AARS", "B"]), aliases)
    assert edges.edge_target.tolist() == [0, 1]


def test_network_without_a_shared_gene_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"of its 4 genes \('A', 'B', 'D' and 1 more\) 0 are among the data's 2"
    ):
        build_edges(network(), np.array(["X", "Y"]), {})


@pytest.mark.parametrize(
    "text",
    [
        "gene_a\tgene_b\tcombined_score\nA\tB\t900\n",
        "score,source,target\n900,A,B\n",
        "from_gene,to_gene,strength\nA,B,900\n",
        "A\tB\t900\n",
    ],
)
def test_table_is_read_by_names_or_by_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "network.txt"
    path.write_text(text)
    assert read_network(path).to_dict("records") == [{"gene_a": "A", "gene_b": "B", "score": 900}]


@pytest.mark.parametrize("score", ["", "high", "nan", "-1", "inf"])
def test_bad_score_is_refused(tmp_path: Path, score: str) -> None:
    path = tmp_path / "network.csv"
    path.write_text(f"gene_a,gene_b,score\nA,B,900\nB,C,{score}\n")
    with pytest.raises(InputError, match="must be numbers from 0 up, but 1 of 2"):
        read_network(path)


def test_two_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "network.csv"
    path.write_text("a,b\nA,B\n")
    with pytest.raises(InputError, match="two genes and a score"):
        read_network(path)


def write_string(directory: Path, with_info: bool = True) -> Path:
    links = directory / "9606.protein.links.v12.0.txt.gz"
    with gzip.open(links, "wt") as file:
        file.write("protein1 protein2 combined_score\n9606.P1 9606.P2 900\n9606.P1 9606.P9 800\n")
    if with_info:
        with gzip.open(directory / "9606.protein.info.v12.0.txt.gz", "wt") as file:
            file.write("#string_protein_id\tpreferred_name\tprotein_size\tannotation\n")
            file.write('9606.P1\tKLF1\t10\t"says one\n9606.P2\tSET\t20\tx\n')
    return links


def test_strings_files_are_read_as_a_pair(tmp_path: Path) -> None:
    links = write_string(tmp_path)
    info = find_network_info(links, None)
    assert read_network(links, info).to_dict("records") == [{"gene_a": "KLF1", "gene_b": "SET", "score": 900}]


LINKS = "protein1 protein2 combined_score\n9606.P1 9606.P2 900\n"
INFO = "#string_protein_id\tpreferred_name\n9606.P1\tKLF1\n9606.P2\tSET\n"
KLF1_SET = [{"gene_a": "KLF1", "gene_b": "SET", "score": 900}]


def read_string(
    directory: Path, links: str = LINKS, info: str = INFO, name: str = "9606.protein.links.v12.0.txt"
) -> pd.DataFrame:
    (directory / name).write_text(links)
    (directory / "9606.protein.info.v12.0.txt").write_text(info)
    found = find_network_info(directory / name, None)
    return read_network(directory / name, found)


@pytest.mark.parametrize("form", ["", ".detailed", ".full"])
@pytest.mark.parametrize("kind", ["links", "physical.links"])
def test_every_file_of_strings_links_finds_its_info(tmp_path: Path, kind: str, form: str) -> None:
    network = read_string(tmp_path, name=f"9606.protein.{kind}{form}.v11.5.txt")
    assert network.to_dict("records") == KLF1_SET


def test_info_of_the_links_version_is_preferred(tmp_path: Path) -> None:
    for version in ("11.0", "11.5", "12.0"):
        for name in (f"9606.protein.links.v{version}.txt", f"9606.protein.info.v{version}.txt.gz"):
            (tmp_path / name).touch()
    for version in ("11.0", "11.5", "12.0"):
        info = find_network_info(tmp_path / f"9606.protein.links.v{version}.txt", None)
        assert present(info).name == f"9606.protein.info.v{version}.txt.gz"


@pytest.mark.parametrize(
    ("links", "info"),
    [
        (LINKS, INFO.replace("#string_protein_id", "protein_external_id")),
        (LINKS.replace("9606.", ""), INFO),
        (LINKS, INFO.replace("9606.", "")),
        (LINKS.replace("protein2", "protein2 experiments").replace("P2 900", "P2 5 900"), INFO),
        (LINKS + "10090.P1 10090.P2 800\n", INFO),
    ],
)
def test_every_spelling_of_strings_proteins_is_read(tmp_path: Path, links: str, info: str) -> None:
    assert read_string(tmp_path, links, info).to_dict("records") == KLF1_SET


def test_proteins_of_another_species_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"species '9606'\) has none of .* \(species '10090'\), such as '10090.P1'"
    ):
        read_string(tmp_path, links=LINKS.replace("9606", "10090"))


def test_edges_of_proteins_without_a_symbol_are_counted(
    tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    read_string(tmp_path, LINKS + "9606.P1 9606.P7 800\n")
    assert logged.messages == [
        "1 of 2 edges of proteins without a symbol in '9606.protein.info.v12.0.txt', left out"
    ]


@pytest.mark.parametrize("protein", ["9606.ENSP00000000233", "ENSP00000000233", "4932.YAL001C"])
def test_proteins_under_another_file_name_ask_for_the_info_file(tmp_path: Path, protein: str) -> None:
    (tmp_path / "network.txt").write_text(f"protein1 protein2 combined_score\n{protein} {protein} 900\n")
    with pytest.raises(InputError, match=f"has proteins such as '{protein}'.* with --network-info"):
        read_network(tmp_path / "network.txt")


@pytest.mark.parametrize("mark", ["#BioGRID Interaction ID", "BioGRID Interaction ID"])
def test_biogrids_pairs_are_scored_by_their_lines(
    tmp_path: Path, mark: str, logged: pytest.LogCaptureFixture
) -> None:
    header = f"{mark}\tOfficial Symbol Interactor A\tOfficial Symbol Interactor B\tScore\n"
    (tmp_path / "human.tab3.txt").write_text(header + "1\tA\tB\t-\n2\tB\tA\t0.3\n3\tA\tC\t-7.5\n")
    network = read_network(tmp_path / "human.tab3.txt")
    assert network["score"].tolist() == [2, 2, 1]
    assert logged.messages == ["the network is BioGRID's: a pair's score is the number of its lines"]


def test_blanks_around_genes_are_no_part_of_them(tmp_path: Path) -> None:
    (tmp_path / "network.tsv").write_text("gene_a\tgene_b\tscore\n A\tB \t1\n")
    assert read_network(tmp_path / "network.tsv").iloc[0].tolist() == ["A", "B", 1]


def test_scores_of_two_scales_are_refused(tmp_path: Path) -> None:
    (tmp_path / "network.tsv").write_text("A\tB\t0.9\nB\tC\t900\nA\tC\t0.5\n")
    with pytest.raises(InputError, match="2 lie between 0 and 1 and 1 between 100 and 1000"):
        read_network(tmp_path / "network.tsv")


@pytest.mark.parametrize("scores", [("0.5", "7", "300"), ("0", "1", "999"), ("0.1", "0.9", "1")])
def test_scores_of_one_scale_are_taken_as_they_are(tmp_path: Path, scores: tuple[str, str, str]) -> None:
    first, second, third = scores
    (tmp_path / "network.tsv").write_text(f"A\tB\t{first}\nB\tC\t{second}\nA\tC\t{third}\n")
    assert read_network(tmp_path / "network.tsv")["score"].tolist() == [float(score) for score in scores]


def test_loops_and_pairs_of_several_scores_are_counted(logged: pytest.LogCaptureFixture) -> None:
    lines = [("A", "B", 1), ("B", "A", 5), ("A", "A", 9), ("B", "C", 2), ("C", "B", 2)]
    build_edges(network(lines), np.array(["A", "B", "C"]), {})
    assert logged.messages == [
        "1 edge of a gene with itself, left out",
        "1 pair of genes with several scores: the highest counts",
    ]


def test_a_network_that_differs_in_case_is_another_species() -> None:
    with pytest.raises(InputError, match="differ in case, as between species"):
        build_edges(network([("Klf1", "Set", 1)]), np.array(["KLF1", "SET"]), {})


def test_missing_info_file_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name it with --network-info"):
        find_network_info(write_string(tmp_path, with_info=False), None)


def test_table_of_symbols_needs_no_info_file(tmp_path: Path) -> None:
    (tmp_path / "edges.tsv").write_text("A\tB\t1\n")
    assert find_network_info(tmp_path / "edges.tsv", None) is None


def test_info_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    links = write_string(tmp_path)
    with pytest.raises(InputError, match="must have the columns 'string_protein_id'"):
        read_network(links, links)
