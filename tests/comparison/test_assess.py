"""Assessing a config: what is fitted, opened, recorded, kept, and told to MLflow, in which order."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import anndata
import numpy as np
import pandas as pd
import pytest
from fixtures.command import Simulated
from fixtures.dataset import write_prepared
from fixtures.narrowed import present

from adapert.comparison import assess as assessment
from adapert.comparison.assess import Assessment, check_emitted, evaluate_configs, name_study, read_dataset
from adapert.comparison.fit import Fitted
from adapert.comparison.plan import ComparisonPlan
from adapert.comparison.summary import read_evaluation
from adapert.comparison.test_access import read_accesses
from adapert.config import Config
from adapert.data.manifest import read_manifest
from adapert.data.prepared import PreparedDataset, hash_file, read_prepared
from adapert.data.schema import SPLITS, SplitName
from adapert.errors import InputError
from adapert.prediction.files import write_deltas
from adapert.records import EXPERIMENT, Tag
from adapert.registry import MODELS
from adapert.tracking.read import study_run
from adapert.tracking.store import open_store, tracking_uri
from adapert.training.loop import DivergedError
from analysis.tables.performance import build_performance_table

PlanOf = Callable[..., ComparisonPlan]


@pytest.fixture
def plan_of() -> PlanOf:
    def build(*models: str, **changes: Any) -> ComparisonPlan:
        return ComparisonPlan(models=models or ("control", "mean"), **({"split": "test"} | changes))

    return build


@pytest.fixture
def config(simulated: Simulated) -> Config:
    fingerprint = read_manifest(simulated.prepared).fingerprint
    return Config().with_changes(
        {
            "data.path": str(simulated.prepared),
            "data.fingerprint": fingerprint,
            "training.max_epochs": 2,
            "model.hidden_size": 16,
        }
    )


@pytest.fixture
def study_of(config: Config, workspace: Path) -> Callable[..., None]:
    """Let a study of the workspace have tried the config."""

    def add(name: str) -> None:
        client, _ = open_store(workspace)
        experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
        tags = {Tag.KIND: "study", Tag.STUDY: name, Tag.DESIGN: "search"}
        client.create_run(experiment, tags=tags)
        tags = {Tag.KIND: "trial", Tag.STUDY: name, Tag.CONFIG_DIGEST: config.digest()}
        client.create_run(experiment, tags=tags)

    return add


def test_an_evaluation_returns_what_it_wrote(
    config: Config, plan_of: PlanOf, tmp_path: Path, logged: pytest.LogCaptureFixture
) -> None:
    found = evaluate_configs({"best": config}, plan_of(), tmp_path)
    assert found.folder == tmp_path / "evaluations" / "test_001"
    pd.testing.assert_frame_equal(pd.read_parquet(found.folder / "per_perturbation.parquet"), found.frame)
    assert {"pearson_delta", "collapse_ratio", "overlap_at_50"} <= set(found.frame["metric"])
    assert found.study == ""
    record = json.loads((found.folder / "evaluation.json").read_text())
    assert record["refit"] == "train"
    assert [row["variant"] for row in record["models"]][:3] == ["control", "mean", "split_half"]
    assert record["opened"].items() >= {"study": "", "number": 1, "data_number": 1}.items()
    opened = next(line for line in logged.messages if line.startswith("Opened"))
    assert opened.endswith("4 perturbations. This is access 1 to the test split of these data (no study).")
    (access,) = read_accesses(tmp_path)
    assert (access.config, access.models) == (config.flat(), ["control", "mean"])
    assert access.at == record["opened"]["at"]
    assert access.folder == "evaluations/test_001"


def test_predictions_of_every_variant_are_kept_as_the_mean_over_its_seeds(
    config: Config, plan_of: PlanOf, tmp_path: Path
) -> None:
    plan = plan_of("mean", "adapert", n_seeds=2, use_ensembles=True, refit="train+validation")
    found = evaluate_configs({"best": config}, plan, tmp_path, out=tmp_path / "here")
    kept = anndata.read_h5ad(tmp_path / "here" / "predictions.h5ad")
    assert set(kept.layers) == {"is_deg", "mean", "adapert", "adapert_ensemble"}
    np.testing.assert_allclose(kept.layers["adapert"], kept.layers["adapert_ensemble"], atol=1e-6)
    test = read_dataset([config], plan).splits["test"].table
    np.testing.assert_array_equal(kept.X, test.delta)
    paired = pd.read_csv(found.folder / "paired.csv")
    assert set(zip(paired["variant"], paired["reference"], strict=True)) == {
        ("adapert", "mean"),
        ("adapert_ensemble", "mean"),
    }
    assert read_accesses(tmp_path)[0].folder == str(tmp_path / "here")
    assert read_accesses(tmp_path)[0].refit == "train+validation"


def write_prediction(config: Config, split: SplitName, path: Path, share: float) -> Path:
    """A share of what was observed, as another model would predict it."""
    plan = ComparisonPlan(models=("mean",), split=split)
    dataset = read_dataset([config], plan)
    table = dataset.splits[split].table
    frame = pd.DataFrame(share * table.delta, index=table.perturbations, columns=dataset.gene_names)
    write_deltas(frame, path, "log1p units")
    return path


def test_predictions_of_a_file_are_a_row_of_every_table(
    config: Config, plan_of: PlanOf, tmp_path: Path
) -> None:
    files = {"theirs": write_prediction(config, "test", tmp_path / "theirs.h5ad", 0.5)}
    plan = plan_of("adapert", "mean", n_seeds=2)
    found = evaluate_configs({"": config}, plan, tmp_path, predictions=files)
    of_file = found.frame[found.frame["variant"] == "file:theirs"]
    for metric in ("pearson_delta", "pds"):  # a share of the observed is right in all but size
        values = of_file.loc[of_file["metric"] == metric, "value"].to_numpy()
        np.testing.assert_allclose(values, 1, atol=1e-6)
    assert {"pearson_delta_pooled", "overlap_at_50"} <= set(found.frame["metric"])
    assert "file:theirs" in set(found.summary["variant"])
    pairs = set(zip(found.paired["variant"], found.paired["reference"], strict=True))
    assert pairs == {("adapert", "mean"), ("adapert", "file:theirs"), ("file:theirs", "mean")}
    paired = found.paired.set_index(["variant", "reference", "effect_size", "metric"])["n_seeds"]
    assert paired["adapert", "file:theirs", "all", "pds"] == 2
    kept = anndata.read_h5ad(found.folder / "predictions.h5ad")
    np.testing.assert_allclose(kept.layers["file:theirs"], 0.5 * kept.X, rtol=1e-6)
    table = build_performance_table(*read_evaluation(found.folder))
    assert "file:theirs" in set(table.cells["Model"])


def test_an_access_says_which_files_were_scored(config: Config, plan_of: PlanOf, tmp_path: Path) -> None:
    path = write_prediction(config, "test", tmp_path / "theirs.h5ad", 0.5)
    found = evaluate_configs({"": config}, plan_of("mean"), tmp_path, predictions={"theirs": path})
    (access,) = read_accesses(tmp_path)
    assert access.files == [{"name": "theirs", "hash": hash_file(path), "form": "deltas"}]
    assert json.loads((found.folder / "evaluation.json").read_text())["files"] == access.files
    with pytest.raises(InputError, match="The test split is opened once per study"):
        evaluate_configs({"": config}, plan_of("mean"), tmp_path, predictions={"again": path})


def test_predictions_of_another_split_are_refused_before_any_fit(
    config: Config, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_prediction(config, "validation", tmp_path / "theirs.h5ad", 0.5)
    monkeypatch.setattr(assessment, "fit_models", lambda *_: pytest.fail("fitted"))
    with pytest.raises(InputError, match=r"of the test split, but .* lacks 4 of 4"):
        evaluate_configs({"": config}, plan_of("mean"), tmp_path, predictions={"theirs": path})
    assert read_accesses(tmp_path) == []


def test_the_second_access_of_a_study_is_refused_before_any_fit(
    config: Config,
    plan_of: PlanOf,
    workspace: Path,
    study_of: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study_of("search")
    evaluate_configs({"best": config}, plan_of(), workspace)
    monkeypatch.setattr(assessment, "fit_models", lambda *_: pytest.fail("fitted"))
    before = sorted(workspace.rglob("*"))
    with pytest.raises(InputError, match="that of study 'search' was opened at"):
        evaluate_configs({"best": config}, plan_of("mean"), workspace)
    assert sorted(workspace.rglob("*")) == before


def test_mlflow_is_told_the_count_and_the_result(
    config: Config, plan_of: PlanOf, workspace: Path, study_of: Callable[..., None]
) -> None:
    study_of("search")
    evaluate_configs({"best": config}, plan_of(), workspace)
    again = evaluate_configs({"best": config}, plan_of(), workspace, again=True)
    assert (again.study, present(again.access).number) == ("search", 2)
    run = study_run(tracking_uri(workspace), "search")
    assert run.data.tags[Tag.TEST_OPENINGS] == "2"
    client, _ = open_store(workspace)
    kept = {file.path for file in client.list_artifacts(run.info.run_id, "evaluation/test_002")}
    assert kept == {
        f"evaluation/test_002/{name}" for name in ("summary.csv", "paired.csv", "evaluation.json")
    }


def test_mlflow_keeps_what_was_scored_on_other_data_and_counts_its_own(
    config: Config, plan_of: PlanOf, workspace: Path, study_of: Callable[..., None], tmp_path: Path
) -> None:
    study_of("search")
    whole = read_prepared(Path(config.data.path), SPLITS)
    other = replace(whole, manifest=replace(whole.manifest, fingerprint="other"))
    write_prepared(other, tmp_path / "other")
    found = evaluate_configs({"best": config}, plan_of("mean", on=tmp_path / "other"), workspace)
    assert present(found.access).describe() == (
        "This is access 1 by study search to the test split of data other."
    )
    run = study_run(tracking_uri(workspace), "search")
    assert Tag.TEST_OPENINGS not in run.data.tags
    client, _ = open_store(workspace)
    assert len(client.list_artifacts(run.info.run_id, "evaluation/test_001")) == 3
    evaluate_configs({"best": config}, plan_of("mean"), workspace)
    assert study_run(tracking_uri(workspace), "search").data.tags[Tag.TEST_OPENINGS] == "1"


def test_a_config_belongs_to_the_study_that_tried_it_first(
    config: Config, workspace: Path, study_of: Callable[..., None]
) -> None:
    assert name_study(workspace, config) == ""
    study_of("search")
    study_of("ablation")
    assert name_study(workspace, config) == "search"
    assert name_study(workspace, config.with_changes({"model.tau": 0.5})) == ""


def test_validation_records_nothing_and_may_be_looked_at_again(
    config: Config, plan_of: PlanOf, tmp_path: Path
) -> None:
    for number in (1, 2):
        found = evaluate_configs({"best": config}, plan_of("mean", split="validation"), tmp_path)
        assert (found.folder.name, found.access) == (f"validation_00{number}", None)
    assert read_accesses(tmp_path) == []


def test_an_access_counts_although_what_follows_fails_and_is_gone_on_with(
    config: Config, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: ComparisonPlan | PreparedDataset | list[Fitted]) -> NoReturn:
        assert len(read_accesses(tmp_path)) == 1
        raise RuntimeError("power cut")

    monkeypatch.setattr(assessment, "score", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        evaluate_configs({"best": config}, plan_of(), tmp_path)
    monkeypatch.undo()
    with pytest.raises(InputError, match="The test split is opened once per study"):
        evaluate_configs({"best": config}, plan_of("mean"), tmp_path)
    found = evaluate_configs({"best": config}, plan_of(), tmp_path)
    assert (present(found.access).number, found.folder.name) == (1, "test_001")
    assert len(read_accesses(tmp_path)) == 1
    with pytest.raises(InputError, match="The test split is opened once per study"):
        evaluate_configs({"best": config}, plan_of(), tmp_path)


def test_an_evaluation_that_was_left_after_its_folder_was_written_reads_it_back(
    config: Config, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Assessment | Path) -> NoReturn:
        raise RuntimeError("power cut")

    monkeypatch.setattr(assessment, "name_study", lambda *_: "search")
    with monkeypatch.context() as patch:
        patch.setattr(assessment, "keep_evaluation", crash)
        with pytest.raises(RuntimeError, match="power cut"):
            evaluate_configs({"best": config}, plan_of(), tmp_path)
    monkeypatch.setattr(assessment, "fit_models", crash)
    found = evaluate_configs({"best": config}, plan_of(), tmp_path)
    assert (present(found.access).number, found.folder) == (1, tmp_path / "evaluations" / "test_001")
    pd.testing.assert_frame_equal(found.frame, pd.read_parquet(found.folder / "per_perturbation.parquet"))
    assert sorted(path.name for path in tmp_path.glob(".test_opening_*")) == []


def test_a_divergence_opens_nothing(
    config: Config, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Diverged:
        is_seeded = False

        def fit(self, dataset: PreparedDataset) -> None:
            pass

        def predict(self, perturbations: list[str]) -> np.ndarray:
            return np.full((len(perturbations), 40), np.nan)

    monkeypatch.setitem(MODELS, "mean", lambda *_: Diverged())
    with pytest.raises(DivergedError, match="those of mean seed 0 for 4 of 4"):
        evaluate_configs({"best": config}, plan_of("mean"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_fails_costs_no_result(
    config: Config,
    plan_of: PlanOf,
    workspace: Path,
    study_of: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def gone(*_: str) -> NoReturn:
        raise ConnectionError("refused.")

    study_of("search")
    monkeypatch.setattr("adapert.tracking.runs.open_client", gone)
    found = evaluate_configs({"best": config}, plan_of("mean"), workspace)
    assert (found.folder / "summary.csv").is_file()
    assert caplog.messages[-1].startswith("MLflow did not take the evaluation: refused. ")


def test_a_store_that_cannot_be_read_is_refused_since_accesses_are_counted_by_study(
    config: Config, workspace: Path
) -> None:
    (workspace / "mlflow.db").write_text("damaged")
    with pytest.raises(InputError, match="the store that knows the studies cannot be read"):
        name_study(workspace, config)


def test_a_config_of_redrawn_splits_is_fitted_on_them(config: Config, plan_of: PlanOf) -> None:
    redrawn = read_dataset([config.with_changes({"data.split_seed": 3})], plan_of())
    plain = read_dataset([config], plan_of())
    names = [set(dataset.splits["train"].table.perturbations) for dataset in (redrawn, plain)]
    assert names[0] != names[1]
    assert redrawn.manifest.split_seed == -3
    test = [dataset.splits["test"].table.perturbations.tolist() for dataset in (redrawn, plain)]
    assert test[0] == test[1]


def test_other_data_than_the_configs_are_refused(config: Config, plan_of: PlanOf) -> None:
    with pytest.raises(InputError, match="needs the data set of fingerprint 0123, but"):
        read_dataset([config.with_changes({"data.fingerprint": "0123"})], plan_of())
    with pytest.raises(InputError, match=r"the config has no data\.path"):
        read_dataset([Config()], plan_of())


def test_an_output_that_exists_is_refused_before_any_fit(
    config: Config, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assessment, "fit_models", lambda *_: pytest.fail("fitted"))
    with pytest.raises(InputError, match="must be new"):
        evaluate_configs({"best": config}, plan_of(), tmp_path, out=tmp_path)


def test_emitted_cells_are_those_that_were_scored(config: Config, plan_of: PlanOf, tmp_path: Path) -> None:
    files = (tmp_path / "predicted.h5ad", tmp_path / "real.h5ad")
    plan = plan_of("mean", emission="tiled")
    evaluate_configs({"best": config}, plan, tmp_path, emit=files)
    predicted, real = (anndata.read_h5ad(path) for path in files)
    assert predicted.obs_names.tolist() == real.obs_names.tolist()
    dataset = read_dataset([config], plan)
    n_cells = len(dataset.control_cells) + dataset.splits["test"].table.n_cells.sum()
    assert predicted.n_obs == n_cells


@pytest.mark.parametrize(
    ("models", "changes", "names", "says"),
    [
        (("mean", "control"), {}, ("p", "r"), "--models names 2"),
        (("adapert",), {"n_seeds": 2}, ("p", "r"), "--seeds is 2"),
        (("mean",), {}, ("p", "p"), "both are"),
        (("mean",), {}, ("p", "old"), "old' exists"),
    ],
)
def test_what_cannot_be_emitted_is_refused(
    tiny_dataset: PreparedDataset,
    tmp_path: Path,
    models: tuple[str, ...],
    changes: dict[str, int],
    names: tuple[str, str],
    says: str,
    plan_of: PlanOf,
) -> None:
    (tmp_path / "old").write_text("")
    files = (tmp_path / names[0], tmp_path / names[1])
    with pytest.raises(InputError, match=re.escape(says)):
        check_emitted(plan_of(*models, **changes), tiny_dataset, files, {"": Config()})


def test_an_evaluation_that_was_left_emits_its_cells_anew(
    config: Config, plan_of: PlanOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Assessment | anndata.AnnData | dict[str, Any]) -> NoReturn:
        raise RuntimeError("power cut")

    files = tmp_path / "predicted.h5ad", tmp_path / "real.h5ad"
    monkeypatch.setattr(assessment, "_write", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        evaluate_configs({"best": config}, plan_of("mean"), tmp_path, emit=files)
    assert all(path.is_file() for path in files)
    monkeypatch.undo()
    with pytest.raises(InputError, match="The test split is opened once per study"):
        evaluate_configs({"best": config}, plan_of("mean"), tmp_path)  # another command, without --emit
    found = evaluate_configs({"best": config}, plan_of("mean"), tmp_path, emit=files)
    assert (present(found.access).number, found.folder.is_dir()) == (1, True)


def test_an_ensemble_of_several_seeds_can_be_emitted(
    tiny_dataset: PreparedDataset, tmp_path: Path, plan_of: PlanOf
) -> None:
    plan = plan_of("adapert", n_seeds=2, use_ensembles=True)
    check_emitted(plan, tiny_dataset, (tmp_path / "p", tmp_path / "r"), {"": Config()})


def test_seeds_of_a_noisy_graph_are_several_predictions(
    tiny_dataset: PreparedDataset, tmp_path: Path, plan_of: PlanOf
) -> None:
    kernel = Config().with_changes({"model.name": "kernel_ridge"})
    noisy = kernel.with_changes({"graph.kept_fraction": 0.5})
    plan, files = plan_of("kernel_ridge", n_seeds=2), (tmp_path / "p", tmp_path / "r")
    check_emitted(plan, tiny_dataset, files, {"": kernel})
    with pytest.raises(InputError, match=r"one prediction, but --seeds is 2\. Give --seeds 1, or --ensemble"):
        check_emitted(plan, tiny_dataset, files, {"": noisy})


def test_responses_have_no_cells_to_emit(
    tiny_dataset: PreparedDataset, tmp_path: Path, plan_of: PlanOf
) -> None:
    responses = replace(tiny_dataset, manifest=replace(tiny_dataset.manifest, kind="responses"))
    with pytest.raises(InputError, match="prepared from responses"):
        check_emitted(plan_of("mean"), responses, (tmp_path / "p", tmp_path / "r"), {"": Config()})


def test_several_configs_are_one_access_and_each_is_kept_with_its_study(
    config: Config, plan_of: PlanOf, workspace: Path, study_of: Callable[..., None]
) -> None:
    study_of("search")
    kernel = config.with_changes({"model.name": "kernel_ridge", "kernel_ridge.penalty": 0.5})
    configs = {"best": config, "kernel": kernel}
    plan = plan_of("adapert", "kernel_ridge", "mean", n_seeds=1)
    found = evaluate_configs(configs, plan, workspace)
    assert set(found.frame["variant"]) >= {"adapert", "kernel_ridge", "mean"}
    (access,) = read_accesses(workspace)
    assert access.studies == ["search", ""]
    assert [other["config_digest"] for other in access.others] == [kernel.digest()]
    record = json.loads((found.folder / "evaluation.json").read_text())
    assert record["config"] == config.flat()
    assert record["further_configs"] == {"kernel": kernel.flat()}
    assert record["opened"]["numbers"] == {"search": 1, "": 1}
    run = study_run(tracking_uri(workspace), "search")
    assert run.data.tags[Tag.TEST_OPENINGS] == "1"
    digests = found.frame.drop_duplicates("variant").set_index("variant")["config_digest"]
    assert digests["kernel_ridge"] == kernel.digest()
    with pytest.raises(InputError, match=r"was opened at"):
        evaluate_configs({"kernel": kernel}, plan, workspace)


def test_cells_of_several_configs_are_not_emitted(config: Config, plan_of: PlanOf, tmp_path: Path) -> None:
    other = config.with_changes({"model.tau": 0.5})
    files = (tmp_path / "p.h5ad", tmp_path / "r.h5ad")
    with pytest.raises(InputError, match="but 2 configs are given"):
        evaluate_configs({"a": config, "b": other}, plan_of("adapert", n_seeds=1), tmp_path, emit=files)
