from typing import get_args

import pytest

from adapert.config import Config, ModelName
from adapert.plugins import load_plugin
from analysis.leaderboard.reads import GROUPS, find_sources, group_of

FLAT = Config().flat()


@pytest.mark.parametrize("model", get_args(ModelName))
def test_every_model_belongs_to_a_group(model: str) -> None:
    config = FLAT | {"model.name": model}
    assert group_of(find_sources(config), config) in GROUPS


@pytest.mark.parametrize(
    ("changes", "sources", "group"),
    [
        ({}, ("network", "text"), "one network"),
        ({"model.n_graph_layers": 0, "model.node_features": "text"}, ("text",), "no network"),
        ({"model.name": "app"}, ("network", "text"), "one network"),
        ({"model.name": "app", "app.node_features": "one_hot"}, ("network",), "one network"),
        ({"model.name": "app", "app.n_layers": 0}, ("text",), "no network"),
        ({"model.name": "app", "app.n_layers": 0, "app.node_features": "random"}, (), "nothing"),
        ({"model.name": "ridge_text"}, ("text",), "no network"),
        ({"model.name": "mean"}, (), "nothing"),
        ({"graph.networks": "none"}, ("text",), "no network"),
        ({"model.name": "ridge_both", "data.embeddings": "none"}, ("network",), "one network"),
        ({"graph.networks": "string+go"}, ("string", "go", "text"), "several networks"),
        ({"model.name": "ridge_both", "graph.networks": "string+go"}, ("network", "text"), "one network"),
        (
            {"graph.networks": "string", "data.embeddings": "text+rpe1"},
            ("string", "text", "rpe1"),
            "further embeddings",
        ),
        ({"data.embeddings": "rpe1"}, ("network", "rpe1"), "further embeddings"),
        ({"data.embeddings": "text"}, ("network", "text"), "one network"),
        ({"model.name": "ridge_text", "data.embeddings": "rpe1"}, ("rpe1",), "further embeddings"),
        ({"model.name": "txpert", "data.embeddings": "text+rpe1"}, ("network",), "one network"),
        ({"model.name": "txpert", "txpert.n_layers": 0}, (), "nothing"),
        ({"model.name": "gears"}, ("network",), "one network"),
        ({"model.name": "gears", "gears.n_network_layers": 0}, (), "nothing"),
        ({"model.name": "perturbed_vae"}, ("network", "text"), "one network"),
        ({"model.name": "perturbed_vae", "perturbed_vae.effects": "table"}, (), "nothing"),
        ({"model.name": "scvi"}, (), "nothing"),
        ({"model.name": "scvi", "scvi.unseen": "text"}, ("text",), "no network"),
        ({"model.name": "cpa"}, (), "nothing"),
        ({"model.name": "cpa", "cpa.unseen": "text"}, ("text",), "no network"),
        ({"model.name": "state"}, ("text",), "no network"),
        ({"model.name": "morph"}, ("text",), "no network"),
        ({"model.name": "state", "data.embeddings": "none"}, (), "nothing"),
    ],
)
def test_sources_are_named_and_grouped(
    changes: dict[str, object], sources: tuple[str, ...], group: str
) -> None:
    config = FLAT | changes
    assert find_sources(config) == sources
    assert group_of(sources, config) == group


def test_the_first_embeddings_of_the_data_set_are_no_further_ones() -> None:
    config = FLAT | {"data.embeddings": "genept"}
    assert group_of(find_sources(config), config, first_embeddings="genept") == "one network"
    config |= {"data.embeddings": "genept+text"}
    assert group_of(find_sources(config), config, first_embeddings="genept") == "further embeddings"


@pytest.mark.usefixtures("package")
def test_a_packages_model_reads_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    config = Config().with_changes({"model.name": "text_map"}).flat()
    assert find_sources(config) == ("text",)
    plugin = load_plugin("text_map")
    monkeypatch.setitem(plugin.__dict__, "reads", ("training", "graph"))
    monkeypatch.setitem(plugin.__dict__, "reads_embeddings", False)
    assert find_sources(config) == ("network",)
