from typing import get_args

import pytest

from adapert.config import Config, ModelName
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
        ({"model.n_graph_layers": 0}, ("text",), "no network"),
        ({"model.name": "app"}, ("network", "text"), "one network"),
        ({"model.name": "app", "app.node_features": "one_hot"}, ("network",), "one network"),
        ({"model.name": "app", "app.n_layers": 0}, ("text",), "no network"),
        ({"model.name": "app", "app.n_layers": 0, "app.node_features": "random"}, (), "nothing"),
        ({"model.name": "ridge_text"}, ("text",), "no network"),
        ({"model.name": "mean"}, (), "nothing"),
        ({"graph.networks": "none"}, ("text",), "no network"),
        ({"model.name": "ridge_both", "data.embeddings": "none"}, ("network",), "one network"),
        ({"graph.networks": "string+go"}, ("string", "go", "text"), "several networks"),
        (
            {"graph.networks": "string", "data.embeddings": "text+rpe1"},
            ("string", "text", "rpe1"),
            "one network",
        ),
    ],
)
def test_sources_are_named_and_grouped_by_networks(
    changes: dict[str, object], sources: tuple[str, ...], group: str
) -> None:
    config = FLAT | changes
    assert find_sources(config) == sources
    assert group_of(sources, config) == group
