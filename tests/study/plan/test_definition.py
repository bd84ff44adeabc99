import json
from typing import Any

import pytest
from fixtures.narrowed import of_kind
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from adapert.config import Config
from adapert.errors import InputError
from adapert.study.plan.definition import (
    FINGERPRINTED_PACKAGES,
    TRAINER,
    describe_origin,
    describe_study,
    find_changes,
    restore_study,
)
from adapert.study.plan.recipes import build_study, recipe_names
from adapert.study.plan.space import Conditional
from adapert.study.plan.study import Design, FixedRung, Search, Study

SPACE: dict[str, BaseDistribution | Conditional] = {
    "model.tau": FloatDistribution(0.1, 2.0, log=True),
    "training.weight_decay": FloatDistribution(0.0, 0.3),
    "model.dropout": FloatDistribution(0.0, 0.4, step=0.1),
    "model.n_graph_layers": IntDistribution(0, 4, step=2),
    "model.hidden_size": IntDistribution(16, 512, log=True),
    "graph.top_k": CategoricalDistribution((5, 10)),
    "model.self_loops": CategoricalDistribution((False, True)),
    "loss.alignment": CategoricalDistribution(("frozen", "contrastive")),
    "loss.contrastive_temperature": Conditional(
        "loss.alignment", ("contrastive",), FloatDistribution(0.05, 0.5)
    ),
    "model.residual": Conditional("model.n_graph_layers", (2, 4), CategoricalDistribution((False, True))),
}

PLANS = {
    "search": Search(space=SPACE),
    "whole search": Search(
        space=SPACE,
        n_trials=7,
        sampler="random",
        n_startup=2,
        initial_points=({"model.tau": 0.5}, {"graph.top_k": 5, "model.self_loops": True}),
        first_rung=FixedRung(3),
        reduction_factor=4,
        seed=9,
        seeds_per_config=2,
        cohort_size=4,
    ),
    "importance": Search(kind="importance", space=SPACE, sampler="quasi_random", n_trials=8),
    "design": Design(kind="ablation", variants={"full": {}, "sharp": {"model.tau": 0.2}}, n_seeds=5),
}


def through_json(study: Study) -> Study:
    return restore_study(json.loads(json.dumps(describe_study(study), allow_nan=False)))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_study_comes_back_from_json_as_it_was(plan: Design | Search) -> None:
    data = {"data.path": "/data/replogle", "data.fingerprint": "a1"}
    base = Config().with_changes({"model.threshold": 2.5} | data)
    study = Study(name="try", question="Größer?", base=base, plan=plan)
    again = through_json(study)
    assert again == study
    assert again.plan.assignments == study.plan.assignments
    if isinstance(plan, Search):
        assert list(of_kind(Search, again.plan).space) == list(plan.space)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_comes_back_from_json_as_it_was(recipe: str) -> None:
    study = build_study(recipe, Config().with_changes({"model.dropout": 0.25}))
    assert through_json(study) == study
    assert through_json(study).plan.assignments == study.plan.assignments


@pytest.fixture(scope="module")
def origin() -> dict[str, Any]:
    base = Config().with_changes({"data.fingerprint": "abc"})
    design = Design(kind="ablation", variants={"full": {}})
    study = Study(name="try", question="?", base=base, plan=design)
    origin: dict[str, Any] = json.loads(json.dumps(describe_origin(study)))
    return origin


def test_an_origin_names_data_code_and_packages(origin: dict[str, Any]) -> None:
    assert origin["data"] == "abc"
    assert TRAINER in origin["code"]
    assert list(origin["versions"]) == list(FINGERPRINTED_PACKAGES)


def test_nothing_has_changed_where_all_is_as_it_was(origin: dict[str, Any]) -> None:
    assert find_changes(origin, origin) == []


def test_other_data_are_named_by_both_fingerprints(origin: dict[str, Any]) -> None:
    changes = find_changes(origin, origin | {"data": "def"})
    assert changes == ["the data's fingerprint was abc and is def"]


def test_changed_new_and_removed_modules_are_named(origin: dict[str, Any]) -> None:
    code = origin["code"] | {"adapert.new": "0", TRAINER: "0"}
    del code["adapert.config"]
    changes = find_changes(origin, origin | {"code": code})
    assert changes == [f"the code of 'adapert.config', 'adapert.new', '{TRAINER}' has changed"]


def test_changed_packages_are_named_by_both_versions(origin: dict[str, Any]) -> None:
    recorded = origin | {"versions": origin["versions"] | {"torch": "1.0"}}
    del recorded["versions"]["numba"]
    torch, numba = origin["versions"]["torch"], origin["versions"]["numba"]
    assert find_changes(recorded, origin) == [
        f"torch was 1.0 and is {torch}",
        f"numba was unknown and is {numba}",
    ]


def test_all_that_has_changed_is_named(origin: dict[str, Any]) -> None:
    assert len(find_changes({"data": "", "code": {}, "versions": {}}, origin)) == 1 + 1 + len(
        FINGERPRINTED_PACKAGES
    )


@pytest.mark.parametrize(
    "changes",
    [{"plan": {}}, {"plan_of": "dance"}, {"base": {"model.dropuot": 1}}, {"base": None}, {"plan": []}],
)
def test_a_description_of_something_else_is_refused(changes: dict[str, Any]) -> None:
    described = describe_study(Study(name="try", question="?", base=Config(), plan=PLANS["search"]))
    with pytest.raises(InputError, match=r"Put back a copy of the ledger|Config has no field"):
        restore_study(described | changes)
