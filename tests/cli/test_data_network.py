"""Networks, text embeddings and aliases that `prepare` refuses, each in one sentence with its cure."""

import gzip
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.command import RunCommand, Simulated
from fixtures.preparing import Prepare, write_text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\tb\tscore\nXYZ1\tXYZ2\t5\n", "The network must connect genes of the data"),
        ("a\tb\tscore\nGENE0001\tGENE0002\thigh\n", "1 of 1 in 'network.tsv' are not"),
        ("a\tb\tscore\nGENE0001\tGENE0002\tnan\nGENE0001\tGENE0003\t-1\n", "2 of 2 in 'network.tsv' are not"),
        ("a\tb\nGENE0001\tGENE0002\n", "only 2 of these three columns"),
        ("GENE0001\n", "must not be empty"),
        ("", "The network must not be empty"),
        ("a\tb\tscore\n", "The network must not be empty"),
        ("a\tb\tscore\nGENE0001\tGENE0002\t1\n1\t2\t3\t4\t5\n", "line 3"),
    ],
)
def test_a_wrong_network_is_refused(prepare: Prepare, tmp_path: Path, text: str, says: str) -> None:
    write_text(tmp_path / "network.tsv", text)
    assert says in prepare(network="network.tsv")


def test_a_network_that_is_no_text_is_refused(prepare: Prepare, simulated: Simulated, tmp_path: Path) -> None:
    (tmp_path / "network.tsv").write_bytes(simulated.embeddings.read_bytes())
    assert "The network must be a table" in prepare(network="network.tsv")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["sets.gmt"], "'network' is given twice: "),
        (["go=sets.gmt", "go=x.gmt"], "'go' is given twice: 'sets.gmt' and 'x.gmt'"),
        (["my go=sets.gmt"], "'my go' is no such name"),
        (["text=sets.gmt"], "need different names, but 'text' is in both"),
        (["go=no.gmt"], "The network must be a file, but there is no file 'no.gmt'"),
        (["go=other.gmt"], "of the 2 in 'other.gmt' ('XYZ1', 'XYZ2') none is among the data's"),
        (["go=alone.gmt"], "no two of 2 have a Jaccard index above 0.1"),
        (["go=words.gmt"], "A GMT file has a name, a description and genes in each line"),
        (["go=other.npz"], "must cover genes of the data"),
    ],
)
def test_wrong_further_networks_are_refused(
    prepare: Prepare, tmp_path: Path, more: list[str], says: str
) -> None:
    write_text(tmp_path / "sets.gmt", "ONE\tx\tGENE0001\tGENE0002\n")
    write_text(tmp_path / "other.gmt", "ONE\tx\tXYZ1\tXYZ2\n")
    write_text(tmp_path / "alone.gmt", "ONE\tx\tGENE0001\nTWO\tx\tGENE0002\n")
    write_text(tmp_path / "words.gmt", "just some words\n")
    np.savez(tmp_path / "other.npz", symbols=np.array(["XYZ1", "XYZ2"]), embedding=np.ones((2, 3)))
    assert says in prepare(*[word for network in more for word in ("--network", network)])


