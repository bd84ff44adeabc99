"""Agreement with cell-eval 0.8.2 on pdex 0.3.0, from the same cells."""

import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.prepare import prepare
from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.data.simulate import simulate
from adapert.evaluation.emitted_files import write_emitted_pair
from adapert.evaluation.evaluate import evaluate
from adapert.evaluation.metrics import mae, mse, pds, pearson_delta
from benchmarks.parity import (
    OVERLAPS,
    TOLERANCE,
    Case,
    cell_eval_values,
    constant_case,
    differences,
    no_change_case,
    nothing_true_case,
    own_values,
    random_case,
    real_case,
    ties_at_k,
)

# Imported by the tests alone: it takes seconds, in each process that collects them.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not find_spec("cell_eval"), reason="the extra 'parity' is not installed"),
]

SKIPPED = "clustering_agreement,pearson_edistance"
SHAPES = [(3, 20, 15, 30), (8, 60, 25, 40), (12, 130, 30, 200), (5, 250, 60, 90)]


def assert_agreement(case: Case) -> None:
    assert {name: value for name, value in differences(case).items() if value > TOLERANCE} == {}


@pytest.mark.parametrize(("seed", "shape"), enumerate(SHAPES))
def test_metrics_agree_on_random_cells(seed: int, shape: tuple[int, int, int, int]) -> None:
    case = random_case(seed, *shape)
    assert own_values(case)["n_true_degs"].any()
    assert not any(ties_at_k(case, k).any() for k in OVERLAPS.values())
    assert_agreement(case)


@pytest.mark.parametrize("cell_type", ["k562", "A172"])
def test_metrics_agree_on_real_cells(real_data: Path, cell_type: str) -> None:
    assert_agreement(real_case(real_data, cell_type, seed=0))


def test_metrics_agree_where_one_mean_profile_is_predicted_for_all() -> None:
    assert_agreement(constant_case(4, 8, 60, 30))


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_metrics_agree_where_no_change_is_predicted() -> None:
    case = no_change_case(5, 8, 60, 30)
    values = own_values(case)
    assert np.isnan(values["pearson_delta_pooled"]).all()
    assert not values["n_predicted_degs"].any()
    assert_agreement(case)


def test_metrics_agree_where_no_deg_is_true() -> None:
    case = nothing_true_case(6, 8, 60, 30)
    values = own_values(case)
    assert not values["n_true_degs"].any()
    assert values["n_predicted_degs"].all()
    assert_agreement(case)


def tile_control_mean(case: Case) -> FloatArray:
    """The mean of the controls in every predicted cell: up to rounding, each fold change is 0."""
    is_control = case.labels == "non-targeting"
    mean = case.real[is_control].mean(axis=0)
    return np.where(is_control[:, None], case.real, mean)


def draw_all_controls(case: Case) -> FloatArray:
    """Every control once in each perturbation's cells, in another order."""
    is_control, generator = case.labels == "non-targeting", np.random.default_rng(0)
    predicted = case.real.copy()
    for name in case.perturbations:
        predicted[case.labels == name] = generator.permutation(case.real[is_control])
    return predicted


@pytest.mark.filterwarnings("ignore:An input array is constant")
@pytest.mark.parametrize("predict", [tile_control_mean, draw_all_controls])
@pytest.mark.parametrize("seed", range(3))
def test_directions_agree_where_the_predicted_mean_is_the_controls(
    predict: Callable[[Case], FloatArray], seed: int
) -> None:
    case = random_case(seed, 8, 60, 40, 40)
    case = replace(case, predicted=predict(case))
    controls = case.real[case.labels == "non-targeting"].mean(axis=0)
    first = case.predicted[case.labels == case.perturbations[0]].mean(axis=0)
    np.testing.assert_allclose(first, controls, rtol=1e-14)
    assert differences(case)["direction_match"] == 0


