import io
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.dataset import build_tiny_dataset, write_prepared
from fixtures.ledger import MakeLedger
from fixtures.narrowed import of_kind
from fixtures.resumed import GRID
from fixtures.store import Store
from optuna.distributions import FloatDistribution
from rich.console import Console

from adapert.config import Config, write_config
from adapert.data.manifest import read_manifest
from adapert.data.prepared import read_prepared
from adapert.errors import InputError
from adapert.study.engine.events import StudyDefined
from adapert.study.engine.folders import study_folder
from adapert.study.engine.ledger import LEDGER_FILE, held, read_events
from adapert.study.engine.limits import Limits
from adapert.study.execution.resources import Resources
from adapert.study.plan.definition import restore_study
from adapert.study.plan.recipes import build_study
from adapert.study.plan.study import Design, Search, Study
from adapert.tracking.runs import Connect
from adapert.tracking.store import sqlite_file, tracking_uri
from adapert.workspace import launch as launching
from adapert.workspace.launch import (
    Stores,
    build_base,
    check_data,
    check_new,
    describe_comparisons,
    estimate_seconds,
    is_begun,
    launch,
    print_plan,
    warn_of_comparisons,
)

DESIGN = Design(kind="ablation", variants={"full": {}, "sharp": {"model.tau": 0.5}}, n_seeds=2)
SEARCH = Search(space={"model.tau": FloatDistribution(0.1, 2.0, log=True)}, n_trials=3, sampler="random")


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[..., Path]:
    def write(**changes: Any) -> Path:
        path = tmp_path / "best.yaml"
        write_config(Config().with_changes({name.replace("__", "."): v for name, v in changes.items()}), path)
        return path

    return write


def study_of(plan: Design | Search, base: Config | None = None) -> Study:
    return Study(name="try", question="Which one?", base=base or Config(), plan=plan)


def test_the_base_names_its_data_absolutely_with_their_fingerprint(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(prepared.parent)
    base = build_base(prepared.relative_to(prepared.parent), None, {})
    assert (base.data.path, base.data.fingerprint) == (str(prepared), "tiny")


def test_changes_come_on_top_of_the_config_file(prepared: Path, config_file: Callable[..., Path]) -> None:
    path = config_file(model__tau=0.5, model__dropout=0.2)
    base = build_base(prepared, path, {"model.tau": 0.25})
    assert (base.model.tau, base.model.dropout) == (0.25, 0.2)


@pytest.mark.parametrize(
    ("config", "choices", "kind", "is_warned"),
    [
        ("paper", {"deg_adjust": "fdr"}, "cells", True),
        ("paper", {"deg_adjust": "none"}, "cells", False),
        ("paper", {"kind": "responses"}, "responses", False),  # its DEGs are marked in the table
        ("own.yaml", {"deg_adjust": "fdr"}, "cells", False),
    ],
)
def test_data_that_a_preset_does_not_go_with_are_warned_of(
    prepared: Path,
    config: str,
    choices: dict[str, str],
    kind: str,
    is_warned: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(prepared.parent)
    Path("own.yaml").write_text("{}")
    manifest = read_manifest(prepared)
    made = replace(manifest, kind=kind, choices=replace(manifest.choices, **choices))  # type: ignore[arg-type]
    made.write(prepared)
    base = build_base(prepared, Path(config), {"model.tau": 0.25})
    assert base.model.tau == 0.25
    assert (base.loss.lambda_non == 0.01) == (config == "paper")
    said = [message for message in caplog.messages if "--deg-adjust none, but '" in message]
    assert bool(said) == is_warned


def test_without_data_a_study_is_refused(config_file: Callable[..., Path]) -> None:
    with pytest.raises(InputError, match=r"needs a prepared data set, but none was named\. Give --data DIR"):
        build_base(None, None, {})
    with pytest.raises(InputError, match="none was named"):
        build_base(None, config_file(model__tau=0.5), {})


def test_a_config_file_knows_its_data(prepared: Path, config_file: Callable[..., Path]) -> None:
    path = config_file(data__path=str(prepared), data__fingerprint="tiny")
    assert build_base(None, path, {}).data.path == str(prepared)


def test_a_config_whose_data_changed_is_refused(prepared: Path, config_file: Callable[..., Path]) -> None:
    path = config_file(data__path=str(prepared), data__fingerprint="older")
    with pytest.raises(InputError, match=r"of fingerprint older, but '.*prepared' now has tiny"):
        build_base(None, path, {})


def test_a_config_s_data_that_moved_with_the_workspace_are_found(
    prepared: Path, config_file: Callable[..., Path], tmp_path: Path
) -> None:
    path = config_file(data__path=str(prepared), data__fingerprint="tiny")
    (tmp_path / "moved").mkdir()
    moved = prepared.rename(tmp_path / "moved" / "prepared")
    assert build_base(None, path, {}, tmp_path / "moved" / "runs").data.path == str(moved)


def test_a_config_moves_to_other_data_where_they_are_named(
    prepared: Path, config_file: Callable[..., Path]
) -> None:
    path = config_file(data__path="/elsewhere", data__fingerprint="older")
    assert build_base(prepared, path, {}).data.fingerprint == "tiny"


def test_a_directory_that_was_not_prepared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"'{tmp_path}' has no manifest.json")):
        build_base(tmp_path, None, {})


