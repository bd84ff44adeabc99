"""Commands that make data: what a user can get wrong is one sentence, status 2, nothing left behind."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from fixtures.command import Refused, RunCommand, Simulated
from fixtures.preparing import Prepare, write_text


def test_prepare_tells_what_it_guessed(adapert: RunCommand, simulated: Simulated) -> None:
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--out", "out"]
    ended = adapert("prepare", simulated.cells, *files, "--split-fractions", "0.5", "0.2", "0.3")
    assert (ended.status, ended.err) == (0, "")
    assert "--perturbation-column perturbation (guessed)" in ended.out
    assert "X holds counts: normalised and logged" in ended.out
    assert re.search(r"splits +train 6, validation 2, test 4", ended.out)


@pytest.mark.parametrize("fractions", [["0.5,0.2,0.3"], ["0.5 0.2 0.3"], ["0.5,", "0.2,", "0.3"]])
def test_fractions_are_a_list_like_any_other(
    adapert: RunCommand, simulated: Simulated, fractions: list[str]
) -> None:
    files = ["--network", simulated.network, "--embeddings", simulated.embeddings]
    ended = adapert("prepare", simulated.cells, "--split-fractions", *fractions, *files, "--out", "out")
    assert (ended.status, ended.err) == (0, "")
    assert re.search(r"splits +train 6, validation 2, test 4", ended.out)


def test_fractions_behind_an_equals_sign_are_a_list_too(prepare: Prepare) -> None:
    said = prepare("--split-fractions=0.5,0.2,0.2")
    assert "sum to 1, but they are 0.5 0.2 0.2" in said


@pytest.mark.parametrize("given", ["0", "-1", "1e-300", "1e10", "nan", "inf", "medain", ""])
def test_a_wrong_target_sum_is_refused(prepare: Prepare, given: str) -> None:
    assert "--target-sum must be a number from 1 to 1,000,000,000, 'median' or 'none'" in prepare(
        "--target-sum", given
    )


def test_responses_have_no_target_sum(prepare: Prepare) -> None:
    said = prepare("--target-sum", "median", "--kind", "responses")
    assert "--target-sum must be left out with --kind responses" in said


# files


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("--network", "The network"),
        ("--embeddings", "The embeddings"),
        ("--aliases", "The alias table"),
        ("--split-file", "The split list"),
        ("--network-info", "STRING's protein info"),
    ],
)
def test_a_file_that_is_not_there_is_named(prepare: Prepare, option: str, what: str) -> None:
    assert f"{what} must be a file, but there is no file 'no.tsv'" in prepare(**{option: "no.tsv"})


def test_cells_that_are_not_there_are_named(prepare: Prepare) -> None:
    assert "The cells must be a file, but there is no file 'no.h5ad'" in prepare(cells="no.h5ad")


@pytest.mark.parametrize("option", ["--network", "--embeddings", "--aliases", "--split-file"])
def test_a_directory_in_place_of_a_file_is_named(prepare: Prepare, tmp_path: Path, option: str) -> None:
    (tmp_path / "folder").mkdir()
    assert "'folder' is a directory" in prepare(**{option: "folder"})


def test_a_directory_in_place_of_cells_is_named(prepare: Prepare, tmp_path: Path) -> None:
    assert "is a directory" in prepare(cells=tmp_path)


def test_a_file_that_may_not_be_read_is_named(
    prepare: Prepare, simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, _: path != simulated.network)
    assert "network.tsv.gz' is not readable" in prepare()


def test_cells_that_are_text_are_refused(prepare: Prepare, tmp_path: Path) -> None:
    path = write_text(tmp_path / "cells.h5ad", "cell,gene\n")
    assert "must be an .h5ad file" in prepare(cells=path)


def test_hdf5_that_is_no_anndata_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["matrix"] = np.zeros(3)
    assert "without 'obs', 'var'" in prepare(cells="other.h5ad")


@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_hdf5_with_anndata_names_that_hold_other_things_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        for name in ("X", "obs", "var"):
            file[name] = np.zeros((3, 3))
    assert "Write it again with anndata" in prepare(cells="other.h5ad")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_truncated_h5ad_is_refused(
    prepare: Prepare, simulated: Simulated, tmp_path: Path, share: float
) -> None:
    content = simulated.cells.read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(content[: int(share * len(content))])
    assert "damaged" in prepare(cells="cut.h5ad")


def test_h5ad_with_damaged_values_is_refused(prepare: Prepare, simulated: Simulated, tmp_path: Path) -> None:
    path = Path(shutil.copy(simulated.cells, tmp_path / "damaged.h5ad"))
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    with path.open("r+b") as opened:
        opened.seek(chunk.byte_offset)
        opened.write(b"\xff" * chunk.size)
    assert "damaged" in prepare(cells=path)


def test_matrix_of_another_size_than_its_annotations_is_refused(
    prepare: Prepare, simulated: Simulated, tmp_path: Path
) -> None:
    path = shutil.copy(simulated.cells, tmp_path / "short.h5ad")
    with h5py.File(path, "a") as file:
        file["X"].attrs["shape"] = [10, 40]
    assert "220 x 40" in prepare(cells=path)


# numbers and splits


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--split-fractions", "0.5", "0.2", "0.2"], "sum to 1, but they are 0.5 0.2 0.2"),
        (["--split-fractions", "1.2", "-0.4", "0.2"], "three positive numbers"),
        (["--split-fractions", "0.5,0.5"], "--split-fractions"),
        (["--split-fractions", "0.5", "0.5"], "See 'adapert prepare --help'"),
        (["--split-fractions", "a", "b", "c"], "--split-fractions"),
        (["--split-fractions", "0.97", "0.01", "0.02"], "Every split must hold a perturbation"),
        (["--split-fractions", "nan", "0.5", "0.5"], "three positive numbers"),
        (
            ["--split-scheme", "combinations"],
            "'test' is empty (train 11, validation 1, test 0). Use data",
        ),
        (["--split-scheme", "doubles"], "--split-scheme must be"),
        (["--n-genes", "0"], "--n-genes must be at least 1, but it is 0"),
        (["--min-cells", "-1"], "--min-cells must be at least 1"),
        (["--n-genes", "many"], "--n-genes must be a whole number, but it is 'many'. See"),
    ],
)
def test_a_wrong_number_is_refused(prepare: Prepare, words: list[str], says: str) -> None:
    assert says in prepare(*words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--combinations", "110"], "110 of 120 perturbations leave 10 single genes, which form 45 pairs"),
        (["--interaction", "-0.5"], "--interaction must be 0 to 5 log units, but it is -0.5"),
    ],
)
def test_impossible_combinations_are_not_simulated(refused: Refused, words: list[str], says: str) -> None:
    assert says in refused("simulate", "--out", "new", *words)


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
def test_a_wrong_split_list_is_refused(
    prepare: Prepare, tmp_path: Path, name: str, text: str, says: str
) -> None:
    write_text(tmp_path / name, text)
    assert says in prepare("--split-file", name)


def test_a_split_list_that_lacks_perturbations_is_refused_with_five_names(
    prepare: Prepare, simulated: Simulated, tmp_path: Path
) -> None:
    names = np.load(simulated.prepared / "train" / "perturbations.npy").tolist()
    write_text(tmp_path / "split.json", json.dumps({"train": names}))
    message = prepare("--split-file", "split.json")
    assert "6 of 12 are not in 'split.json'" in message
    assert message.count("GENE") - message.count("+") == 5
    assert "and 1 more" in message


# output


def test_an_output_directory_that_exists_is_refused(prepare: Prepare, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert "'out' exists" in prepare()


def test_an_output_below_a_file_is_refused_before_anything_is_read(prepare: Prepare, tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    message = prepare(cells="no.h5ad", out="file/out")
    assert "file' is not a directory" in message


def test_an_output_that_cannot_be_made_is_refused(prepare: Prepare) -> None:
    assert "'/proc/adapert/out'" in prepare(out="/proc/adapert/out")


def test_a_parent_that_is_missing_is_made(adapert: RunCommand, simulated: Simulated, tmp_path: Path) -> None:
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


def test_a_full_disk_leaves_no_prepared_data(prepare: Prepare, small_disk: Path) -> None:
    assert "No space left on device" in prepare(out=small_disk / "out")


@pytest.mark.slow
def test_a_full_disk_leaves_no_simulated_data(refused: Refused, small_disk: Path) -> None:
    assert "No space left on device" in refused("simulate", "--out", small_disk / "out")


def test_simulate_refuses_a_directory_that_exists(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert "'out' exists" in refused("simulate", "--out", "out")
