"""`adapert evaluate`: what it prints and writes, and what a user can get wrong."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from fixtures.command import Refused, RunCommand, Simulated, documented_keys

from adapert.comparison.table import DATA_COLUMNS
from adapert.models.reference.mean import MeanModel
from adapert.records import LONG_COLUMNS

Evaluate = Callable[..., str]


@pytest.fixture
def evaluate(refused: Refused, simulated: Simulated) -> Evaluate:
    """Run an `evaluate` that must be refused on the prepared data set."""

    def run(*words: object) -> str:
        return refused("evaluate", *words, "--data", simulated.prepared)

    return run


def test_evaluate_prints_and_writes_every_model_beside_the_ceilings(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["--data", simulated.prepared, "--models", "control,ridge_both", "--device", "cpu"]
    ended = adapert("evaluate", *words)
    assert (ended.status, ended.err) == (0, "")
    assert "Opened: the test split of data " in ended.out
    assert "4 test perturbations" in ended.out
    assert ended.out.endswith("This is access 1 to the test split of these data (no study).\n")
    for row in ("control", "ridge_both", "ceiling: split halves"):
        assert re.search(rf"^{row} .*±", ended.out, re.MULTILINE), row
    folder = tmp_path / "runs" / "evaluations" / "test_001"
    assert f"Wrote {folder.relative_to(tmp_path)}" in ended.out
    table = pd.read_parquet(folder / "per_perturbation.parquet")
    assert tuple(table.columns) == LONG_COLUMNS + DATA_COLUMNS
    assert set(table["variant"]) >= {"control", "ridge_both", "split_half"}
    record = json.loads((folder / "evaluation.json").read_text())
    assert record["opened"]["split"] == "test"
    assert record["git_commit"]


def test_models_of_one_data_set_are_scored_on_another(
    adapert: RunCommand, evaluate: Evaluate, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["--network", simulated.network, "--embeddings", simulated.embeddings, "--min-cells", "1"]
    splits = ["--split-fractions", "0.4", "0.2", "0.4", "--split-seed", "3", "--where", "batch=batch2"]
    assert adapert("prepare", simulated.cells, *words, *splits, "--out", "other").status == 0
    words = ["--data", simulated.prepared, "--on", "other", "--models", "mean", "--device", "cpu"]
    ended = adapert("evaluate", *words)
    assert (ended.status, ended.err) == (0, "")
    assert re.search(r"Trained on data \w+, scored on data \w+: \d+ genes measured in both, of", ended.out)
    assert re.search(r"Left out of \d test perturbations: \d in the training or validation", ended.out)
    assert re.search(r"^mean of scored data .*\d", ended.out, re.MULTILINE)
    assert re.search(r"Models\s+were\s+trained\s+on\s+data", ended.out)
    assert re.search(r"This is access 1 to the test split of data \w+ \(no study\)\.\n$", ended.out)
    shutil.rmtree(tmp_path / "runs")
    assert "Leave it out, or name another data set" in evaluate("--on", simulated.prepared)


def test_evaluate_on_validation_needs_no_test_split(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    shutil.copytree(simulated.prepared, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "test")
    words = ["--data", "data", "--models", "mean", "--split", "validation", "--out", "here"]
    ended = adapert("evaluate", *words, "--device", "cpu", "--json")
    assert ended.status == 0
    assert "The test split stays closed." in ended.err
    said = json.loads(ended.out)
    assert list(said) == documented_keys("`evaluate`")
    assert (said["split"], said["folder"], said["access"]) == ("validation", "here", None)
    means = pd.read_csv(tmp_path / "here" / "summary.csv")["mean"]
    assert [row["mean"] for row in said["summary"]] == pytest.approx(means.to_numpy())
    assert not (tmp_path / "runs").exists()


def test_evaluate_emits_a_pair_for_cell_eval(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["--data", simulated.prepared, "--models", "mean", "--emission", "tiled"]
    ended = adapert("evaluate", *words, "--emit", "predicted.h5ad", "real.h5ad", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    assert "Wrote predicted.h5ad and real.h5ad" in ended.out
    shapes = {anndata.read_h5ad(tmp_path / name).shape for name in ("predicted.h5ad", "real.h5ad")}
    assert len(shapes) == 1


def test_cells_of_another_model_become_a_row(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["evaluate", "--data", simulated.prepared, "--models", "mean", "--device", "cpu"]
    assert adapert(*words, "--emit", "predicted.h5ad", "real.h5ad").status == 0
    ended = adapert(*words, "--again", "--predictions", "theirs=predicted.h5ad")
    assert (ended.status, ended.err) == (0, "")
    table = pd.read_parquet(tmp_path / "runs" / "evaluations" / "test_002" / "per_perturbation.parquet")
    ours, theirs = (
        table[(table["variant"] == name) & (table["metric"] == "overlap_at_50")]["value"].to_numpy()
        for name in ("mean", "file:theirs")
    )
    np.testing.assert_allclose(theirs, ours)
    assert re.search(r"^file:theirs .*±", ended.out, re.MULTILINE)
    assert re.search(r"^file:theirs minus each model", ended.out, re.MULTILINE)


def test_evaluate_prints_what_adapert_is_beside_each_model(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["--data", simulated.prepared, "--models", "adapert,mean,ridge_both", "--seeds", "1"]
    ended = adapert("evaluate", *words, "--max-epochs", "1", "--refit", "train+validation", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    below = ended.out.partition("adapert minus each model")[2]
    for row in ("mean", "ridge_both"):
        assert re.search(rf"^{row} +[+-]\S+ ±\S+ p=\S+", below, re.MULTILINE), row
    folder = tmp_path / "runs" / "evaluations" / "test_001"
    assert set(pd.read_csv(folder / "paired.csv")["reference"]) == {"mean", "ridge_both"}
    assert json.loads((folder / "evaluation.json").read_text())["refit"] == "train+validation"


def test_the_test_split_is_opened_again_only_where_that_is_meant(
    adapert: RunCommand, refused: Refused, simulated: Simulated
) -> None:
    words = ["evaluate", "--data", simulated.prepared, "--models", "control", "--device", "cpu"]
    assert adapert(*words).status == 0
    message = refused(*words)
    assert "Give --again to open it all the same" in message
    assert adapert(*words, "--split", "validation").status == 0
    ended = adapert(*words, "--again")
    assert ended.out.endswith("This is access 2 to the test split of these data (no study).\n")


def test_predictions_that_are_no_numbers_end_in_one_sentence(
    adapert: RunCommand, simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MeanModel, "predict", lambda self, names: np.full((len(names), 40), np.nan))
    ended = adapert("evaluate", "--data", simulated.prepared, "--models", "mean", "--device", "cpu")
    assert ended.status == 1
    assert re.fullmatch(r"Error: Predictions must stay finite.*\n", ended.err)


def test_evaluate_of_a_model_that_diverges_ends_with_1(
    adapert: RunCommand, simulated: Simulated, tmp_path: Path
) -> None:
    words = ["--data", simulated.prepared, "--models", "adapert", "--seeds", "1", "--device", "cpu"]
    ended = adapert("evaluate", *words, "--set", "training.learning_rate=1e30")
    assert ended.status == 1
    assert re.fullmatch(r"Error: .* must stay finite.*\n", ended.err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no.yaml"], "there is no file 'no.yaml'"),
        (["--set", "model.dropuot=0.1"], "Did you mean 'model.dropout'?"),
        (["--models", "mean,rigde_both"], "There is no model 'rigde_both'. Did you mean 'ridge_both'?"),
        (["--models", ""], "--models must be a list such as a,b"),
        (["--split", "tset"], "Did you mean 'test'?"),
        (["--emission", "titled"], "Did you mean 'tiled'?"),
        (["--refit", "train+validaton"], "Did you mean 'train+validation'?"),
        (["--refit", "train+validation", "--split", "validation"], "Leave one of the two out"),
        (["--seeds", "0"], "--seeds"),
        (["--ensemble", "--seeds", "1"], "--seeds is 1"),
        (["--ensemble", "--models", "mean"], "add adapert to --models"),
        (["--emit", "p.h5ad", "r.h5ad"], "Name one of them"),
        (["--predictions", "no.h5ad"], "there is no file 'no.h5ad'"),
        (["--predictions", "a=x.h5ad", "--predictions", "a=y.h5ad"], "'a' is given twice"),
        (["--predictions", f"theirs={__file__}"], "must be an .h5ad file"),
        (["--models", "adapert", "--emit", "p.h5ad", "r.h5ad"], "--ensemble to emit"),
        (["--models", "mean", "--emit", "p.h5ad", "p.h5ad"], "both are 'p.h5ad'"),
        (["--out", "."], "'.' exists"),
        (["--device", "tpu"], "--device must be one of auto, cpu, cuda"),
    ],
)
def test_a_wrong_evaluation_is_refused(evaluate: Evaluate, words: list[str], says: str) -> None:
    assert says in evaluate(*words)


def test_an_evaluation_without_data_is_refused(refused: Refused) -> None:
    assert "Give --data DIR" in refused("evaluate")


def test_an_evaluation_on_data_without_its_test_split_is_refused(
    refused: Refused, simulated: Simulated, tmp_path: Path
) -> None:
    shutil.copytree(simulated.prepared, tmp_path / "data")
    shutil.rmtree(tmp_path / "data" / "test")
    message = refused("evaluate", "--data", "data", "--models", "mean")
    assert "missing or damaged" in message


def test_several_configs_are_compared_and_the_test_split_is_opened_once(
    adapert: RunCommand, refused: Refused, simulated: Simulated, tmp_path: Path
) -> None:
    for name, penalty in (("loose", 0.1), ("stiff", 10.0)):
        text = f"model:\n  name: kernel_ridge\nkernel_ridge:\n  penalty: {penalty}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    words = ["loose.yaml", "stiff.yaml", "--data", simulated.prepared, "--models", "kernel_ridge,mean"]
    ended = adapert("evaluate", *words, "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    for row in ("kernel_ridge:loose", "kernel_ridge:stiff", "mean"):
        assert re.search(rf"^{row} .*±", ended.out, re.MULTILINE), row
    assert len((tmp_path / "runs" / "test_openings.jsonl").read_text().splitlines()) == 1
    message = refused("evaluate", "stiff.yaml", "a/stiff.yaml", "--data", simulated.prepared)
    assert "'stiff' is there twice" in message
