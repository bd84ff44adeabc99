"""Commands that make data: what a user can get wrong is one sentence, status 2, nothing left behind."""

import gzip
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from fixtures.command import Refused, RunCommand, Simulated

Prepare = Callable[..., str]
ChangeCells = Callable[[Callable[[anndata.AnnData], anndata.AnnData | None]], Path]


@pytest.fixture
def prepare(refused: Refused, simulated: Simulated) -> Prepare:
    """Run a `prepare` that must be refused: the simulated inputs, but for what is given."""

    def run(*options: object, cells: object = None, **inputs: object) -> str:
        files = {"network": simulated.network, "embeddings": simulated.embeddings, "out": "out"} | inputs
        named = [word for name, value in files.items() for word in (f"--{name}", value)]
        return refused("prepare", cells or simulated.cells, *named, *options)

    return run


@pytest.fixture
def changed_cells(simulated: Simulated, tmp_path: Path) -> ChangeCells:
    def write(change: Callable[[anndata.AnnData], anndata.AnnData | None]) -> Path:
        cells = anndata.read_h5ad(simulated.cells)
        changed = change(cells)
        path = tmp_path / "changed.h5ad"
        (cells if changed is None else changed).write_h5ad(path)
        return path

    return write


def write_text(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_prepare_tells_what_it_guessed(adapert: RunCommand, simulated: Simulated):
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--out", "out"]
    ended = adapert("prepare", simulated.cells, *files, "--split-fractions", "0.5", "0.2", "0.3")
    assert (ended.status, ended.err) == (0, "")
    assert "--perturbation-column perturbation (guessed)" in ended.out
    assert "X holds counts: normalised and logged" in ended.out
    assert re.search(r"splits +train 6, validation 2, test 4", ended.out)


# files


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("--network", "The network"),
        ("--embeddings", "The text embeddings"),
        ("--aliases", "The alias table"),
        ("--split-file", "The split list"),
        ("--network-info", "STRING's protein info"),
    ],
)
def test_a_file_that_is_not_there_is_named(prepare, option, what):
    assert f"{what} must be a file, but there is no file 'no.tsv'" in prepare(option, "no.tsv")


def test_cells_that_are_not_there_are_named(prepare):
    assert "The cells must be a file, but there is no file 'no.h5ad'" in prepare(cells="no.h5ad")


@pytest.mark.parametrize("option", ["--network", "--embeddings", "--aliases", "--split-file"])
def test_a_directory_in_place_of_a_file_is_named(prepare, tmp_path, option):
    (tmp_path / "folder").mkdir()
    assert "'folder' is a directory" in prepare(option, "folder")


def test_a_directory_in_place_of_cells_is_named(prepare, tmp_path):
    assert "is a directory" in prepare(cells=tmp_path)


def test_a_file_that_may_not_be_read_is_named(prepare, simulated, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, _: path != simulated.network)
    assert "network.tsv.gz' is not readable" in prepare()


def test_cells_that_are_text_are_refused(prepare, tmp_path):
    path = write_text(tmp_path / "cells.h5ad", "cell,gene\n")
    assert "must be an .h5ad file" in prepare(cells=path)


def test_hdf5_that_is_no_anndata_is_refused(prepare, tmp_path):
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["matrix"] = np.zeros(3)
    assert "without 'obs', 'var'" in prepare(cells="other.h5ad")


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_hdf5_with_anndata_names_that_hold_other_things_is_refused(prepare, tmp_path):
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        for name in ("X", "obs", "var"):
            file[name] = np.zeros((3, 3))
    assert "Write it again with anndata" in prepare(cells="other.h5ad")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_h5ad_is_refused(prepare, simulated, tmp_path, share):
    content = simulated.cells.read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(content[: int(share * len(content))])
    assert "damaged" in prepare(cells="cut.h5ad")


def test_h5ad_with_damaged_values_is_refused(prepare, simulated, tmp_path):
    path = shutil.copy(simulated.cells, tmp_path / "damaged.h5ad")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    with path.open("r+b") as opened:
        opened.seek(chunk.byte_offset)
        opened.write(b"\xff" * chunk.size)
    assert "damaged" in prepare(cells=path)


def test_matrix_of_another_size_than_its_annotations_is_refused(prepare, simulated, tmp_path):
    path = shutil.copy(simulated.cells, tmp_path / "short.h5ad")
    with h5py.File(path, "a") as file:
        file["X"].attrs["shape"] = [10, 40]
    assert "220 x 40" in prepare(cells=path)


# labels and columns


def test_cells_without_controls_are_refused(prepare, changed_cells):
    path = changed_cells(lambda cells: cells[cells.obs["perturbation"] != "control"].copy())
    assert "--control" in prepare(cells=path)


