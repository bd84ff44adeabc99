import re
from dataclasses import replace

import pytest
from fixtures.narrowed import of_kind
from optuna.distributions import FloatDistribution

from adapert.config import Config
from adapert.errors import InputError
from adapert.study.plan.peers import (
    build_comparison,
    build_peer_search,
    check_systems,
    compared_variant,
    find_point,
    form_of,
    published_config,
    searched_spaces,
)
from adapert.study.plan.study import Design, Search

SPACES = searched_spaces(Config())


def test_systems_with_a_space_of_their_name_are_searched() -> None:
    assert {"adapert", "kernel_ridge"} <= SPACES.keys()
    assert "kernel_loo" not in SPACES


@pytest.mark.parametrize("model", SPACES)
def test_every_system_varies_eight_fields_and_tries_what_was_published_first(model: str) -> None:
    base = Config().with_changes({"model.tau": 0.5})
    study = build_peer_search(model, SPACES[model], base)
    assert study.name == f"peers_{model}"
    assert study.base.model.name == model
    assert isinstance(study.plan, Search)
    assert len(study.plan.space) == 8
    assert study.base.with_changes(study.plan.initial_points[0]) == study.base


def test_only_with_several_embeddings_are_the_fields_of_further_ones_searched() -> None:
    several = Config().with_changes({"data.embeddings": "text+rpe1"})
    spaces = searched_spaces(several)
    further = {"kernel_ridge.other_gamma", "kernel_ridge.other_weight"}
    assert spaces["kernel_ridge"].keys() - SPACES["kernel_ridge"].keys() == further
    assert {name: spaces[name] for name in spaces if name != "kernel_ridge"} == {
        name: SPACES[name] for name in SPACES if name != "kernel_ridge"
    }
    study = build_peer_search("kernel_ridge", spaces["kernel_ridge"], several)
    (first,) = of_kind(Search, study.plan).initial_points
    assert (first["kernel_ridge.other_gamma"], first["kernel_ridge.other_weight"]) == (1.0, 2.0)
    for single in ("", "none", "rpe1"):
        assert searched_spaces(Config().with_changes({"data.embeddings": single})) == SPACES


def test_fields_of_further_embeddings_are_refused_where_there_is_one_source() -> None:
    base = Config().with_changes({"data.embeddings": "rpe1"})
    space = searched_spaces(base.with_changes({"data.embeddings": "text+rpe1"}))["kernel_ridge"]
    message = (
        r"'kernel_ridge\.other_gamma' is of the sources of embeddings after the first, and data\.embeddings "
        r"'rpe1' picks no second\. Name several, such as data\.embeddings=text\+rpe1\.$"
    )
    with pytest.raises(InputError, match=message):
        build_peer_search("kernel_ridge", space, base)


def test_txpert_is_published_with_matched_controls_and_a_graph_of_perturbed_genes() -> None:
    published = {"model.name": "txpert", "data.control": "batch_mean", "graph.nodes": "perturbed"}
    assert build_peer_search("txpert", SPACES["txpert"], Config()).base == Config().with_changes(published)
    variants = build_comparison("peers", Config(), ("txpert", "mean"), {}, 1, 1).plan.variants_changes
    assert variants == [published, {"model.name": "mean"}]


def test_a_published_config_keeps_what_its_user_changed() -> None:
    by_cell = Config().with_changes({"data.control": "cell"})
    made = published_config("txpert", by_cell, {"training.patience": 30})
    assert (made.data.control, made.graph.nodes, made.training.patience) == ("cell", "perturbed", 30)
    assert made.training.max_epochs == Config().training.max_epochs
    own = Config().with_changes({"model.name": "txpert"})
    assert published_config("txpert", own, {"training.patience": 30}) == own
    assert published_config("kernel_loo", by_cell) == by_cell.with_changes({"model.name": "kernel_loo"})


