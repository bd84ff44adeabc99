import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.prepare import prepare
from adapert.data.prepared import PreparedDataset
from adapert.data.simulate import simulate
from adapert.errors import InputError
from adapert.evaluation.cell_moments import cells_by_perturbation
from adapert.evaluation.cell_tests import ControlTests
from adapert.evaluation.emission import emit_cells
from adapert.evaluation.emitted_files import write_emitted_pair
from adapert.evaluation.evaluate import evaluate
from adapert.evaluation.metrics import mae, mse, pds, pearson_delta

SKIPPED = "clustering_agreement,pearson_edistance"


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def tested_dataset(tiny_dataset: PreparedDataset) -> PreparedDataset:
    """The tiny data set with DEGs that were called from its cells."""
    part = tiny_dataset.splits["validation"]
    tested = ControlTests(tiny_dataset, part.table).differential_expression(
        cells_by_perturbation(tiny_dataset, "validation")
    )
    part = replace(part, table=replace(part.table, deg_mask=tested.deg_mask))
    return replace(tiny_dataset, splits={"validation": part})


@pytest.fixture
def predicted(tested_dataset: PreparedDataset) -> np.ndarray:
    delta = tested_dataset.splits["validation"].table.delta
    return 0.5 * delta + 0.2 * np.random.default_rng(0).normal(size=delta.shape)


