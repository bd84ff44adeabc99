import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

import search_spaces.adapert
import search_spaces.adapert_forms
import search_spaces.adapert_wide
import search_spaces.kernel_ridge
from adapert.config import Config
from adapert.study.plan.space import SearchSpace, distribution_of
from adapert.study.plan.study import Search, Study

SPACES: dict[str, SearchSpace] = {
    "adapert": search_spaces.adapert.SPACE,
    "adapert_wide": search_spaces.adapert_wide.SPACE,
    "adapert_forms": search_spaces.adapert_forms.SPACE,
    "kernel_ridge": search_spaces.kernel_ridge.SPACE,
}


def test_the_six_knobs_have_the_ranges_of_the_design() -> None:
    assert SPACES["adapert"] == {
        "loss.lambda_non": FloatDistribution(1e-5, 1e-1, log=True),
        "loss.lambda_align": FloatDistribution(1e-4, 1.0, log=True),
        "loss.huber_delta": FloatDistribution(0.1, 2.0),
        "model.tau": FloatDistribution(0.1, 2.0, log=True),
        "model.threshold": FloatDistribution(0.25, 32.0, log=True),
        "graph.top_k": CategoricalDistribution((5, 10, 20, 50)),
    }


def test_the_wide_space_holds_the_six_knobs_as_they_are() -> None:
    assert SPACES["adapert_wide"].items() >= SPACES["adapert"].items()
    assert len(SPACES["adapert_wide"]) == 13


def test_the_space_of_forms_varies_all_that_the_wide_one_does() -> None:
    assert SPACES["adapert_forms"].keys() >= SPACES["adapert_wide"].keys()


@pytest.mark.parametrize("name", SPACES)
def test_every_space_is_of_fields_and_values_that_a_config_takes(name: str) -> None:
    base = Config().with_changes({"model.name": name.partition("_")[0] if "adapert" in name else name})
    assert Study(name=name, question="?", base=base, plan=Search(space=SPACES[name])).plan.size == 16


@pytest.mark.parametrize("name", SPACES)
def test_every_space_holds_the_default_config(name: str) -> None:
    flat = Config().flat()
    outside = [
        field
        for field, choice in SPACES[name].items()
        if (distribution := distribution_of(choice))
        and not distribution._contains(distribution.to_internal_repr(flat[field]))
    ]
    assert outside == []
