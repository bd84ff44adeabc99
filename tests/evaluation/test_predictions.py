"""The file of predictions, read as others read it."""

from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.evaluation.predictions import (
    PREDICTIONS_FILE,
    build_predictions,
    read_predictions,
    write_predictions,
)
from analysis import predictions as figures
from analysis.figures.prediction import plot_prediction, summarize_prediction


@pytest.fixture
def written(tiny_dataset: PreparedDataset, tmp_path: Path) -> Path:
    table = tiny_dataset.splits["test"].table
    predicted = {"adapert": table.delta.astype(np.float64) / 2, "mean": np.zeros_like(table.delta)}
    write_predictions(build_predictions(tiny_dataset, "test", predicted), tmp_path)
    return tmp_path


def test_predictions_lie_beside_what_was_observed(written: Path, tiny_dataset: PreparedDataset) -> None:
    table = tiny_dataset.splits["test"].table
    found = anndata.read_h5ad(written / PREDICTIONS_FILE)
    assert found.obs_names.tolist() == table.perturbations.tolist()
    assert found.var_names.tolist() == tiny_dataset.gene_names.tolist()
    np.testing.assert_array_equal(found.X, table.delta)
    np.testing.assert_array_equal(found.layers["adapert"], table.delta / 2)
    np.testing.assert_array_equal(found.layers["is_deg"], table.deg_mask)
    assert found.X.dtype == found.layers["adapert"].dtype == np.float32
    assert found.obs["effect_size"].tolist() == table.effect_size.tolist()
    assert found.obs["n_cells"].tolist() == table.n_cells.tolist()
    assert found.obs["n_degs"].tolist() == table.deg_mask.sum(axis=1).tolist()
    assert dict(found.uns) == {"fingerprint": "tiny", "split": "test", "units": "log1p units"}


def test_a_folder_of_an_evaluation_is_read_with_all_its_variants(written: Path) -> None:
    assert set(read_predictions(written).layers) == {"adapert", "mean", "is_deg"}


def test_predictions_of_responses_are_in_their_units(tiny_dataset: PreparedDataset, tmp_path: Path) -> None:
    manifest = replace(
        tiny_dataset.manifest, kind="responses", choices=PrepareChoices(kind="responses", units="rank")
    )
    table = tiny_dataset.splits["test"].table
    predictions = build_predictions(replace(tiny_dataset, manifest=manifest), "test", {"mean": table.delta})
    write_predictions(predictions, tmp_path)
    figure = plot_prediction(summarize_prediction(figures.read_predictions(tmp_path)))
    assert figure.axes[0].get_xlabel() == "observed delta (rank)"
    assert figure.axes[0].get_ylabel() == "predicted delta (rank)"


def test_figures_read_what_evaluations_write(written: Path, tiny_dataset: PreparedDataset) -> None:
    table = tiny_dataset.splits["test"].table
    read = figures.read_predictions(written)
    assert read.variants == ["adapert", "mean"]
    np.testing.assert_array_equal(read.observed_delta, table.delta)
    np.testing.assert_array_equal(read.deg_mask, table.deg_mask)


def test_a_folder_without_predictions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no such file"):
        read_predictions(tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / PREDICTIONS_FILE).write_text("damaged")
    with pytest.raises(InputError, match=r"must be a whole \.h5ad file, but .* is damaged"):
        read_predictions(tmp_path)