@pytest.mark.parametrize(
    ("option", "meant"),
    [("--perturbation-column", "perturbation"), ("--batch-column", "batch"), ("--cell-line-column", "batch")],
)
def test_an_unknown_column_is_answered_with_the_nearest(prepare, option, meant):
    message = prepare(option, meant + "x")
    assert f"there is no '{meant}x'" in message
    assert f"Did you mean '{meant}'?" in message


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--where", "bacth=batch1"], "Did you mean 'batch'?"),
        (["--where", "batch=batch9"], "Its values are 'batch1', 'batch2', 'batch3'"),
        (["--where", "batch"], "--where must be column=value"),
        (["--control", "contrl"], "Did you mean 'control'?"),
        (["--gene-column", "name"], "--gene-column must name a column"),
        (["--counts-layer", "raw"], "--counts-layer must name a layer"),
        (["--kind", "cell"], "Did you mean 'cells'?"),
        (["--deg-adjust", "fdrr"], "Did you mean 'fdr'?"),
        (["--deg-test", "welsh"], "Did you mean 'welch'?"),
        (["--effect-size-groups", "tertile"], "Did you mean 'tertiles'?"),
        (["--kind", "responses"], "one row per perturbation"),
        (["--min-cells", "1000"], "Lower --min-cells"),
    ],
)
def test_a_wrong_choice_is_refused(prepare, words, says):
    assert says in prepare(*words)


def relabelled(change_cells: ChangeCells, relabel: Callable[[str, int], object]) -> Path:
    """Write the cells again, with labels made of each cell's label and its number."""

    def change(cells):
        labels = cells.obs["perturbation"].astype(str)
        cells.obs["perturbation"] = pd.Categorical([relabel(label, n) for n, label in enumerate(labels)])

    return change_cells(change)


def guides(label: str, number: int) -> str:
    return label if label == "control" else f"{label.replace('+', f'_{number % 2}+')}_{number % 2}"


def test_guides_of_a_gene_are_refused_with_the_cure(prepare, changed_cells):
    message = prepare(cells=relabelled(changed_cells, guides))
    assert "Guides of one gene must be one perturbation" in message
    assert "Group them with --group-guides" in message


@pytest.mark.parametrize(
    ("relabel", "options", "says"),
    [
        (guides, ["--group-guides"], r"guides grouped +24"),
        (lambda label, n: f"safe{n % 3}" if label == "control" else label, ["--control", "safe*"], ""),
        (
            lambda label, n: f"{'ab'[n % 2]}_off" if label == "control" else label,
            ["--control", "a_off", "--control", "b_off"],
            r"controls: 40 cells \('a_off', 'b_off'\)",
        ),
        (
            lambda label, n: None if label == "control" else label,
            ["--missing-is-control"],
            r"controls: 40 cells \(without a label\)",
        ),
        (lambda label, n: f" {label} " if n % 2 else label, [], ""),
    ],
)
def test_labels_in_another_form_give_the_same_data_set(
    adapert, simulated, changed_cells, tmp_path, relabel, options, says
):
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--out", "out"]
    cells = relabelled(changed_cells, relabel)
    ended = adapert("prepare", cells, *files, "--split-fractions", "0.5", "0.2", "0.3", *options)
    assert (ended.status, ended.err) == (0, "")
    assert re.search(says, ended.out)
    for part in ("train", "validation", "test"):
        for name in ("perturbations", "delta"):
            one, other = (
                np.load(path / part / f"{name}.npy") for path in (tmp_path / "out", simulated.prepared)
            )
            np.testing.assert_array_equal(one, other)


def test_labels_that_no_network_and_no_text_know_are_refused(prepare, changed_cells):
    cells = relabelled(changed_cells, lambda label, n: label.replace("GENE", "hit "))
    assert "they know none of" in prepare(cells=cells)


def test_responses_name_no_option_of_cells_where_a_value_is_nan(prepare, changed_cells):
    def average(cells):
        means = cells[~cells.obs["perturbation"].duplicated().to_numpy()].copy()
        means.X = np.full(means.shape, np.nan)
        return means

    message = prepare("--kind", "responses", cells=changed_cells(average))
    assert "Responses must be numbers" in message
    assert "--" not in message


def test_responses_without_x_are_refused(prepare, changed_cells):
    def move(cells):
        cells.layers["delta"], cells.X = cells.X.copy(), None

    assert "Responses must be X of the file" in prepare("--kind", "responses", cells=changed_cells(move))


@pytest.mark.parametrize("value", [-1.0, 0.0, 30.5])
def test_wrong_values_without_layers_name_no_option_that_cannot_help(prepare, changed_cells, value):
    def change(cells):
        cells.X = np.full(cells.shape, value)

    assert "--counts-layer" not in prepare(cells=changed_cells(change))


