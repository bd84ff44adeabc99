from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from fixtures.experiment import Experiment

from adapert.data.prepare import summarize_prepared
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import SPLITS
from adapert.data.units import describe_degs, describe_units
from adapert.errors import InputError

PrepareResponses = Callable[..., PreparedDataset]

PERTURBATIONS = [f"GENE{number:04d}" for number in range(1, 21)]
GENES = [f"GENE{number:04d}" for number in range(1, 31)]


@pytest.fixture
def responses() -> anndata.AnnData:
    generator = np.random.default_rng(0)
    delta = generator.normal(0, 1, (20, 30)).astype(np.float32)
    obs = pd.DataFrame({"n_cells": np.arange(5, 25)}, index=PERTURBATIONS)
    table = anndata.AnnData(delta, obs=obs, var=pd.DataFrame(index=GENES))
    table.layers["significant"] = (np.abs(delta) > 1).astype(np.int8)
    return table


@pytest.fixture
def prepare(experiment: Experiment, tmp_path: Path) -> PrepareResponses:
    def prepare_table(table: anndata.AnnData, **choices: Any) -> PreparedDataset:
        table.write_h5ad(tmp_path / "responses.h5ad")
        return experiment.prepare(cells=tmp_path / "responses.h5ad", kind="responses", **choices)

    return prepare_table


def by_name(dataset: PreparedDataset, field: str) -> dict[str, Any]:
    return {
        name: value
        for split in dataset.splits.values()
        for name, value in zip(split.table.perturbations.tolist(), getattr(split.table, field), strict=True)
    }


def test_responses_are_deltas_without_cells_and_controls(
    prepare: PrepareResponses, responses: anndata.AnnData
) -> None:
    dataset = prepare(responses, min_cells=1)
    deltas, marks = by_name(dataset, "delta"), by_name(dataset, "deg_mask")
    for number, name in enumerate(PERTURBATIONS):
        np.testing.assert_array_equal(deltas[name], responses.X[number])
        np.testing.assert_array_equal(marks[name], responses.layers["significant"][number] != 0)
    assert len(dataset.control_cells) == 0
    assert [len(dataset.splits[name].cells) for name in SPLITS] == [0, 0, 0]
    assert not dataset.shared.control_mean.any()
    np.testing.assert_array_equal(
        dataset.splits["train"].table.group_mean, dataset.splits["train"].table.delta
    )


def test_numbers_of_cells_are_read_and_small_ones_left_out(
    prepare: PrepareResponses, responses: anndata.AnnData, logged: pytest.LogCaptureFixture
) -> None:
    dataset = prepare(responses)
    assert by_name(dataset, "n_cells")["GENE0020"] == 24
    assert "GENE0005" not in by_name(dataset, "n_cells")
    assert any(
        line.startswith("perturbations with fewer than 10 cells, left out: 5") for line in logged.messages
    )


def test_unknown_numbers_of_cells_are_one(prepare: PrepareResponses, responses: anndata.AnnData) -> None:
    del responses.obs["n_cells"]
    assert set(by_name(prepare(responses), "n_cells").values()) == {1}


def test_without_marks_no_gene_is_a_deg(
    prepare: PrepareResponses, responses: anndata.AnnData, logged: pytest.LogCaptureFixture
) -> None:
    del responses.layers["significant"]
    dataset = prepare(responses)
    assert not any(mask.any() for mask in by_name(dataset, "deg_mask").values())
    assert "no layer 'significant': no gene is marked as a DEG" in logged.messages


def test_units_and_the_layer_of_marks_are_kept_and_change_no_number(
    prepare: PrepareResponses, responses: anndata.AnnData, logged: pytest.LogCaptureFixture
) -> None:
    plain = prepare(responses)
    logged.clear()
    named = prepare(responses, units="log2 fold change")
    assert describe_units(named.manifest) == "log2 fold change"
    assert describe_degs(named.manifest) == "marked by the responses' layer 'significant'"
    assert named.fingerprint == plain.fingerprint
    rows = dict(summarize_prepared(named))
    assert rows["units of deltas"] == "log2 fold change"
    assert rows["DEGs"] == "marked by the responses' layer 'significant'"
    assert not any("--units" in line for line in logged.messages)