@pytest.fixture
def pair(tested_dataset: PreparedDataset, predicted: np.ndarray, tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "pred.h5ad", tmp_path / "real.h5ad"
    write_emitted_pair(
        predicted,
        tested_dataset,
        "validation",
        predicted_file=files[0],
        real_file=files[1],
        generator=generator(),
    )
    return files


def test_files_hold_all_controls_and_each_perturbations_cells(
    tested_dataset: PreparedDataset, predicted: np.ndarray, pair: tuple[Path, Path]
) -> None:
    part = tested_dataset.splits["validation"]
    emitted = emit_cells(predicted, tested_dataset, "validation", "control_shift", generator())
    cells = {
        "pred": [one.expression for one in emitted],
        "real": [one.toarray() for one in cells_by_perturbation(tested_dataset, "validation")],
    }
    for path in pair:
        data = anndata.read_h5ad(path)
        assert data.var_names.tolist() == tested_dataset.gene_names.tolist()
        labels = data.obs["target_gene"].to_numpy(dtype=str)
        controls = tested_dataset.control_cells.expression(tested_dataset.n_genes).toarray()
        np.testing.assert_array_equal(data.X[labels == "non-targeting"].toarray(), controls)
        for name, expected in zip(part.table.perturbations, cells[path.stem], strict=True):
            np.testing.assert_array_equal(data.X[labels == name].toarray(), expected)


def test_unknown_way_of_emission_leaves_no_file(
    tested_dataset: PreparedDataset, predicted: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="must be emitted in a known way"):
        write_emitted_pair(
            predicted,
            tested_dataset,
            "validation",
            predicted_file=tmp_path / "pred.h5ad",
            real_file=tmp_path / "real.h5ad",
            emission="tile",  # type: ignore[arg-type]
            generator=generator(),
        )
    assert list(tmp_path.iterdir()) == []


def test_one_file_for_both_sides_is_refused(
    tested_dataset: PreparedDataset, predicted: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="must go to two files, but both are"):
        write_emitted_pair(
            predicted,
            tested_dataset,
            "validation",
            predicted_file=tmp_path / "cells.h5ad",
            real_file=tmp_path / "cells.h5ad",
            generator=generator(),
        )


def means(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Deltas of a file's cells against its controls, in the order of the names."""
    data = anndata.read_h5ad(path)
    frame = pd.DataFrame(data.X.toarray()).groupby(data.obs["target_gene"].to_numpy(dtype=str)).mean()
    control = frame.loc["non-targeting"].to_numpy()
    frame = frame.drop(index="non-targeting")
    return frame.index.to_numpy(dtype=str), frame.to_numpy() - control


RunCellEval = Callable[[tuple[Path, Path], Path], pd.DataFrame]

CELL_EVAL = """
import json, sys
from contextlib import redirect_stdout
from cell_eval.__main__ import main
for line in sys.stdin:
    sys.argv = ["cell-eval", *json.loads(line)]
    with redirect_stdout(sys.stderr):
        main()
    print("done", flush=True)
"""


@pytest.fixture(scope="module")
def run_cell_eval() -> Iterator[RunCellEval]:
    """Run cell-eval's command, in one process for all tests: it takes seconds to import."""
    pytest.importorskip("cell_eval", reason="the extra 'parity' is not installed")
    # To compile takes longer than to test so few cells.
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", CELL_EVAL], env=environment, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        requests, answers = process.stdin, process.stdout

        def run(pair: tuple[Path, Path], out: Path) -> pd.DataFrame:
            files = ["-ap", str(pair[0]), "-ar", str(pair[1]), "-o", str(out)]
            requests.write(json.dumps(["run", "--skip-metrics", SKIPPED, *files]) + "\n")
            requests.flush()
            assert answers.readline() == "done\n"
            return pd.read_csv(out / "results.csv", index_col="perturbation")

        yield run
        requests.close()


def test_cell_eval_takes_the_pair_as_it_is_and_finds_the_same_numbers(
    tested_dataset: PreparedDataset,
    predicted: np.ndarray,
    pair: tuple[Path, Path],
    run_cell_eval: RunCellEval,
    tmp_path: Path,
) -> None:
    results = run_cell_eval(pair, tmp_path / "out")
    table = tested_dataset.splits["validation"].table
    ours = evaluate(predicted, tested_dataset, "validation", generator=generator())
    of_cells = {
        "overlap_at_50": "overlap_at_50",
        "overlap_at_100": "overlap_at_100",
        "overlap_at_N": "overlap_at_N",
        "deg_recall": "de_sig_genes_recall",
        "direction_match": "de_direction_match",
        "spearman_lfc": "de_spearman_lfc_sig",
    }
    for own, theirs in of_cells.items():
        expected = results[theirs].loc[table.perturbations.tolist()]
        np.testing.assert_allclose(ours.per_perturbation[own], expected, atol=1e-9, err_msg=own)
    assert ours.scalars["spearman_n_degs"] == pytest.approx(results["de_spearman_sig"].iloc[0], abs=1e-9)

    names, predicted_delta = means(pair[0])
    _, observed_delta = means(pair[1])
    of_deltas = {"pearson_delta": pearson_delta, "mse_delta": mse, "mae_delta": mae}
    for theirs, metric in of_deltas.items():
        expected = results.loc[names, theirs]
        np.testing.assert_allclose(metric(predicted_delta, observed_delta), expected, atol=1e-9)
    targets = names[:, None] == tested_dataset.gene_names
    expected = results.loc[names, "discrimination_score_l1"]
    np.testing.assert_allclose(pds(predicted_delta, observed_delta, targets), expected, atol=1e-9)


@pytest.fixture(scope="module")
def batched_dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Three batches that differ, and perturbations that are each of one of them."""
    folder = tmp_path_factory.mktemp("batched") / "simulated"
    simulate(folder, n_perturbations=20, n_genes=60, cells_per_perturbation=60, n_controls=150, seed=2)
    cells = anndata.read_h5ad(folder / "cells.h5ad")
    labels, batch = (cells.obs[name].astype("category").cat.codes for name in ("perturbation", "batch"))
    cells = cells[((cells.obs["perturbation"] == "control") | (batch == labels % 3)).to_numpy()]
    cells.write_h5ad(folder / "uneven.h5ad")
    files = folder / "uneven.h5ad", folder / "network.tsv.gz", folder / "text.npz"
    return prepare(*files, PrepareChoices(split_fractions=(0.5, 0.2, 0.3)))


def test_cell_eval_pools_the_controls_of_all_batches(
    batched_dataset: PreparedDataset, run_cell_eval: RunCellEval, tmp_path: Path
) -> None:
    table = batched_dataset.splits["test"].table
    # Between matched controls and observed cells, so that nothing is clipped.
    predicted = np.random.default_rng(0).beta(0.2, 0.2, table.delta.shape) * table.delta
    pair = tmp_path / "pred.h5ad", tmp_path / "real.h5ad"
    write_emitted_pair(
        predicted,
        batched_dataset,
        "test",
        predicted_file=pair[0],
        real_file=pair[1],
        emission="tiled",
        generator=generator(),
    )
    results = run_cell_eval(pair, tmp_path / "out").loc[table.perturbations.tolist()]
    ours = evaluate(predicted, batched_dataset, "test", emission="tiled", generator=generator())
    assert ours.clip_fraction == 0
    found = ours.per_perturbation
    # float32 is what deltas and control profiles are stored in.
    np.testing.assert_allclose(found["pearson_delta_pooled"], results["pearson_delta"], atol=1e-5)
    np.testing.assert_allclose(
        found["pds_without_target_pooled"], results["discrimination_score_l1"], atol=1e-9
    )
    np.testing.assert_allclose(found["mse"], results["mse_delta"], atol=1e-6)
    assert np.abs(found["pearson_delta"] - results["pearson_delta"]).mean() > 0.01