def test_networks_of_three_forms_are_prepared_together(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    write_text(tmp_path / "sets.gmt", "ONE\tx\tGENE0001\tGENE0002\n")
    networks = [f"string={simulated.network}", "go=sets.gmt", f"screen={simulated.embeddings}"]
    named = [word for network in networks for word in ("--network", network)]
    options = ["--embeddings", simulated.embeddings, "--split-fractions", "0.5", "0.2", "0.3", "--out", "out"]
    ended = adapert("prepare", simulated.cells, *named, *options)
    assert ended.status == 0, ended.err
    assert re.search(r"graph edges of go at top-20 +2 over 40 genes", ended.out)
    assert re.search(r"covered by screen +\d+ of 40", ended.out)


def test_a_network_that_only_claims_to_be_gzipped_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    write_text(tmp_path / "network.tsv.gz", "a b 1\n")
    assert "The network must be a table" in prepare(network="network.tsv.gz")


def test_a_cut_gzip_is_refused(prepare: Prepare, simulated: Simulated, tmp_path: Path) -> None:
    (tmp_path / "network.tsv.gz").write_bytes(simulated.network.read_bytes()[:300])
    assert "The network must be a table" in prepare(network="network.tsv.gz")


def test_string_links_without_their_info_are_refused(prepare: Prepare, tmp_path: Path) -> None:
    path = tmp_path / "9606.protein.links.v12.0.txt.gz"
    with gzip.open(path, "wt") as file:
        file.write("protein1 protein2 combined_score\n9606.ENSP1 9606.ENSP2 900\n")
    assert "name it with --network-info" in prepare(network=path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gene,a,b\nGENE0001,1,2\nGENE0002,1\n", "1 of 2 rows in 'text.csv' are not: 'GENE0002'"),
        ("gene,a,b\nGENE0001,1,2\nGENE0002,1,2,3,4\n", "line 3"),
        ("gene,a\nGENE0001,nan\n", "'text.csv' has no row of such"),
        ("gene,a\nXYZ,1\n", "must cover genes of the data"),
        ("gene\nGENE0001\n", "'text.csv' has one column"),
        ("", "must not be empty"),
    ],
)
def test_wrong_text_embeddings_are_refused(prepare: Prepare, tmp_path: Path, text: str, says: str) -> None:
    write_text(tmp_path / "text.csv", text)
    assert says in prepare(embeddings="text.csv")


def test_of_a_repeated_symbol_the_first_embedding_counts(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    with np.load(simulated.embeddings) as arrays:
        symbols, embedding = arrays["symbols"], arrays["embedding"]
    np.savez(
        tmp_path / "twice.npz",
        symbols=np.append(symbols, symbols[0]),
        embedding=np.vstack([embedding, -embedding[:1]]),
    )
    named = ["--network", simulated.network, "--embeddings", "twice.npz", "--out", "out"]
    ended = adapert("prepare", simulated.cells, *named, "--split-fractions", "0.5", "0.2", "0.3")
    assert ended.status == 0
    rows = [np.load(path / "shared/text_embedding.npy") for path in (tmp_path / "out", simulated.prepared)]
    np.testing.assert_array_equal(*rows)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"genes": np.array(["A"])}, "must hold 'symbols' and 'embedding'"),
        ({"symbols": np.array(["A", "B"]), "embedding": np.ones((3, 2))}, "a row for each symbol"),
        ({"symbols": np.array(["A"]), "embedding": np.array([["x"]])}, "must be numbers"),
        ({"symbols": np.empty(0, "U1"), "embedding": np.empty((0, 3))}, "must not be empty"),
        ({"symbols": np.array(["A"]), "embedding": np.array([[None]])}, "must be plain arrays"),
        ({"symbols": np.array(["GENE0001"]), "embedding": np.array([[np.inf]])}, "no row of such"),
    ],
)
def test_npz_of_other_arrays_is_refused(
    prepare: Prepare, tmp_path: Path, arrays: dict[str, Any], says: str
) -> None:
    np.savez(tmp_path / "text.npz", **arrays)
    assert says in prepare(embeddings="text.npz")


@pytest.mark.parametrize("name", ["text.npz", "text.pkl", "text.parquet"])
def test_embeddings_under_a_false_name_are_refused(prepare: Prepare, tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "gene,a\nGENE0001,1\n")
    assert f"'{name}'" in prepare(embeddings=name)


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_would_execute_code_is_refused_unexecuted(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "text.pkl").write_bytes(pickle.dumps({"GENE0001": _Evil(tmp_path / "executed")}))
    assert "would execute code" in prepare(embeddings="text.pkl")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"A": [1.0, 2.0], "B": [1.0]}, "must all have one length"),
        ({"A": ["x"]}, "must be numbers"),
        ({}, "must not be empty"),
        ([1.0], "must be a dict of gene to list"),
    ],
)
def test_a_pickle_of_other_things_is_refused(
    prepare: Prepare, tmp_path: Path, content: dict[str, Any] | list[float], says: str
) -> None:
    (tmp_path / "text.pkl").write_bytes(pickle.dumps(content))
    assert says in prepare(embeddings="text.pkl")


def test_aliases_of_three_columns_are_refused(prepare: Prepare, tmp_path: Path) -> None:
    write_text(tmp_path / "aliases.tsv", "A\tB\tC\n")
    assert "must have two columns" in prepare("--aliases", "aliases.tsv")
