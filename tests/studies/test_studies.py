from typing import get_args

import pytest

from adapert.config import Config, ModelName
from adapert.study.recipes import build_study, recipe_names
from adapert.study.study import Design, Search
from studies.ablation import VARIANTS
from studies.ablation_extended import VARIANTS as EXTENDED


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_is_a_whole_study_under_its_own_name(recipe):
    study = build_study(recipe, Config())
    assert study.name == recipe
    assert study.question.endswith("?")
    assert study.n_trials > 0


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_keeps_the_base_it_is_given(recipe):
    base = Config().with_changes({"model.dropout": 0.25, "training.max_epochs": 7})
    assert build_study(recipe, base).base == base


@pytest.mark.parametrize("recipe", recipe_names())
def test_no_two_variants_are_the_same_config(recipe):
    plan = build_study(recipe, Config()).plan
    if isinstance(plan, Design):
        digests = [Config().with_changes(changes).digest() for changes in plan.variants.values()]
        assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ("quickstart", "search"),
        ("search", "search"),
        ("search_wide", "search"),
        ("ablation", "ablation"),
        ("ablation_extended", "ablation"),
        ("references", "ablation"),
        ("sensitivity", "sensitivity"),
    ],
)
def test_each_recipe_has_the_design_that_its_figure_reads(recipe, kind):
    assert build_study(recipe, Config()).plan.kind == kind


def test_figure_4_crosses_context_and_non_deg_loss():
    assert VARIANTS == {
        "full": {},
        "no_context": {"model.context": "constant"},
        "no_non_deg": {"loss.lambda_non": 0.0},
        "no_context_no_non_deg": {"model.context": "constant", "loss.lambda_non": 0.0},
    }
    assert EXTENDED.items() >= VARIANTS.items()


def test_every_reference_model_stands_beside_the_full_model():
    variants = build_study("references", Config()).plan.variants
    assert variants.pop("full") == {}
    assert variants == {name: {"model.name": name} for name in get_args(ModelName) if name != "adapert"}


def test_figure_5_spans_no_penalty_to_the_strongest_by_name():
    variants = build_study("sensitivity", Config()).plan.variants
    values = {name: changes["loss.lambda_non"] for name, changes in variants.items()}
    assert values["lambda_non=0"] == 0.0
    assert values["lambda_non=0.0003"] == Config().loss.lambda_non
    assert max(values.values()) == 0.1
    assert all(name == f"lambda_non={value:g}" for name, value in values.items())


def test_quickstart_is_short_whatever_the_base():
    plan = build_study("quickstart", Config())
    assert isinstance(plan.plan, Search)
    assert (plan.n_trials, plan.base.training.max_epochs) == (4, 10)