def test_cases_have_infinite_fold_changes_and_perturbations_without_degs() -> None:
    case = random_case(1, *SHAPES[1])
    controls, perturbed = (case.real[(case.labels == "non-targeting") == side] for side in (True, False))
    assert not controls[:, 1].any()
    assert perturbed[:, 1].any()
    assert controls[:, 2].any()
    assert not perturbed[:, 2].any()
    assert not nothing_true_case(6, 8, 60, 30).target_mask[1].any()  # a combination


def test_leaving_the_target_out_is_what_makes_pds_agree() -> None:
    case = random_case(1, *SHAPES[1])
    is_control = case.labels == "non-targeting"
    real, predicted = case.real.copy(), np.tile(case.real[is_control].mean(axis=0), (len(case.labels), 1))
    predicted[is_control] = case.real[is_control]
    for row, name in enumerate(case.perturbations):  # a prediction that knows its target, and no more
        own_target = np.ix_(case.labels == name, case.target_mask[row])
        real[own_target] = predicted[own_target] = 6.5
    case = replace(case, real=real, predicted=predicted)
    predicted_delta, observed_delta = (
        np.stack([cells[case.labels == name].mean(axis=0) for name in case.perturbations])
        - cells[is_control].mean(axis=0)
        for cells in (predicted, real)
    )
    theirs = cell_eval_values(case)["pds_without_target_pooled"]
    np.testing.assert_allclose(pds(predicted_delta, observed_delta, case.target_mask), theirs, atol=TOLERANCE)
    assert (pds(predicted_delta, observed_delta) > theirs).any()


# the files that are written for it


def means(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Deltas of a file's cells against its controls, in the order of the names."""
    data = anndata.read_h5ad(path)
    frame = pd.DataFrame(data.X.toarray()).groupby(data.obs["target_gene"].to_numpy(dtype=str)).mean()
    control = frame.loc["non-targeting"].to_numpy()
    frame = frame.drop(index="non-targeting")
    return frame.index.to_numpy(dtype=str), frame.to_numpy() - control


RunCellEval = Callable[[tuple[Path, Path], Path], pd.DataFrame]


@pytest.fixture
def run_cell_eval(monkeypatch: pytest.MonkeyPatch) -> RunCellEval:
    """Run cell-eval's command, in this process: to import it and to compile what it calls takes seconds."""

    def run(pair: tuple[Path, Path], out: Path) -> pd.DataFrame:
        files = ["-ap", str(pair[0]), "-ar", str(pair[1]), "-o", str(out)]
        monkeypatch.setattr(sys, "argv", ["cell-eval", "run", "--skip-metrics", SKIPPED, *files])
        runpy.run_module("cell_eval", run_name="__main__")
        return pd.read_csv(out / "results.csv", index_col="perturbation")

    return run


def test_cell_eval_takes_the_pair_as_it_is_and_finds_the_same_numbers(
    tested_dataset: PreparedDataset,
    predicted: np.ndarray,
    pair: tuple[Path, Path],
    run_cell_eval: RunCellEval,
    tmp_path: Path,
) -> None:
    results = run_cell_eval(pair, tmp_path / "out")
    table = tested_dataset.splits["validation"].table
    ours = evaluate(predicted, tested_dataset, "validation", generator=np.random.default_rng(3))
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
        generator=np.random.default_rng(3),
    )
    results = run_cell_eval(pair, tmp_path / "out").loc[table.perturbations.tolist()]
    ours = evaluate(predicted, batched_dataset, "test", emission="tiled", generator=np.random.default_rng(3))
    assert ours.clip_fraction == 0
    found = ours.per_perturbation
    # float32 is what deltas and control profiles are stored in.
    np.testing.assert_allclose(found["pearson_delta_pooled"], results["pearson_delta"], atol=1e-5)
    np.testing.assert_allclose(
        found["pds_without_target_pooled"], results["discrimination_score_l1"], atol=1e-9
    )
    np.testing.assert_allclose(found["mse"], results["mse_delta"], atol=1e-6)
    assert np.abs(found["pearson_delta"] - results["pearson_delta"]).mean() > 0.01
