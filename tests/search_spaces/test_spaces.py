import optuna
import pytest
import yaml
from fixtures.narrowed import of_kind
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import RandomSampler

import search_spaces.adapert
import search_spaces.adapert_forms
import search_spaces.adapert_wide
import search_spaces.app
import search_spaces.cpa
import search_spaces.gears
import search_spaces.kernel_ridge
import search_spaces.morph
import search_spaces.perturbed_vae
import search_spaces.scvi
import search_spaces.state
import search_spaces.txpert
import search_spaces.txpert_table8
from adapert.config import Config
from adapert.study.plan.space import SearchSpace, distribution_of
from adapert.study.plan.study import Search, Study

SPACES: dict[str, SearchSpace] = {
    "adapert": search_spaces.adapert.SPACE,
    "adapert_wide": search_spaces.adapert_wide.SPACE,
    "adapert_forms": search_spaces.adapert_forms.SPACE,
    "kernel_ridge": search_spaces.kernel_ridge.SPACE,
    "app": search_spaces.app.SPACE,
    "gears": search_spaces.gears.SPACE,
    "perturbed_vae": search_spaces.perturbed_vae.SPACE,
    "scvi": search_spaces.scvi.SPACE,
    "cpa": search_spaces.cpa.SPACE,
    "state": search_spaces.state.SPACE,
    "morph": search_spaces.morph.SPACE,
    "txpert": search_spaces.txpert.SPACE,
    "txpert_table8": search_spaces.txpert_table8.SPACE,
}
MODELS = dict.fromkeys(SPACES, "adapert") | {
    "kernel_ridge": "kernel_ridge",
    "txpert": "txpert",
    "txpert_table8": "txpert",
    "app": "app",
    "gears": "gears",
    "perturbed_vae": "perturbed_vae",
    "scvi": "scvi",
    "cpa": "cpa",
    "state": "state",
    "morph": "morph",
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
    base = Config().with_changes({"model.name": MODELS[name]})
    assert Study(name=name, question="?", base=base, plan=Search(space=SPACES[name])).plan.size == 16


@pytest.mark.parametrize("name", [name for name in SPACES if name != "txpert_table8"])
def test_every_space_holds_the_default_config(name: str) -> None:
    flat = Config().flat()
    outside = [
        field
        for field, choice in SPACES[name].items()
        if (distribution := distribution_of(choice))
        and not distribution._contains(distribution.to_internal_repr(flat[field]))
    ]
    assert outside == []


@pytest.mark.parametrize("name", SPACES)
def test_points_of_every_space_are_the_same_yaml_without_libyaml(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    base = Config().with_changes({"model.name": MODELS[name]})
    space = {field: distribution_of(choice) for field, choice in SPACES[name].items()}
    asked = optuna.create_study(sampler=RandomSampler(seed=0))
    configs = [base.with_changes(asked.ask(space).params) for _ in range(8)]
    written = [config.to_yaml() for config in configs]
    monkeypatch.delattr(yaml, "CSafeDumper", raising=False)
    assert [config.to_yaml() for config in configs] == written


def test_the_peer_spaces_have_eight_fields_each() -> None:
    assert {name: len(SPACES[name]) for name in ("kernel_ridge", "txpert", "gears", "state", "morph")} == {
        "kernel_ridge": 8,
        "gears": 8,
        "state": 8,
        "morph": 8,
        "txpert": 8,
    }


def test_table_8_is_the_papers_grid_to_the_letter() -> None:
    space = {field: distribution_of(choice) for field, choice in SPACES["txpert_table8"].items()}
    assert space.pop("txpert.n_layers") == IntDistribution(2, 4)
    grid = {
        field: of_kind(CategoricalDistribution, distribution).choices for field, distribution in space.items()
    }
    assert grid == {
        "txpert.hidden_size": (64, 128, 256, 512),
        "txpert.latent_size": (64, 128, 256, 512),
        "txpert.dropout": (0.1, 0.2),
        "txpert.norm": ("batch", "none"),  # batch normalisation: true, false
        "txpert.layer": ("gat", "gat_v2"),
        "txpert.size": (64, 128),
        "txpert.n_heads": (1, 2, 4),
        "txpert.skip": ("none", "add", "cat"),
        "txpert.self_loops": (True, False),
        "training.minibatch_size": (32, 64, 128),
        "training.learning_rate": (1e-4, 5e-4, 1e-3),
        "training.weight_decay": (0, 1e-5, 1e-4),
        "training.max_epochs": (100, 200),
        "training.patience": (20, 30),
        "training.schedule": ("plateau", "cosine"),
        "training.plateau_factor": (0.3, 0.5),
        "training.plateau_patience": (5, 10),
        "txpert.lambda_non": (0.01, 0.02, 0.05),
        "txpert.huber_delta": (0.5, 1.0),
        "txpert.huber_delta_unit": ("absolute",),
        "graph.top_k": (10, 20),
        "graph.nodes": ("perturbed",),
    }
