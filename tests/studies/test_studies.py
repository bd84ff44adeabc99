from typing import get_args

import pytest
from fixtures.narrowed import of_kind
from optuna.distributions import FloatDistribution

from adapert.config import Config, ModelName, is_network
from adapert.errors import InputError
from adapert.statistics.questions import read_noise
from adapert.study.plan.recipes import build_study, recipe_names
from adapert.study.plan.study import AblationPath, Design, Search
from studies.ablation import VARIANTS
from studies.ablation_extended import VARIANTS as EXTENDED

APPS_ABLATIONS = ["random_embeddings", "identity_embeddings", "no_attention", "mlp_decoder"]
PICKED_CHANGES = {"model.dropout": 0.25, "training.max_epochs": 7}
TXPERT = {
    "model.name": "txpert",
    "data.control": "batch_mean",
    "graph.nodes": "perturbed",
    "training.max_epochs": 200,
    "training.patience": 30,
}
"""TxPert's published form."""

GEARS = {
    "model.name": "gears",
    "graph.edge_weight": "confidence",
    "training.weight_decay": 5e-4,
    "training.minibatch_size": 32,
}
"""GEARS' published form."""

SCVI = {"model.name": "scvi", "training.weight_decay": 1e-6, "training.minibatch_size": 128}
"""scVI's published form."""

CPA = SCVI | {"model.name": "cpa", "training.learning_rate": 5e-4}
"""CPA as it starts."""
STATE = {"model.name": "state", "training.minibatch_size": 8}
"""STATE's compact form."""

MORPH = {
    "model.name": "morph",
    "training.learning_rate": 1e-4,
    "training.weight_decay": 0.0,
    "training.minibatch_size": 1,
}
"""MORPH's published form."""

PICKED = Config().with_changes(PICKED_CHANGES)


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_is_a_whole_study_under_its_own_name(recipe: str) -> None:
    study = build_study(recipe, PICKED)
    assert study.name == recipe
    assert study.question.endswith("?")
    assert study.plan.size > 0


@pytest.mark.parametrize("recipe", recipe_names())
def test_every_recipe_keeps_the_base_it_is_given(recipe: str) -> None:
    base = build_study(recipe, PICKED).base
    published = {
        "txpert": TXPERT,
        "gears": GEARS,
        "scvi": SCVI,
        "cpa": CPA,
        "state": STATE,
        "morph": MORPH,
    }.get(base.model.name, {})
    assert base == PICKED.with_changes(published | PICKED_CHANGES | {"model.name": base.model.name})


@pytest.mark.parametrize("recipe", recipe_names())
def test_no_two_variants_are_the_same_config(recipe: str) -> None:
    study = build_study(recipe, PICKED)
    plan = study.plan
    if isinstance(plan, Design):
        digests = [study.base.with_changes(changes).digest() for changes in plan.variants.values()]
        assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ("quickstart", "search"),
        ("search", "search"),
        ("search_app", "search"),
        ("search_cpa", "search"),
        ("search_forms", "search"),
        ("search_gears", "search"),
        ("search_kernel_ridge", "search"),
        ("search_morph", "search"),
        ("search_perturbed_vae", "search"),
        ("search_scvi", "search"),
        ("search_state", "search"),
        ("search_txpert", "search"),
        ("search_wide", "search"),
        ("importance", "importance"),
        ("ablation", "ablation"),
        ("ablation_app", "ablation"),
        ("ablation_cpa", "ablation"),
        ("ablation_morph", "ablation"),
        ("ablation_perturbed_vae", "ablation"),
        ("ablation_scvi", "ablation"),
        ("ablation_extended", "ablation"),
        ("ablation_gears", "ablation"),
        ("ablation_state", "ablation"),
        ("ablation_txpert", "ablation"),
        ("references", "ablation"),
        ("leave_one_out", "ablation"),
        ("add_one_in", "ablation"),
        ("combinations", "ablation"),
        ("single", "ablation"),
        ("sensitivity", "sensitivity"),
        ("network_noise", "noise"),
        ("ablation_path", "path"),
        ("priors", "priors"),
    ],
)
def test_each_recipe_has_the_design_that_its_figure_reads(recipe: str, kind: str) -> None:
    assert build_study(recipe, PICKED).plan.kind == kind


