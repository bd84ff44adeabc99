import re
from typing import Any

import pytest
from fixtures.builders import PlanOf

from adapert.comparison.plan import ComparisonPlan, name_variants
from adapert.config import Config
from adapert.errors import InputError


@pytest.mark.parametrize(
    ("models", "changes", "says"),
    [
        ((), {}, "A comparison needs a model"),
        (("mean", "rigde_both"), {}, "There is no model 'rigde_both'. Did you mean 'ridge_both'?"),
        (("mean",), {"emission": "titled"}, "no way of emission 'titled'. Did you mean 'tiled'?"),
        (("adapert",), {"n_seeds": 1, "use_ensembles": True}, "--seeds is 1"),
        (("mean",), {"refit": "tran"}, "no --refit 'tran'. Did you mean 'train'?"),
        (("mean",), {"refit": "train+validation", "split": "validation"}, "from those of --split validation"),
    ],
)
def test_a_wrong_plan_is_refused(
    plan_of: PlanOf, models: tuple[str, ...], changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        plan_of(*models, **changes)


def test_ensembles_need_a_config_with_chance(plan_of: PlanOf) -> None:
    kernel = Config().with_changes({"model.name": "kernel_ridge"})
    plan = plan_of("mean", "kernel_ridge", use_ensembles=True)
    with pytest.raises(InputError, match=r"no seed changes mean, kernel_ridge\. Leave --ensemble out"):
        plan.check_ensembles(name_variants(plan.names([kernel]), {"": kernel}))
    noisy = kernel.with_changes({"graph.kept_fraction": 0.5})
    plan.check_ensembles(name_variants(plan.names([noisy]), {"": noisy}))


def test_a_config_stands_for_its_model_and_other_models_have_their_defaults() -> None:
    kernel = Config().with_changes({"model.name": "kernel_ridge", "kernel_ridge.penalty": 1.0})
    adapert = Config().with_changes({"model.tau": 0.5})
    variants = name_variants(("kernel_ridge", "mean", "adapert"), {"a": adapert, "b": kernel})
    assert list(variants) == ["kernel_ridge", "mean", "adapert"]
    assert (variants["adapert"], variants["kernel_ridge"]) == (adapert, kernel)
    assert variants["mean"].digest() == Config().with_changes({"model.name": "mean"}).digest()
    # One config's models are all of the plan, whether it names them or not.
    assert list(name_variants(("mean",), {"b": kernel})) == ["mean"]


@pytest.mark.parametrize(
    ("changes", "models", "says"),
    [
        ({"model.name": "kernel_ridge"}, ("adapert",), "'b' is of kernel_ridge, which --models leaves out"),
        ({"data.fingerprint": "f2"}, ("adapert",), "differ in data.fingerprint: f1 in 'a', f2 in 'b'"),
        ({"data.split_seed": 3}, ("adapert",), "differ in data.split_seed: 0 in 'a', 3 in 'b'"),
    ],
)
def test_configs_that_do_not_compare_are_refused(
    changes: dict[str, Any], models: tuple[str, ...], says: str
) -> None:
    first = Config().with_changes({"data.fingerprint": "f1"})
    with pytest.raises(InputError, match=re.escape(says)):
        name_variants(models, {"a": first, "b": first.with_changes(changes)})


def test_without_names_a_plan_compares_the_configs_own_models_and_the_usual_ones() -> None:
    txpert = Config().with_changes({"model.name": "txpert"})
    usual = ComparisonPlan(split="test").names([Config()])
    assert usual[0] == "adapert"
    assert "txpert" not in usual
    assert ComparisonPlan(split="test").names([txpert, txpert]) == ("txpert", *usual)
    assert ComparisonPlan(split="test", models=usual).names([txpert]) == usual
    assert ComparisonPlan(split="test", models=("mean", "mean")).names([txpert]) == ("mean",)