def test_responses_refuse_a_layer_that_is_not_there(prepare):
    message = prepare("--kind", "responses", "--significant-layer", "no")
    assert "--significant-layer must name a layer" in message


def test_cells_without_a_perturbation_column_are_refused(prepare, changed_cells):
    def rename(cells):
        cells.obs = cells.obs.rename(columns={"perturbation": "label"})

    assert "Name it with --perturbation-column" in prepare(cells=changed_cells(rename))


def test_a_perturbation_column_of_one_value_is_refused(prepare, changed_cells):
    def relabel(cells):
        cells.obs["perturbation"] = "control"

    assert "has only 'control'" in prepare(cells=changed_cells(relabel))


def test_a_perturbation_column_of_missing_values_is_refused(prepare, changed_cells):
    def relabel(cells):
        cells.obs["perturbation"] = pd.Categorical([None] * len(cells), categories=["control"])

    assert "has only missing values" in prepare(cells=changed_cells(relabel))


# values and genes


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.nan, "1 value is NaN, the first in gene 'GENE0003'"),
        (np.inf, "1 value is infinite, the first in gene 'GENE0003'"),
        (-1.0, "1 value is below 0, the first in gene 'GENE0003'"),
    ],
)
def test_an_impossible_value_is_refused_with_its_gene(prepare, changed_cells, value, says):
    def change(cells):
        values = cells.X.toarray()
        values[1, 2] = value
        cells.X = values

    assert says in prepare(cells=changed_cells(change))


def test_normalised_values_that_were_not_logged_are_refused(prepare, changed_cells):
    def change(cells):
        cells.X = cells.X * 1.37

    assert "normalised, not logged" in prepare(cells=changed_cells(change))


def test_values_that_are_zero_everywhere_are_refused(prepare, changed_cells):
    def change(cells):
        cells.X = cells.X * 0

    assert "must not be zero everywhere" in prepare(cells=changed_cells(change))


@pytest.mark.parametrize("name", ["ENSG{:011d}", "{}"])
def test_genes_without_symbols_are_refused(prepare, changed_cells, name):
    def rename(cells):
        cells.var = pd.DataFrame(index=[name.format(number) for number in range(cells.n_vars)])

    assert "Genes must have symbols" in prepare(cells=changed_cells(rename))


def test_cells_without_genes_are_refused(prepare, changed_cells):
    assert "genes" in prepare(cells=changed_cells(lambda cells: cells[:, :0].copy()))


def test_cells_without_rows_are_refused(prepare, changed_cells):
    assert "cells" in prepare(cells=changed_cells(lambda cells: cells[:0].copy()))


# network, text, aliases


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
def test_a_wrong_network_is_refused(prepare, tmp_path, text, says):
    write_text(tmp_path / "network.tsv", text)
    assert says in prepare(network="network.tsv")


def test_a_network_that_is_no_text_is_refused(prepare, simulated):
    assert "The network must be a table" in prepare(network=simulated.embeddings)


def test_a_network_that_only_claims_to_be_gzipped_is_refused(prepare, tmp_path):
    write_text(tmp_path / "network.tsv.gz", "a b 1\n")
    assert "The network must be a table" in prepare(network="network.tsv.gz")


def test_a_cut_gzip_is_refused(prepare, simulated, tmp_path):
    (tmp_path / "network.tsv.gz").write_bytes(simulated.network.read_bytes()[:300])
    assert "The network must be a table" in prepare(network="network.tsv.gz")


def test_string_links_without_their_info_are_refused(prepare, tmp_path):
    path = tmp_path / "9606.protein.links.v12.0.txt.gz"
    with gzip.open(path, "wt") as file:
        file.write("protein1 protein2 combined_score\n9606.ENSP1 9606.ENSP2 900\n")
    assert "name it with --network-info" in prepare(network=path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gene,a,b\nGENE0001,1,2\nGENE0002,1\n", "1 of 2 rows in 'text.csv' are not: 'GENE0002'"),
        ("gene,a,b\nGENE0001,1,2\nGENE0002,1,2,3,4\n", "line 3"),
        ("gene,a\nGENE0001,nan\n", "1 of 1 row in 'text.csv' are not"),
        ("gene,a\nXYZ,1\n", "must cover genes of the data"),
        ("gene\nGENE0001\n", "'text.csv' has one column"),
        ("", "must not be empty"),
    ],
)
def test_wrong_text_embeddings_are_refused(prepare, tmp_path, text, says):
    write_text(tmp_path / "text.csv", text)
    assert says in prepare(embeddings="text.csv")