def test_figure_4_crosses_context_and_non_deg_loss() -> None:
    assert VARIANTS == {
        "full": {},
        "no_context": {"model.context": "constant"},
        "no_non_deg": {"loss.lambda_non": 0.0},
        "no_context_no_non_deg": {"model.context": "constant", "loss.lambda_non": 0.0},
    }
    assert EXTENDED.items() >= VARIANTS.items()


def test_what_the_base_already_is_is_no_variant_of_it() -> None:
    literal = Config().with_changes({"model.selection": "literal"})
    variants = of_kind(Design, build_study("ablation_extended", literal).plan).variants
    assert set(EXTENDED) - set(variants) == {"literal_eq13"}
    assert next(iter(variants)) == "full"


def test_every_reference_model_stands_beside_the_full_model() -> None:
    variants = dict(of_kind(Design, build_study("references", Config()).plan).variants)
    assert variants.pop("full") == {}
    assert variants == {name: {"model.name": name} for name in get_args(ModelName) if not is_network(name)}


@pytest.mark.parametrize("recipe", ["search_txpert", "ablation_txpert"])
def test_recipes_of_txpert_start_from_its_published_form_or_a_config_of_its_own(recipe: str) -> None:
    assert build_study(recipe, Config()).base == Config().with_changes(TXPERT)
    own = Config().with_changes({"model.name": "txpert", "txpert.size": 32})
    assert build_study(recipe, own).base == own


def test_the_first_trial_of_txperts_search_is_its_published_form() -> None:
    study = build_study("search_txpert", Config())
    (first,) = of_kind(Search, study.plan).initial_points
    assert study.base.with_changes(first) == study.base
    assert len(first) == 8


def test_txpert_is_ablated_and_given_adaperts_loss() -> None:
    assert of_kind(Design, build_study("ablation_txpert", Config()).plan).variants == {
        "full": {},
        "no_basal": {"txpert.basal": "none"},
        "no_graph": {"txpert.n_layers": 0},
        "gat": {"txpert.layer": "gat"},
        "hybrid": {"txpert.layer": "hybrid"},
        "multilayer": {"txpert.layer": "multilayer"},
        "exphormer": {"txpert.layer": "exphormer"},
        "global_control": {"data.control": "mean"},
        "with_non_deg": {"txpert.lambda_non": 3e-4},
    }


def test_network_noise_gives_every_system_the_same_doses() -> None:
    study = build_study("network_noise", Config())
    variants = of_kind(Design, study.plan).variants
    doses: dict[str, list[dict[str, float]]] = {}
    for name, changes in variants.items():
        noise = {field: value for field, value in changes.items() if field.endswith("_fraction")}
        doses.setdefault(read_noise(name).system, []).append(noise)
        model = study.base.with_changes(changes).model.name
        assert model == read_noise(name).system.removesuffix("_own_gene")
    assert doses.keys() >= {"adapert", "txpert", "app", "app_own_gene", "gears"}
    assert all(given == doses["adapert"] for given in doses.values())
    assert doses["adapert"][0] == {}
    assert [dose.get("graph.kept_fraction") for dose in doses["adapert"][1:6]] == [0.9, 0.75, 0.5, 0.2, 0.0]
    assert len(doses["adapert"]) == 12


def test_network_noise_of_a_tuned_app_has_the_perturbed_gene_once() -> None:
    tuned = Config().with_changes({"app.own_gene": True})
    variants = of_kind(Design, build_study("network_noise", tuned).plan).variants
    assert "app_own_gene" not in {read_noise(name).system for name in variants}


def test_network_noise_has_txpert_in_its_published_form() -> None:
    study = build_study("network_noise", Config())
    txpert = study.base.with_changes(of_kind(Design, study.plan).variants["txpert"])
    assert (txpert.data.control, txpert.graph.nodes) == ("batch_mean", "perturbed")
    assert txpert.training == study.base.training


def test_figure_5_spans_no_penalty_to_the_strongest_by_name() -> None:
    variants = of_kind(Design, build_study("sensitivity", Config()).plan).variants
    values = {name: changes["loss.lambda_non"] for name, changes in variants.items()}
    assert values["lambda_non=0"] == 0.0
    assert values["lambda_non=0.0003"] == Config().loss.lambda_non
    assert max(values.values()) == 0.1
    assert {name.removesuffix("_to_the_letter"): value for name, value in values.items()} == {
        f"lambda_non={value:g}": value for value in values.values()
    }