def test_an_unknown_field_is_refused_with_the_nearest(prepared: Path) -> None:
    with pytest.raises(InputError, match=r"no field 'model\.tua'\. Did you mean 'model\.tau'"):
        build_base(prepared, None, {"model.tua": 1})


def test_a_name_that_exists_in_the_workspace_is_refused(tmp_path: Path, make_ledger: MakeLedger) -> None:
    study = study_of(DESIGN)
    check_new(study, tmp_path / "runs")
    make_ledger()
    with pytest.raises(
        InputError,
        match=r"'try' exists in '.*'\. Launch under another --name, or continue: adapert resume try --work",
    ):
        check_new(study, tmp_path / "runs")


def test_a_folder_without_a_ledger_is_no_study(tmp_path: Path) -> None:
    study_folder(tmp_path, "try").mkdir(parents=True)
    check_new(study_of(DESIGN), tmp_path)
    assert not is_begun(study_of(DESIGN), tmp_path)


@pytest.mark.parametrize("plan", [DESIGN, SEARCH])
def test_the_very_study_is_known_again_wherever_its_data_lie(
    tmp_path: Path, make_ledger: MakeLedger, plan: Design | Search
) -> None:
    make_ledger(plan=plan)
    for base in (Config(), Config().with_changes({"data.path": "/moved"})):
        assert is_begun(study_of(plan, base), tmp_path / "runs")


def test_a_study_is_known_again_by_a_version_with_more_fields(
    tmp_path: Path, make_ledger: MakeLedger
) -> None:
    make_ledger(plan=DESIGN)
    path = study_folder(tmp_path / "runs", "try") / LEDGER_FILE
    added = '"training.deterministic":false,'
    assert added in path.read_text()
    path.write_text(path.read_text().replace(added, ""))
    assert is_begun(study_of(DESIGN), tmp_path / "runs")


def test_another_study_of_the_same_name_is_refused(tmp_path: Path, make_ledger: MakeLedger) -> None:
    make_ledger(plan=DESIGN)
    for other in (study_of(SEARCH), study_of(DESIGN, Config().with_changes({"model.tau": 0.5}))):
        with pytest.raises(InputError, match=r"'try' exists in '.*' with another config, plan or data"):
            is_begun(other, tmp_path / "runs")


Launched = tuple[Path, Resources, Limits, Console, Connect]


def launch_in(
    workspace: Path,
    prepared: Path,
    monkeypatch: pytest.MonkeyPatch,
    plan: Design | Search = DESIGN,
    **options: Any,
) -> Launched:
    """Write a study's first line; nothing is run."""
    given: list[Launched] = []
    monkeypatch.setattr("adapert.workspace.launch.operate", lambda *args: given.append(args))
    study = study_of(plan, build_base(prepared, None, {}))
    launch(study, workspace, Resources(), Limits(), Console(file=io.StringIO()), **options)
    return given[0]


