"""Cells and responses that `prepare` refuses, each in one sentence with its cure."""

import re
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from fixtures.command import RunCommand, Simulated
from fixtures.preparing import ChangeCells, Prepare

# labels and columns


def test_cells_without_controls_are_refused(prepare: Prepare, changed_cells: ChangeCells) -> None:
    path = changed_cells(lambda cells: cells[cells.obs["perturbation"] != "control"].copy())
    assert "--control" in prepare(cells=path)


@pytest.mark.parametrize(
    ("option", "meant"),
    [("--perturbation-column", "perturbation"), ("--batch-column", "batch"), ("--cell-line-column", "batch")],
)
def test_an_unknown_column_is_answered_with_the_nearest(prepare: Prepare, option: str, meant: str) -> None:
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
def test_a_wrong_choice_is_refused(prepare: Prepare, words: list[str], says: str) -> None:
    assert says in prepare(*words)


def relabelled(change_cells: ChangeCells, relabel: Callable[[str, int], object]) -> Path:
    """Write the cells again, with labels made of each cell's label and its number."""

    def change(cells: anndata.AnnData) -> None:
        labels = cells.obs["perturbation"].astype(str)
        cells.obs["perturbation"] = pd.Categorical([relabel(label, n) for n, label in enumerate(labels)])

    return change_cells(change)


def guides(label: str, number: int) -> str:
    return label if label == "control" else f"{label.replace('+', f'_{number % 2}+')}_{number % 2}"


def test_guides_of_a_gene_are_refused_with_the_cure(prepare: Prepare, changed_cells: ChangeCells) -> None:
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
    adapert: RunCommand,
    simulated: Simulated,
    changed_cells: ChangeCells,
    tmp_path: Path,
    relabel: Callable[[str, int], object],
    options: list[str],
    says: str,
) -> None:
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


def test_labels_that_no_network_and_no_text_know_are_refused(
    prepare: Prepare, changed_cells: ChangeCells
) -> None:
    cells = relabelled(changed_cells, lambda label, n: label.replace("GENE", "hit "))
    assert "they know none of" in prepare(cells=cells)


def test_responses_name_no_option_of_cells_where_a_value_is_nan(
    prepare: Prepare, changed_cells: ChangeCells
) -> None:
    def average(cells: anndata.AnnData) -> anndata.AnnData:
        means = cells[~cells.obs["perturbation"].duplicated().to_numpy()].copy()
        means.X = np.full(means.shape, np.nan)
        return means

    message = prepare("--kind", "responses", cells=changed_cells(average))
    assert "Responses must be numbers" in message
    assert "--" not in message


def test_responses_without_x_are_refused(prepare: Prepare, changed_cells: ChangeCells) -> None:
    def move(cells: anndata.AnnData) -> None:
        cells.layers["delta"], cells.X = cells.X.copy(), None

    assert "Responses must be X of the file" in prepare("--kind", "responses", cells=changed_cells(move))


@pytest.mark.parametrize("value", [-1.0, 0.0, 30.5])
def test_wrong_values_without_layers_name_no_option_that_cannot_help(
    prepare: Prepare, changed_cells: ChangeCells, value: float
) -> None:
    def change(cells: anndata.AnnData) -> None:
        cells.X = np.full(cells.shape, value)

    assert "--counts-layer" not in prepare(cells=changed_cells(change))


def test_responses_refuse_a_layer_that_is_not_there(prepare: Prepare) -> None:
    message = prepare("--kind", "responses", "--significant-layer", "no")
    assert "--significant-layer must name a layer" in message


def test_cells_without_a_perturbation_column_are_refused(
    prepare: Prepare, changed_cells: ChangeCells
) -> None:
    def rename(cells: anndata.AnnData) -> None:
        cells.obs = cells.obs.rename(columns={"perturbation": "label"})

    assert "Name it with --perturbation-column" in prepare(cells=changed_cells(rename))


def test_a_perturbation_column_of_one_value_is_refused(prepare: Prepare, changed_cells: ChangeCells) -> None:
    def relabel(cells: anndata.AnnData) -> None:
        cells.obs["perturbation"] = "control"

    assert "has only 'control'" in prepare(cells=changed_cells(relabel))


def test_a_perturbation_column_of_missing_values_is_refused(
    prepare: Prepare, changed_cells: ChangeCells
) -> None:
    def relabel(cells: anndata.AnnData) -> None:
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
def test_an_impossible_value_is_refused_with_its_gene(
    prepare: Prepare, changed_cells: ChangeCells, value: float, says: str
) -> None:
    def change(cells: anndata.AnnData) -> None:
        values = cells.X.toarray()
        values[1, 2] = value
        cells.X = values

    assert says in prepare(cells=changed_cells(change))


def test_normalised_values_that_were_not_logged_are_refused(
    prepare: Prepare, changed_cells: ChangeCells
) -> None:
    def change(cells: anndata.AnnData) -> None:
        cells.X = cells.X * 1.37

    assert "normalised, not logged" in prepare(cells=changed_cells(change))


def test_values_that_are_zero_everywhere_are_refused(prepare: Prepare, changed_cells: ChangeCells) -> None:
    def change(cells: anndata.AnnData) -> None:
        cells.X = cells.X * 0

    assert "must not be zero everywhere" in prepare(cells=changed_cells(change))


@pytest.mark.parametrize("name", ["ENSG{:011d}", "{}"])
def test_genes_without_symbols_are_refused(prepare: Prepare, changed_cells: ChangeCells, name: str) -> None:
    def rename(cells: anndata.AnnData) -> None:
        cells.var = pd.DataFrame(index=[name.format(number) for number in range(cells.n_vars)])

    assert "Genes must have symbols" in prepare(cells=changed_cells(rename))


def test_cells_without_genes_are_refused(prepare: Prepare, changed_cells: ChangeCells) -> None:
    assert "genes" in prepare(cells=changed_cells(lambda cells: cells[:, :0].copy()))


def test_cells_without_rows_are_refused(prepare: Prepare, changed_cells: ChangeCells) -> None:
    assert "cells" in prepare(cells=changed_cells(lambda cells: cells[:0].copy()))