def test_figure_5_tries_the_same_weights_in_both_readings_whatever_the_base_reads() -> None:
    for reduction in ("sum", "mean"):
        base = Config().with_changes({"loss.non_deg_reduction": reduction})
        study = build_study("sensitivity", base)
        losses = [study.base.with_changes(changes).loss for changes in study.plan.variants_changes]
        weights = {
            each: sorted(loss.lambda_non for loss in losses if loss.non_deg_reduction == each)
            for each in ("sum", "mean")
        }
        assert weights["sum"][0] == 0.0
        assert weights["sum"][1:] == weights["mean"]
        assert len(losses) == 17


def test_the_first_trial_of_apps_search_is_the_published_form() -> None:
    plan = of_kind(Search, build_study("search_app", Config()).plan)
    assert len(plan.space) == 8
    assert list(plan.initial_points) == [{field: Config().flat()[field] for field in plan.space}]
    assert plan.initial_points[0]["app.own_gene"] is False


def test_apps_ablation_has_its_table_2_and_the_perturbed_gene() -> None:
    literal = of_kind(Design, build_study("ablation_app", Config()).plan).variants
    assert list(literal) == ["full", *APPS_ABLATIONS, "own_gene"]
    assert literal["own_gene"] == {"app.own_gene": True}
    tuned = Config().with_changes({"app.own_gene": True})
    from_tuned = of_kind(Design, build_study("ablation_app", tuned).plan).variants
    assert from_tuned["no_own_gene"] == {"app.own_gene": False}


def test_gears_is_searched_and_ablated_from_its_published_form() -> None:
    search, ablation = (build_study(f"{kind}_gears", Config()) for kind in ("search", "ablation"))
    assert search.base == ablation.base == Config().with_changes(GEARS)
    (first,) = of_kind(Search, search.plan).initial_points
    assert search.base.with_changes(first) == search.base
    assert of_kind(Design, ablation.plan).variants == {
        "full": {},
        "no_network": {"gears.n_network_layers": 0},
        "no_coexpression": {"gears.n_coexpression_layers": 0},
        "no_cross_gene": {"gears.cross_gene": False},
        "squared_error": {"gears.exponent": 2},
        "tanh_direction": {"gears.direction": "tanh"},
    }


def test_kernel_ridge_is_searched_over_what_its_config_reads() -> None:
    several = Config().with_changes({"data.embeddings": "text+rpe1"})
    spaces = [
        of_kind(Search, build_study("search_kernel_ridge", base).plan).space for base in (Config(), several)
    ]
    assert [len(space) for space in spaces] == [8, 10]
    assert spaces[1]["kernel_ridge.other_weight"] == FloatDistribution(0.0, 8.0)


def test_quickstart_is_short_whatever_the_base() -> None:
    plan = build_study("quickstart", Config())
    assert isinstance(plan.plan, Search)
    assert (plan.plan.size, plan.base.training.max_epochs) == (4, 10)


def test_importance_covers_the_six_knobs_evenly_and_stops_no_trial() -> None:
    plan = build_study("importance", Config()).plan
    assert isinstance(plan, Search)
    assert (plan.sampler, plan.n_trials, plan.is_full_fidelity) == ("quasi_random", 128, True)
    assert list(plan.space) == list(of_kind(Search, build_study("search", Config()).plan).space)


def test_the_ablation_path_starts_at_the_defaults_and_leaves_data_and_budget_alone() -> None:
    base = PICKED.with_changes({"graph.top_k": 5, "data.fingerprint": "1", "training.patience": 3})
    path = of_kind(AblationPath, build_study("ablation_path", base).plan)
    assert path.start == {"graph.top_k": 20, "model.dropout": 0.5}


def test_the_ablation_path_of_another_model_starts_at_its_own_defaults() -> None:
    base = PICKED.with_changes({"model.name": "kernel_ridge", "kernel_ridge.penalty": 0.5})
    assert of_kind(AblationPath, build_study("ablation_path", base).plan).start == {
        "kernel_ridge.penalty": 3.0
    }


def test_an_ablation_path_from_the_defaults_to_themselves_is_refused() -> None:
    with pytest.raises(InputError, match=r"differs from the defaults.*--config"):
        build_study("ablation_path", Config())