def test_responses_without_units_are_noted_and_called_so(
    prepare: PrepareResponses, responses: anndata.AnnData, logged: pytest.LogCaptureFixture
) -> None:
    assert describe_units(prepare(responses).manifest) == "units of the responses"
    assert any("name them with --units" in line for line in logged.messages)


@pytest.mark.parametrize("mark", [np.nan, np.inf, 0.03])
def test_what_marks_no_degs_is_refused(
    prepare: PrepareResponses, responses: anndata.AnnData, mark: float
) -> None:
    marks = responses.layers["significant"].astype(np.float32)
    marks[3, 7] = mark
    responses.layers["significant"] = marks
    with pytest.raises(InputError, match="'significant' holds 1 value that is none, the first in 'GENE0008'"):
        prepare(responses, min_cells=1)


def test_degs_may_be_marked_by_their_direction(prepare: PrepareResponses, responses: anndata.AnnData) -> None:
    plain = by_name(prepare(responses, min_cells=1), "deg_mask")
    responses.layers["significant"] = responses.layers["significant"] * np.sign(responses.X)
    signed = by_name(prepare(responses, min_cells=1), "deg_mask")
    assert all(np.array_equal(signed[name], plain[name]) for name in plain)


def test_a_perturbation_of_two_rows_one_of_few_cells_is_named_by_a_split_list(
    prepare: PrepareResponses, responses: anndata.AnnData, tmp_path: Path
) -> None:
    # The row of 5 cells is left out, that of 24 is kept.
    responses.obs_names = ["GENE0020", *PERTURBATIONS[1:]]
    splits = ["train"] * 10 + ["validation"] * 4 + ["test"] * 6
    lines = [f"{name},{split}" for name, split in zip(PERTURBATIONS, splits, strict=True)]
    (tmp_path / "split.csv").write_text("\n".join(["perturbation,split", *lines[1:]]))
    dataset = prepare(responses, split_file=tmp_path / "split.csv")
    assert by_name(dataset, "n_cells")["GENE0020"] == 24


def test_control_rows_are_left_out(prepare: PrepareResponses, responses: anndata.AnnData) -> None:
    responses.obs_names = ["non-targeting", *PERTURBATIONS[1:]]
    assert prepare(responses, min_cells=1).manifest.counts["perturbations"] == 19


def test_order_of_rows_makes_no_difference(prepare: PrepareResponses, responses: anndata.AnnData) -> None:
    one, other = prepare(responses), prepare(responses[::-1].copy())
    np.testing.assert_array_equal(one.splits["test"].table.delta, other.splits["test"].table.delta)


@pytest.mark.parametrize(
    ("change", "choices", "message"),
    [
        (
            {"obs_names": ["GENE0002", *PERTURBATIONS[1:]]},
            {},
            "one row per perturbation, but 1 have several: 'GENE0002'",
        ),
        (
            {},
            {"significant_layer": "signif"},
            r"--significant-layer must name a layer.*Did you mean 'significant'\?",
        ),
        ({}, {"n_cells_column": "cells"}, "--n-cells-column must name a column, but there is no 'cells'"),
        ({"X": np.full((20, 30), np.nan)}, {}, "Responses must be numbers, but 600 values are NaN"),
        *(
            (
                {"obs": pd.DataFrame({"n_cells": [number] * 20}, index=PERTURBATIONS)},
                {},
                "Numbers of cells must be whole numbers",
            )
            for number in ("many", 20.5, np.inf, 1e10, -3)
        ),
    ],
)
def test_bad_responses_are_refused(
    prepare: PrepareResponses,
    responses: anndata.AnnData,
    change: dict[str, Any],
    choices: dict[str, str],
    message: str,
) -> None:
    for name, value in change.items():
        setattr(responses, name, value)
    with pytest.raises(InputError, match=message):
        prepare(responses, min_cells=1, **choices)