def test_fields_that_are_not_varied_at_the_published_config_are_not_set() -> None:
    spectral = Config().with_changes({"model.name": "kernel_ridge"})
    heat = spectral.with_changes({"kernel_ridge.network_kernel": "heat"})
    assert "kernel_ridge.time" not in find_point(SPACES["kernel_ridge"], spectral)
    assert find_point(SPACES["kernel_ridge"], heat)["kernel_ridge.time"] == 1.0


def test_a_base_config_outside_the_space_is_refused() -> None:
    with pytest.raises(InputError, match=r"'model.tau' is 5.0 and the space has"):
        build_peer_search("adapert", SPACES["adapert"], Config().with_changes({"model.tau": 5.0}))


def test_every_system_meets_the_same_seeds_and_splits_in_both_forms() -> None:
    base = Config()
    tuned = base.with_changes({"model.tau": 0.5, "data.path": "elsewhere"})
    study = build_comparison("peers", base, ("adapert", "mean"), {"adapert": tuned}, 4, 3)
    assert isinstance(study.plan, Design)
    assert study.plan.variants == {
        "adapert:default": {},
        "adapert:default:split_1": {"data.split_seed": 1},
        "adapert:default:split_2": {"data.split_seed": 2},
        "adapert:tuned": {"model.tau": 0.5},
        "adapert:tuned:split_1": {"model.tau": 0.5, "data.split_seed": 1},
        "adapert:tuned:split_2": {"model.tau": 0.5, "data.split_seed": 2},
        "mean": {"model.name": "mean"},
        "mean:split_1": {"model.name": "mean", "data.split_seed": 1},
        "mean:split_2": {"model.name": "mean", "data.split_seed": 2},
    }
    assert list(study.plan.seeds_of("adapert:tuned:split_1")) == [4, 5, 6, 7, 8]
    assert list(study.plan.seeds_of("mean:split_2")) == [4]
    assert study.plan.size == 6 * 5 + 3


def test_a_system_that_noise_in_the_graph_gives_chance_meets_every_seed() -> None:
    base = Config().with_changes({"graph.kept_fraction": 0.5})
    study = build_comparison("peers", base, ("kernel_ridge", "mean"), {}, 4, 1)
    assert isinstance(study.plan, Design)
    assert list(study.plan.seeds_of("kernel_ridge")) == [4, 5, 6, 7, 8]
    assert list(study.plan.seeds_of("mean")) == [4]


def test_the_split_of_the_base_config_is_not_drawn_twice() -> None:
    base = Config().with_changes({"data.split_seed": 2})
    study = build_comparison("peers", base, ("adapert",), {"adapert": base}, 1, 3)
    splits = [base.with_changes(changes).data.split_seed for changes in study.plan.variants_changes]
    assert splits == [2, 1, 3] * 2


def test_names_say_system_form_and_split() -> None:
    assert compared_variant("kernel_ridge:tuned:split_2") == "kernel_ridge:tuned"
    assert (form_of("kernel_ridge:tuned:split_2"), form_of("mean"), form_of("mean:split_1")) == (
        "tuned",
        "",
        "",
    )


@pytest.mark.parametrize(
    ("models", "says"),
    [
        (("adaprt",), "There is no model 'adaprt'. Did you mean 'adapert'?"),
        (("mean", "kernel_loo"), "of 'mean', 'kernel_loo' none has a search space. Add one of adapert"),
    ],
)
def test_systems_that_cannot_be_searched_are_refused(models: tuple[str, ...], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        check_systems(models, SPACES)


def test_no_split_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1 split, but --splits is 0"):
        build_comparison("peers", Config(), ("adapert",), {"adapert": Config()}, 1, 0)


def test_the_plan_survives_its_ledger() -> None:
    study = build_peer_search("kernel_ridge", SPACES["kernel_ridge"], Config())
    assert isinstance(study.plan, Search)
    assert Search.from_json(study.plan.to_json()) == replace(study.plan)
    assert study.plan.space["kernel_ridge.penalty"] == FloatDistribution(3e-3, 10.0, log=True)
