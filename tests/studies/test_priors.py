from pathlib import Path

import pytest
from fixtures.dataset import (
    build_tiny_dataset,
    with_second_embeddings,
    with_second_network,
    write_prepared,
)

from adapert.config import Config
from adapert.data.prepared import read_prepared
from adapert.data.sources import check_picked
from adapert.errors import InputError
from adapert.registry import build_model
from adapert.study.plan.recipes import build_study
from adapert.workspace.launch import check_effect
from studies.priors import list_variants, study


@pytest.fixture
def base(tmp_path: Path) -> Config:
    write_prepared(with_second_embeddings(with_second_network(build_tiny_dataset())), tmp_path / "data")
    return Config().with_changes({"data.path": str(tmp_path / "data")})


def test_a_model_of_one_network_reads_each_beside_every_set_of_embeddings(base: Config) -> None:
    variants = list_variants(base)
    assert next(iter(variants)) == "full"
    assert list(variants)[-1] == "none"
    assert variants["full"] == {"data.embeddings": "text+rpe1", "graph.networks": "network"}
    assert variants["text_and_rpe1_and_go"] == {"data.embeddings": "text+rpe1", "graph.networks": "go"}
    assert variants["rpe1"] == {"data.embeddings": "rpe1", "graph.networks": "none"}
    assert variants["go"] == {"data.embeddings": "none", "graph.networks": "go"}
    assert variants["none"] == {"data.embeddings": "none", "graph.networks": "none"}
    assert len(variants) == 4 * 3


def test_a_model_of_several_networks_reads_every_set_of_them(
    base: Config,
) -> None:
    variants = list_variants(base.with_changes({"model.name": "txpert", "txpert.layer": "hybrid"}))
    assert variants["full"] == {"data.embeddings": "none", "graph.networks": "network+go"}
    assert list(variants) == ["full", "network", "go", "none"]


def test_a_model_that_picks_no_network_varies_embeddings_alone(base: Config) -> None:
    variants = list_variants(base.with_changes({"model.name": "ridge_text"}))
    assert list(variants) == ["full", "text", "rpe1", "none"]
    assert variants["full"] == {"data.embeddings": "text+rpe1"}


@pytest.mark.parametrize("features", ["text", "text+diffused"])
def test_without_text_nodes_are_told_apart_by_a_table(base: Config, features: str) -> None:
    variants = list_variants(base.with_changes({"model.node_features": features}))
    assert variants["go"]["model.node_features"] == "one_hot"
    assert "model.node_features" not in variants["text"]


def test_a_setting_of_further_embeddings_has_an_effect_where_some_variant_reads_them(base: Config) -> None:
    changes = {"kernel_ridge.other_weight": 1.0}
    kernel = base.with_changes({"model.name": "kernel_ridge"} | changes)
    check_effect(study(kernel), changes)
    with pytest.raises(InputError, match=r"data\.embeddings '' picks no second"):
        check_effect(build_study("single", kernel), changes)


@pytest.mark.parametrize("model", ["adapert", "kernel_ridge", "kernel_loo", "txpert"])
def test_every_variant_is_fitted_and_predicts_something_of_its_own(base: Config, model: str) -> None:
    import torch

    dataset = read_prepared(Path(base.data.path))
    base = base.with_changes({"model.name": model, "training.max_epochs": 1})
    predicted = set()
    variants = list_variants(base)
    for changes in variants.values():
        config = base.with_changes(changes)
        check_picked(config, dataset.manifest.networks, dataset.manifest.embeddings)
        fitted = build_model(config, 0, torch.device("cpu"))
        fitted.fit(dataset)
        predicted.add(fitted.predict(["G00", "G05", "G14"]).tobytes())
    assert len(predicted) == len(variants)
