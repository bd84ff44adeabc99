"""Another model's predictions: what is read of deltas, profiles and cells, and what is refused."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present

from adapert.data.array_tables import PerturbationTable
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.evaluation.cell_moments import cells_by_perturbation
from adapert.evaluation.emitted_files import write_emitted_pair
from adapert.evaluation.evaluate import evaluate
from adapert.evaluation.predicted_files import FilePrediction, parse_predictions, read_prediction

Write = Callable[..., Path]
Read = Callable[[Path], FilePrediction]


@pytest.fixture
def table(tiny_dataset: PreparedDataset) -> PerturbationTable:
    return tiny_dataset.splits["validation"].table


@pytest.fixture
def predicted(table: PerturbationTable) -> np.ndarray:
    return np.random.default_rng(0).uniform(0.3, 0.7, table.delta.shape) * table.delta


@pytest.fixture
def write(tiny_dataset: PreparedDataset, tmp_path: Path) -> Write:
    def build(
        values: np.ndarray, labels: list[str], genes: list[str] | None = None, column: str = ""
    ) -> Path:
        obs = pd.DataFrame({column: labels}) if column else pd.DataFrame(index=labels)
        obs.index = obs.index.astype(str)
        names = tiny_dataset.gene_names.tolist() if genes is None else genes
        path = tmp_path / "theirs.h5ad"
        anndata.AnnData(values, obs, pd.DataFrame(index=names)).write_h5ad(path)
        return path

    return build


@pytest.fixture
def read(tiny_dataset: PreparedDataset, tmp_path: Path) -> Read:
    return lambda path: read_prediction("theirs", path, tiny_dataset, "validation", tmp_path)


def test_deltas_are_found_by_names_in_any_order(
    table: PerturbationTable, predicted: np.ndarray, write: Write, read: Read, tiny_dataset: PreparedDataset
) -> None:
    generator = np.random.default_rng(1)
    rows, columns = generator.permutation(len(predicted)), generator.permutation(predicted.shape[1])
    names = ["+".join(reversed(name.split("+"))) for name in table.perturbations[rows].tolist()]
    values = np.pad(predicted[np.ix_(rows, columns)], ((0, 1), (0, 1)), constant_values=7.0)
    genes = [*tiny_dataset.gene_names[columns].tolist(), "OTHER"]
    found = read(write(values, [*names, "G99"], genes))
    assert (found.form, found.cells()) == ("deltas", None)
    np.testing.assert_allclose(found.predicted_delta, predicted, rtol=1e-6)


def test_profiles_are_read_against_their_controls(
    table: PerturbationTable, predicted: np.ndarray, write: Write, read: Read, tiny_dataset: PreparedDataset
) -> None:
    shared = tiny_dataset.shared
    matched = np.stack(
        [
            np.average(
                shared.batch_control_mean[table.group_batch_index[table.group_perturbation_index == row]],
                axis=0,
                weights=table.group_n_cells[table.group_perturbation_index == row],
            )
            for row in range(len(predicted))
        ]
    )
    profiles = np.vstack([shared.control_mean, matched + predicted])
    found = read(write(profiles, ["non-targeting", *table.perturbations], column="target_gene"))
    assert found.form == "profiles"
    np.testing.assert_allclose(found.predicted_delta, predicted, atol=1e-5)


def test_the_cells_that_are_emitted_score_as_the_model_that_predicted_them(
    tiny_dataset: PreparedDataset, predicted: np.ndarray, read: Read, tmp_path: Path
) -> None:
    path = tmp_path / "emitted.h5ad"
    write_emitted_pair(
        predicted,
        tiny_dataset,
        "validation",
        predicted_file=path,
        real_file=tmp_path / "real.h5ad",
        emission="tiled",
        generator=np.random.default_rng(0),
    )
    found = read(path)
    assert found.form == "cells"
    np.testing.assert_allclose(found.predicted_delta, predicted, atol=1e-5)
    generator = np.random.default_rng(0)
    ours = evaluate(predicted, tiny_dataset, "validation", emission="tiled", generator=generator)
    assert ours.clip_fraction == 0
    theirs = evaluate(
        found.predicted_delta, tiny_dataset, "validation", generator=generator, cells=found.cells()
    )
    assert theirs.emission is None
    for name, values in ours.per_perturbation.items():
        np.testing.assert_allclose(theirs.per_perturbation[name], values, atol=1e-4, err_msg=name)


def test_the_observed_cells_as_a_prediction_find_every_deg(
    tiny_dataset: PreparedDataset, table: PerturbationTable, write: Write, read: Read
) -> None:
    """Without controls in the file: those of the data set stand for them."""
    cells = [one.toarray() for one in cells_by_perturbation(tiny_dataset, "validation")]
    labels = np.repeat(table.perturbations, table.n_cells).tolist()
    found = read(write(np.concatenate(cells), labels, column="condition"))
    np.testing.assert_allclose(found.predicted_delta, table.delta, atol=1e-5)
    given = list(present(found.cells()))
    for own, expected in zip(given, cells, strict=True):
        np.testing.assert_array_equal(own, expected)
    scored = evaluate(
        found.predicted_delta, tiny_dataset, "validation", generator=np.random.default_rng(0), cells=given
    )
    np.testing.assert_allclose(scored.per_perturbation["pearson_delta"], 1, atol=1e-6)
    np.testing.assert_array_equal(scored.per_perturbation["direction_match"], 1)


def test_predicted_cells_below_0_are_clipped_before_they_are_tested(
    tiny_dataset: PreparedDataset, table: PerturbationTable, write: Write, read: Read
) -> None:
    cells = np.concatenate([one.toarray() for one in cells_by_perturbation(tiny_dataset, "validation")])
    cells[:, 0] = -0.5
    found = read(write(cells, np.repeat(table.perturbations, table.n_cells).tolist(), column="gene"))
    scored = evaluate(
        found.predicted_delta,
        tiny_dataset,
        "validation",
        generator=np.random.default_rng(0),
        cells=found.cells(),
    )
    assert scored.clip_fraction == pytest.approx(1 / tiny_dataset.n_genes)


def test_a_missing_perturbation_is_refused(
    table: PerturbationTable, predicted: np.ndarray, write: Write, read: Read
) -> None:
    missing = table.perturbations[2]
    path = write(predicted[[0, 1, 3]], table.perturbations[[0, 1, 3]].tolist())
    with pytest.raises(
        InputError, match=rf"of the validation split, but .* lacks 1 of 4: '{re.escape(missing)}'"
    ) as found:
        read(path)
    assert "add the missing one" in str(found.value)


def test_genes_of_other_data_are_refused(
    table: PerturbationTable, predicted: np.ndarray, write: Write, read: Read
) -> None:
    path = write(predicted, table.perturbations.tolist(), [f"X{gene}" for gene in range(12)])
    with pytest.raises(InputError, match=r"lacks 12 of 12: 'G00'.* has 12 that the data lack: 'X0'"):
        read(path)


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_a_repeated_gene_is_refused(
    table: PerturbationTable, predicted: np.ndarray, write: Write, read: Read, tiny_dataset: PreparedDataset
) -> None:
    values = np.hstack([predicted, predicted[:, :1]])
    path = write(values, table.perturbations.tolist(), [*tiny_dataset.gene_names.tolist(), "G00"])
    with pytest.raises(InputError, match=r"each gene once, but .* repeats 1: 'G00'"):
        read(path)


@pytest.mark.parametrize(("value", "says"), [(np.nan, "must be numbers"), (np.inf, "must be finite")])
def test_values_that_are_not_finite_are_refused(
    table: PerturbationTable, predicted: np.ndarray, write: Write, read: Read, value: float, says: str
) -> None:
    predicted[1, 3] = value
    with pytest.raises(InputError, match=f"{says}, but 1 value is .* the first in gene 'G03'"):
        read(write(predicted, table.perturbations.tolist()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda delta: delta * 100, "must be in log1p units, but .* has one of"),
        (lambda delta: np.abs(delta) + 1, "none is below 0: they look like expression"),
    ],
)
def test_deltas_of_another_scale_are_refused(
    table: PerturbationTable,
    predicted: np.ndarray,
    write: Write,
    read: Read,
    change: Callable[[np.ndarray], np.ndarray],
    says: str,
) -> None:
    with pytest.raises(InputError, match=says):
        read(write(change(predicted), table.perturbations.tolist()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda cells: np.rint(10 * cells), "but .* holds counts"),
        (lambda cells: cells * 100 + 0.1, "not logged"),
        (lambda cells: np.log1p(2.5 * np.expm1(cells)), r"its controls in .* adds up to .* controls to"),
    ],
)
def test_cells_of_another_scale_are_refused(
    tiny_dataset: PreparedDataset,
    table: PerturbationTable,
    write: Write,
    read: Read,
    change: Callable[[np.ndarray], np.ndarray],
    says: str,
) -> None:
    controls = tiny_dataset.control_cells.expression(tiny_dataset.n_genes)
    cells = [one.toarray() for one in (controls, *cells_by_perturbation(tiny_dataset, "validation"))]
    labels = np.repeat(["control", *table.perturbations], [controls.shape[0], *table.n_cells]).tolist()
    path = write(change(np.concatenate(cells)), labels, column="perturbation")
    with pytest.raises(InputError, match=says):
        read(path)


def test_responses_take_deltas_of_any_units_and_no_cells(
    tiny_dataset: PreparedDataset,
    table: PerturbationTable,
    predicted: np.ndarray,
    write: Write,
    tmp_path: Path,
) -> None:
    responses = replace(tiny_dataset, manifest=replace(tiny_dataset.manifest, kind="responses"))
    names = table.perturbations.tolist()
    path = write(np.abs(predicted) * 100, names)
    found = read_prediction("ranks", path, responses, "validation", tmp_path)
    np.testing.assert_allclose(found.predicted_delta, np.abs(predicted) * 100, rtol=1e-6)
    path = write(np.vstack([predicted, predicted]), [*names, *names], column="perturbation")
    with pytest.raises(InputError, match=r"are a row of deltas for each perturbation, but .* several rows"):
        read_prediction("cells", path, responses, "validation", tmp_path)


def test_files_are_named_by_the_user_or_by_their_stem() -> None:
    assert parse_predictions(["a/scgpt.h5ad", "gears=b.h5ad"]) == {
        "scgpt": Path("a/scgpt.h5ad"),
        "gears": Path("b.h5ad"),
    }
    with pytest.raises(InputError, match=r"'one' is given twice: 'a/one.h5ad' and 'two.h5ad'"):
        parse_predictions(["a/one.h5ad", "one=two.h5ad"])
    with pytest.raises(InputError, match="'my model' is no such name"):
        parse_predictions(["my model.h5ad"])


def test_a_transposed_file_is_told_to_be_transposed(
    table: PerturbationTable, predicted: np.ndarray, write: Write, read: Read, tiny_dataset: PreparedDataset
) -> None:
    path = write(predicted.T, tiny_dataset.gene_names.tolist(), table.perturbations.tolist())
    with pytest.raises(
        InputError, match=r"a column a gene, but '.*' has them the other way round\. Transpose"
    ):
        read(path)


def test_deltas_beside_a_control_of_0_are_told_to_leave_it_out(
    table: PerturbationTable, predicted: np.ndarray, write: Write, read: Read
) -> None:
    values = np.vstack([np.zeros(predicted.shape[1]), predicted])
    with pytest.raises(
        InputError, match=r"are all 0, as those of deltas are\. Leave the rows of controls out"
    ):
        read(write(values, ["control", *table.perturbations]))