def test_a_ledger_begins_with_all_that_the_study_can_be_rebuilt_from(
    workspace: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, *_ = launch_in(workspace, prepared, monkeypatch, recipe="ablation")
    (first,) = read_events(folder / LEDGER_FILE)
    assert isinstance(first, StudyDefined)
    study = restore_study(first.study)
    assert study == study_of(DESIGN, build_base(prepared, None, {}))
    assert first.origin["data"] == "tiny"
    assert first.recipe == "ablation"
    assert first.git_commit
    assert "torch" in first.packages


def test_a_store_and_a_searcher_s_storage_elsewhere_are_remembered(
    workspace: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, database = tracking_uri(workspace), f"sqlite:///{tmp_path}/other.db"
    stores = Stores(tracking_uri=address, optuna_storage=database)
    folder, *_ = launch_in(tmp_path / "other", prepared, monkeypatch, SEARCH, stores=stores)
    assert tracking_uri(tmp_path / "other") == address
    assert of_kind(StudyDefined, read_events(folder / LEDGER_FILE)[0]).optuna_storage == database


def test_a_database_that_is_named_from_here_is_found_from_elsewhere(
    workspace: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    stores = Stores(tracking_uri="sqlite:///mlflow.db", optuna_storage="sqlite:///other.db")
    folder, *_ = launch_in(tmp_path / "other", prepared, monkeypatch, SEARCH, stores=stores)
    monkeypatch.chdir(tmp_path)
    storage = of_kind(StudyDefined, read_events(folder / LEDGER_FILE)[0]).optuna_storage
    assert sqlite_file(tracking_uri(tmp_path / "other")) == workspace / "mlflow.db"
    assert sqlite_file(storage) == workspace / "other.db"


@pytest.mark.parametrize(
    ("plan", "noun"),
    [(DESIGN, "design"), (GRID, "grid")],
)
def test_optuna_s_database_is_refused_for_a_study_that_optuna_suggests_nothing_to(
    workspace: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch, plan: Design | Search, noun: str
) -> None:
    stores = Stores(optuna_storage="sqlite:///other.db")
    with pytest.raises(InputError, match=rf"but 'try' is a {noun}, .* Leave --optuna-storage out\."):
        launch_in(workspace, prepared, monkeypatch, plan, stores=stores)
    assert not study_folder(workspace, "try").exists()


@pytest.mark.parametrize("address", ["nonsense://here", "sqlite:////dev/null/mlflow.db"])
def test_a_store_that_cannot_be_opened_is_refused_and_does_not_bind_the_workspace(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    with pytest.raises(InputError, match=r"store that can be opened, but .* cannot: .* --tracking-uri"):
        launch_in(tmp_path / "runs", prepared, monkeypatch, stores=Stores(tracking_uri=address))
    assert tracking_uri(tmp_path / "runs").startswith("sqlite:///")
    assert not (tmp_path / "runs" / "studies").exists()


def test_a_name_that_the_store_has_from_another_workspace_is_refused(
    store: Store, prepared: Path, tmp_path: Path
) -> None:
    study = replace(study_of(DESIGN, build_base(prepared, None, {})), name="ablate_parts")
    quiet, stores = Console(file=io.StringIO()), Stores(tracking_uri=store.uri)
    with pytest.raises(InputError, match=r"has trials of 'ablate_parts' .* Launch under another --name"):
        launch(study, tmp_path / "runs", Resources(), Limits(), quiet, stores)
    assert tracking_uri(tmp_path / "runs") != store.uri
    assert not (tmp_path / "runs" / "studies").exists()


def test_a_study_that_another_process_runs_is_left_alone(
    workspace: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        held(study_folder(workspace, "try")),
        pytest.raises(InputError, match="One process at a time runs a study"),
    ):
        launch_in(workspace, prepared, monkeypatch)


def test_a_study_that_another_process_ran_meanwhile_is_left_alone(
    workspace: Path, prepared: Path, make_ledger: MakeLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = launching._open_store

    def open_late(*arguments: Any) -> Any:
        store = opened(*arguments)
        make_ledger("try", DESIGN, workspace=workspace)
        return store

    monkeypatch.setattr(launching, "_open_store", open_late)
    with pytest.raises(InputError, match="A study's name must be new in its workspace"):
        launch_in(workspace, prepared, monkeypatch)
    assert len(read_events(study_folder(workspace, "try") / LEDGER_FILE)) == 1


def test_the_estimate_grows_with_epochs_and_needs_no_test_split(prepared: Path) -> None:
    shutil.rmtree(prepared / "test")
    small = {"model.latent_size": 8, "model.hidden_size": 16, "model.structural_size": 8}
    base = build_base(prepared, None, small | {"training.max_epochs": 10})
    resources = Resources(device="cpu")
    few = estimate_seconds(study_of(DESIGN, base), resources)
    longer = base.with_changes({"training.max_epochs": 100_000})
    many = estimate_seconds(study_of(DESIGN, longer), resources)
    assert 0 < few < many


@pytest.mark.parametrize(("recipe", "n_corrected"), [("ablation", 5), ("sensitivity", 8)])
def test_the_plan_counts_the_tests_that_are_corrected_together(
    prepared: Path, recipe: str, n_corrected: int
) -> None:
    study = build_study(recipe, build_base(prepared, None, {}))
    groups = len(set(read_prepared(prepared).splits["validation"].table.effect_size)) + 1
    (warning,) = (line for line in describe_comparisons(study) if "No p can pass" in line)
    assert f"Holm's correction over {n_corrected * groups} tests" in warning


@pytest.mark.parametrize(("weight", "is_warned"), [(1e-5, True), (0.0, True), (3e-4, False)])
def test_an_ablation_of_a_loss_that_is_hardly_there_is_warned_of(
    prepared: Path, weight: float, is_warned: bool
) -> None:
    study = build_study("ablation", build_base(prepared, None, {"loss.lambda_non": weight}))
    study = study.with_budget(n_seeds=2)
    warnings = warn_of_comparisons(study)
    assert any("is near 0, so that leaving the non-DEG loss out" in line for line in warnings) == is_warned
    assert any("With 2 seeds hardly any p can pass" in line for line in warnings)
    assert set(warnings) <= {line.removeprefix("Warning: ") for line in describe_comparisons(study)}


def test_plans_without_comparisons_are_not_warned_of(prepared: Path) -> None:
    base = build_base(prepared, None, {})
    assert [warn_of_comparisons(build_study(name, base)) for name in ("search", "single")] == [[], []]


def put_nan(data: Path) -> None:
    """Damage one value of a large array, which keeps the sizes that all readers check."""
    delta = np.load(data / "train" / "delta.npy")
    delta[0, 0] = np.nan
    np.save(data / "train" / "delta.npy", delta)


def test_a_damaged_value_is_refused_before_anything_is_written(prepared: Path, tmp_path: Path) -> None:
    put_nan(prepared)
    study = study_of(DESIGN, build_base(prepared, None, {}))
    with pytest.raises(InputError, match=r"delta\.npy' holds values that are no finite numbers"):
        launch(study, tmp_path / "runs", Resources(), Limits(), Console(quiet=True))
    assert not (tmp_path / "runs").exists()


def test_a_damaged_value_is_refused_before_a_probe_is_trained(prepared: Path) -> None:
    put_nan(prepared)
    with pytest.raises(InputError, match=r"delta\.npy' holds values that are no finite numbers"):
        estimate_seconds(study_of(DESIGN, build_base(prepared, None, {})), Resources(device="cpu"))


def printed(plan: Design | Search) -> str:
    file = io.StringIO()
    print_plan(study_of(plan), 42.0, Console(file=file, width=200))
    return file.getvalue()


def test_the_plan_of_a_design_lists_its_variants() -> None:
    text = printed(DESIGN)
    assert "try: Which one?" in text
    assert "4 trials of at most 60 epochs" in text
    assert "2 variants x 2 seeds" in text
    assert "full: no change" in text
    assert "sharp: model.tau = 0.5" in text
    assert "at most about 42 s" in text


def test_the_plan_of_a_search_lists_its_space() -> None:
    text = printed(SEARCH)
    assert "sampler random, seed 0" in text
    assert "model.tau: 0.1 to 2, log scale" in text


def test_cells_as_rows_are_refused_for_responses(tmp_path: Path) -> None:
    dataset = build_tiny_dataset()
    path = tmp_path / "responses"
    write_prepared(replace(dataset, manifest=replace(dataset.manifest, kind="responses")), path)
    base = build_base(path, None, {})
    check_data(study_of(DESIGN, base), Path(base.data.path))
    by_cell = Design(kind="ablation", variants={"cells": {"data.control": "cell"}})
    for study in (study_of(by_cell, base), study_of(SEARCH, base.with_changes({"data.control": "cell"}))):
        with pytest.raises(
            InputError, match=r"needs single cells, but .* prepared from responses\. Use 'mean'"
        ):
            check_data(study, Path(study.base.data.path))
    of_cells = base.with_changes({"model.name": "perturbed_vae", "perturbed_vae.rows": "cells"})
    alone = Design(kind="ablation", variants={"full": {}})
    with pytest.raises(
        InputError, match=r"perturbed_vae\.rows 'cells' needs single cells, .* Use 'means' or"
    ):
        check_data(study_of(alone, of_cells), Path(base.data.path))