def test_of_a_repeated_symbol_the_first_embedding_counts(adapert, simulated, tmp_path):
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
        ({"symbols": np.array(["GENE0001"]), "embedding": np.array([[np.inf]])}, "1 of 1 row"),
    ],
)
def test_npz_of_other_arrays_is_refused(prepare, tmp_path, arrays, says):
    np.savez(tmp_path / "text.npz", **arrays)
    assert says in prepare(embeddings="text.npz")


@pytest.mark.parametrize("name", ["text.npz", "text.pkl", "text.parquet"])
def test_embeddings_under_a_false_name_are_refused(prepare, tmp_path, name):
    write_text(tmp_path / name, "gene,a\nGENE0001,1\n")
    assert f"'{name}'" in prepare(embeddings=name)


class _Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.path,)


def test_a_pickle_that_would_execute_code_is_refused_unexecuted(prepare, tmp_path):
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
def test_a_pickle_of_other_things_is_refused(prepare, tmp_path, content, says):
    (tmp_path / "text.pkl").write_bytes(pickle.dumps(content))
    assert says in prepare(embeddings="text.pkl")


def test_aliases_of_three_columns_are_refused(prepare, tmp_path):
    write_text(tmp_path / "aliases.tsv", "A\tB\tC\n")
    assert "must have two columns" in prepare("--aliases", "aliases.tsv")


# numbers and splits


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--split-fractions", "0.5", "0.2", "0.2"], "sum to 1, but they are 0.5 0.2 0.2"),
        (["--split-fractions", "1.2", "-0.4", "0.2"], "three positive numbers"),
        (["--split-fractions", "0.5", "0.5"], "See 'adapert prepare --help'"),
        (["--split-fractions", "a", "b", "c"], "--split-fractions"),
        (["--split-fractions", "0.97", "0.01", "0.02"], "Every split must hold a perturbation"),
        (["--split-fractions", "nan", "0.5", "0.5"], "three positive numbers"),
        (["--n-genes", "0"], "--n-genes must be at least 1, but it is 0"),
        (["--min-cells", "-1"], "--min-cells must be at least 1"),
        (["--n-genes", "many"], "--n-genes"),
    ],
)
def test_a_wrong_number_is_refused(prepare, words, says):
    assert says in prepare(*words)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("split.tsv", "GENE9999\ttrain\n", "'GENE9999'"),
        ("split.tsv", "GENE0001\ttest\nGENE0002\ttrian\n", "Did you mean 'train'?"),
        ("split.csv", "GENE0001\n", "has one column"),
        ("split.json", "{", "must be JSON"),
        ("split.json", "[]", "must map splits"),
        ("split.json", '{"train": []}', "must name every perturbation"),
        ("split.json", '{"train": ["GENE0001", "GENE0002"], "test": ["GENE0001"]}', "in one split"),
    ],
)
def test_a_wrong_split_list_is_refused(prepare, tmp_path, name, text, says):
    write_text(tmp_path / name, text)
    assert says in prepare("--split-file", name)


def test_a_split_list_that_lacks_perturbations_is_refused_with_five_names(prepare, simulated, tmp_path):
    names = np.load(simulated.prepared / "train" / "perturbations.npy").tolist()
    write_text(tmp_path / "split.json", json.dumps({"train": names}))
    message = prepare("--split-file", "split.json")
    assert "6 of 12 are not in 'split.json'" in message
    assert message.count("GENE") - message.count("+") == 5
    assert "and 1 more" in message


# output


def test_an_output_directory_that_exists_is_refused(prepare, tmp_path):
    (tmp_path / "out").mkdir()
    assert "'out' exists" in prepare()


def test_an_output_below_a_file_is_refused_before_anything_is_read(prepare, tmp_path):
    write_text(tmp_path / "file", "")
    message = prepare(cells="no.h5ad", out="file/out")
    assert "file' is no directory" in message


def test_an_output_that_cannot_be_made_is_refused(prepare):
    assert "'/proc/adapert/out'" in prepare(out="/proc/adapert/out")


def test_a_parent_that_is_missing_is_made(adapert, simulated, tmp_path):
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--out", "a/b/out"]
    ended = adapert("prepare", simulated.cells, *files, "--split-fractions", "0.5", "0.2", "0.3")
    assert ended.status == 0
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["out"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root on Linux")
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a tmpfs be mounted")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_no_prepared_data(prepare, small_disk):
    assert "No space left on device" in prepare(out=small_disk / "out")


def test_a_full_disk_leaves_no_simulated_data(refused, small_disk):
    assert "No space left on device" in refused("simulate", "--out", small_disk / "out")


def test_simulate_refuses_a_directory_that_exists(refused, tmp_path):
    (tmp_path / "out").mkdir()
    assert "'out' exists" in refused("simulate", "--out", "out")
