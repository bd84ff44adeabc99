import re
from collections.abc import Callable
from typing import Any

import pytest
from fixtures.narrowed import of_kind
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from adapert.config import Config
from adapert.errors import InputError
from adapert.study.plan.plans import AblationPath, Assignment, Design, Search
from adapert.study.plan.space import Conditional, grid_variants
from adapert.study.plan.study import FixedRung, LearnedRung, Plan, Study


def study_of(plan: Design | Search, name: str = "try") -> Study:
    return Study(name=name, question="Which?", base=Config(), plan=plan)


def design_of(variants: dict[str, dict[str, float]] | None = None, **options: Any) -> Design:
    return Design(**{"kind": "ablation", "variants": variants or {"full": {}}, "n_seeds": 2, **options})


def search_of(space: dict[str, Any] | None = None, **options: Any) -> Search:
    return Search(space=space or {"model.tau": FloatDistribution(0.5, 2.0)}, **options)


TYPO = r"no field 'model\.dropuot'\. Did you mean 'model\.dropout'\?"


def test_a_space_of_an_unknown_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=TYPO):
        study_of(search_of({"model.dropuot": FloatDistribution(0.0, 0.5)}))


def test_a_variant_of_an_unknown_field_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=TYPO):
        study_of(design_of({"full": {}, "wet": {"model.dropuot": 0.0}}))


@pytest.mark.parametrize(
    ("field", "distribution"),
    [
        ("model.dropout", FloatDistribution(0.0, 1.5)),
        ("model.tau", FloatDistribution(-1.0, 1.0)),
        ("model.n_graph_layers", IntDistribution(-1, 3)),
        ("model.context", CategoricalDistribution(("adaptive", "adaptve"))),
    ],
)
def test_a_space_that_reaches_beyond_what_a_field_takes_is_refused(
    field: str, distribution: CategoricalDistribution | FloatDistribution | IntDistribution
) -> None:
    with pytest.raises(InputError, match=f"Config field '{re.escape(field)}': "):
        study_of(search_of({field: distribution}))


@pytest.mark.parametrize(
    "plan",
    [
        Design(kind="ablation", variants={"full": {}, "sharp": {"model.tau": 0.5}}),
        Search(space={"model.tau": FloatDistribution(0.1, 2.0)}),
        AblationPath(start={"model.tau": 0.5}),
    ],
    ids=lambda plan: plan.kind,
)
def test_varying_what_the_model_does_not_read_is_refused(plan: Plan) -> None:
    base = Config().with_changes({"model.name": "mean"})
    with pytest.raises(
        InputError, match=r"'mean' does not read 'model\.tau': it reads data\. Launch a study of these"
    ):
        Study(name="tau", question="?", base=base, plan=plan)


def test_a_space_may_vary_the_model_and_what_one_of_them_reads() -> None:
    models = CategoricalDistribution(("mean", "adapert"))
    plan = Search(space={"model.name": models, "model.tau": FloatDistribution(0.1, 2.0)})
    base = Config().with_changes({"model.name": "mean"})
    assert Study(name="models", question="?", base=base, plan=plan).plan.size == 16


def test_a_variant_of_a_value_that_a_field_does_not_take_is_refused() -> None:
    with pytest.raises(InputError, match=r"Config field 'model\.tau': .* but it is 0\."):
        study_of(design_of({"cold": {"model.tau": 0}}))


@pytest.mark.parametrize("name", ["", "my study", "a/b", "it's", ".", "..", "-x"])
def test_a_name_that_makes_no_folder_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"name must be of letters.* but it is '{re.escape(name)}'"):
        study_of(design_of(), name)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (search_of(n_trials=0), "n_trials of a plan must be at least 1, but it is 0"),
        (search_of(first_rung=FixedRung(0)), "min_epochs of a plan must be at least 1, but it is 0"),
        (
            search_of(first_rung=10),
            "first_rung of a plan must be a FixedRung or a LearnedRung, but it is '10'",
        ),
        (
            search_of(first_rung=LearnedRung(n_trials=3)),
            r"first_rung\.n_trials of a plan must be at least 4, but it is 3",
        ),
        (
            search_of(first_rung=LearnedRung(agreement=1.0)),
            r"first_rung\.agreement of a plan must lie between 0 and 1",
        ),
        (search_of(reduction_factor=1), "reduction_factor of a plan must be at least 2, but it is 1"),
        (search_of(seeds_per_config=0), "seeds_per_config of a plan must be at least 1, but it is 0"),
        (search_of(cohort_size=-1), "cohort_size of a plan must be at least 0, but it is -1"),
        (search_of(seed=-1), "seed of a plan must be at least 0, but it is -1"),
        (
            search_of(sampler="tpee"),
            r"one of tpe, random, quasi_random, grid, but it is 'tpee'\. Did you mean 'tpe'",
        ),
        (Search(space={}), "search study needs a field to vary"),
        (design_of(n_seeds=0), "n_seeds of a plan must be at least 1, but it is 0"),
        (design_of(kind="ablations"), "but it is 'ablations'. Did you mean 'ablation'"),
        (Design(kind="sensitivity", variants={}), "sensitivity study needs a variant"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused(plan: Design | Search, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        study_of(plan)


@pytest.mark.parametrize("name", ["search", "search_2", "v1.2-b"])
def test_plain_names_are_taken(name: str) -> None:
    assert study_of(design_of(), name).name == name


def test_a_design_pairs_every_variant_with_the_same_seeds() -> None:
    changed = {"model.tau": 0.5}
    study = study_of(design_of({"full": {}, "sharp": changed}, n_seeds=2))
    assert study.plan.assignments == [
        Assignment(variant="full", seed=0, changes={}),
        Assignment(variant="full", seed=1, changes={}),
        Assignment(variant="sharp", seed=0, changes=changed),
        Assignment(variant="sharp", seed=1, changes=changed),
    ]
    assert study.plan.size == 4


def test_a_sampled_search_has_no_assignments() -> None:
    study = study_of(search_of(n_trials=7))
    assert study.plan.assignments == []
    assert study.plan.size == 7


def test_a_grid_search_tries_every_point_with_the_search_s_seed() -> None:
    space = {"graph.top_k": CategoricalDistribution((5, 10)), "model.n_graph_layers": IntDistribution(1, 3)}
    study = study_of(search_of(space, sampler="grid", seed=3, n_trials=2))
    assert study.plan.size == 6
    assert {assignment.seed for assignment in study.plan.assignments} == {3}


def test_a_grid_refuses_a_number_of_trials() -> None:
    space = {"graph.top_k": CategoricalDistribution((5, 10, 20))}
    study = study_of(search_of(space))
    with pytest.raises(InputError, match=r"all its 3 points, but study .* was given --trials"):
        study.with_budget(n_trials=2, sampler="grid")


def test_grid_variants_are_named_points_in_order() -> None:
    space = {
        "graph.top_k": CategoricalDistribution((5, 20)),
        "model.n_graph_layers": IntDistribution(0, 4, step=2),
    }
    assert grid_variants(space) == {
        "top_k=5,n_graph_layers=0": {"graph.top_k": 5, "model.n_graph_layers": 0},
        "top_k=5,n_graph_layers=2": {"graph.top_k": 5, "model.n_graph_layers": 2},
        "top_k=5,n_graph_layers=4": {"graph.top_k": 5, "model.n_graph_layers": 4},
        "top_k=20,n_graph_layers=0": {"graph.top_k": 20, "model.n_graph_layers": 0},
        "top_k=20,n_graph_layers=2": {"graph.top_k": 20, "model.n_graph_layers": 2},
        "top_k=20,n_graph_layers=4": {"graph.top_k": 20, "model.n_graph_layers": 4},
    }


def test_steps_of_a_grid_are_the_decimals_that_were_meant() -> None:
    grid = grid_variants({"model.dropout": FloatDistribution(0.0, 0.4, step=0.1)})
    assert [point["model.dropout"] for point in grid.values()] == [0.0, 0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("distribution", [FloatDistribution(0.1, 2.0), FloatDistribution(0.1, 2.0, log=True)])
def test_a_grid_over_a_continuous_range_is_refused(distribution: FloatDistribution) -> None:
    with pytest.raises(InputError, match=r"'model\.tau' is a continuous range\. Give it a step"):
        grid_variants({"model.tau": distribution})


def test_a_budget_changes_a_search_s_plan_and_nothing_else() -> None:
    study = study_of(search_of())
    changed = study.with_budget(n_trials=5, n_seeds=None, sampler="random", seed=9)
    plan = of_kind(Search, changed.plan)
    assert (plan.n_trials, plan.sampler, plan.seed) == (5, "random", 9)
    assert (plan.space, changed.base, changed.name) == (
        of_kind(Search, study.plan).space,
        study.base,
        study.name,
    )


def test_a_budget_changes_a_design_s_seeds() -> None:
    assert of_kind(Design, study_of(design_of()).with_budget(n_seeds=5).plan).n_seeds == 5


def test_an_empty_budget_changes_nothing() -> None:
    study = study_of(design_of())
    nothing = dict.fromkeys(("n_trials", "n_seeds", "sampler", "seed", "seeds_per_config", "cohort_size"))
    assert study.with_budget(**nothing) == study


@pytest.mark.parametrize(
    ("plan", "budget", "sentence"),
    [
        (design_of(), {"n_trials": 3}, r"design's trials are its variants.*given --trials\. Use --seeds\."),
        (design_of(), {"sampler": "tpe"}, r"design's trials are its variants.*given --sampler\."),
        (design_of(), {"seed": 1}, r"design's trials are its variants.*given --seed\."),
        (
            search_of(),
            {"n_seeds": 3},
            r"seeds per config.*given --seeds\. Use --trials or --seeds-per-trial",
        ),
        (
            search_of(kind="importance", sampler="random"),
            {"first_rung": FixedRung(3)},
            r"importance study stops no trial early.*given --min-epochs\. Leave it out",
        ),
        (
            search_of(kind="importance", sampler="random"),
            {"sampler": "tpe"},
            r"no result has chosen, but its sampler is 'tpe'\. Use --sampler quasi_random",
        ),
        (
            search_of(),
            {"first_rung": FixedRung(Config().training.max_epochs + 1)},
            rf"--min-epochs must be at most --max-epochs, which is {Config().training.max_epochs} in study",
        ),
    ],
)
def test_a_budget_that_a_plan_does_not_have_is_refused(
    plan: Design | Search, budget: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        study_of(plan).with_budget(**budget)


def contrastive_space(
    values: tuple[str] = ("contrastive",), field: str = "loss.alignment", order: int = 1
) -> dict[str, Any]:
    space = {
        "loss.alignment": CategoricalDistribution(("frozen", "contrastive")),
        "loss.contrastive_temperature": Conditional(field, values, FloatDistribution(0.1, 0.2, step=0.1)),
    }
    return dict(list(space.items())[::order])


def test_a_grid_has_a_conditional_field_only_where_its_condition_holds() -> None:
    assert list(grid_variants(contrastive_space()).values()) == [
        {"loss.alignment": "frozen"},
        {"loss.alignment": "contrastive", "loss.contrastive_temperature": 0.1},
        {"loss.alignment": "contrastive", "loss.contrastive_temperature": 0.2},
    ]


@pytest.mark.parametrize(
    "space", [contrastive_space(order=-1), contrastive_space(field="model.tau")], ids=["later", "elsewhere"]
)
def test_a_condition_on_a_field_that_is_not_named_before_is_refused(space: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"condition of 'loss\.contrastive_temperature' must be on a field"):
        study_of(search_of(space))


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"model.tua": 1.0}, r"'model\.tua' is not among them\. Did you mean 'model\.tau'"),
        (
            {"model.tau": 9.0},
            r"must lie in the space, but 'model\.tau' is 9\.0 and the space has 0\.5 to 2\.",
        ),
        ({"model.tau": "warm"}, r"must lie in the space, but 'model\.tau' is warm"),
        (
            {"graph.top_k": 7},
            r"must lie in the space, but 'graph\.top_k' is 7 and the space has 5 or 10\.",
        ),
    ],
)
def test_an_initial_point_outside_the_space_is_refused(point: dict[str, Any], sentence: str) -> None:
    space = {"model.tau": FloatDistribution(0.5, 2.0), "graph.top_k": CategoricalDistribution((5, 10))}
    with pytest.raises(InputError, match=sentence):
        study_of(search_of(space, initial_points=(point,)))


def test_a_search_with_several_seeds_a_config_has_as_many_trials_at_most() -> None:
    assert study_of(search_of(n_trials=7, seeds_per_config=3)).plan.size == 21


def test_a_grid_with_several_seeds_has_each_point_with_each() -> None:
    space = {"graph.top_k": CategoricalDistribution((5, 10))}
    study = study_of(search_of(space, sampler="grid", seed=3, seeds_per_config=2))
    given = [(assignment.variant, assignment.seed) for assignment in study.plan.assignments]
    assert given == [("top_k=5", 3), ("top_k=5", 4), ("top_k=10", 3), ("top_k=10", 4)]


def test_more_seeds_of_a_design_continue_those_it_has() -> None:
    more = design_of(n_seeds=2).extended(0, 1)
    assert [assignment.seed for assignment in more.assignments] == [0, 1, 2]
    search = study_of(search_of())
    assert search.plan.extended(0, 1) is search.plan


def test_a_design_s_seeds_may_be_new_ones_and_fewer_for_some_variants() -> None:
    variants = {"one": {}, "two": {"data.split_seed": 1}}
    design = Design(kind="reevaluation", variants=variants, n_seeds=2, first_seed=5, n_seeds_of={"two": 1})
    asked = [(each.variant, each.seed) for each in study_of(design).plan.assignments]
    assert asked == [("one", 5), ("one", 6), ("two", 5)]


def test_seeds_below_zero_are_refused() -> None:
    with pytest.raises(InputError, match="first_seed of a plan must be at least 0, but it is -1"):
        study_of(Design(kind="ablation", variants={"full": {}}, first_seed=-1))


@pytest.mark.parametrize(
    "space",
    [
        {"model.hidden_size": IntDistribution(1, 10**9)},
        {"model.dropout": FloatDistribution(0.0, 0.9, step=1e-9)},
        {
            "model.dropout": FloatDistribution(0.0, 0.9, step=1e-3),
            "model.hidden_size": IntDistribution(1, 999),
        },
    ],
)
def test_a_grid_of_more_points_than_anybody_runs_is_refused(space: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="A grid has at most 100,000 points"):
        grid_variants(space)


@pytest.mark.parametrize(
    ("plan", "rule"),
    [
        (
            lambda: search_of(n_trials=10**12),
            r"n_trials of a plan must be at most 1,000,000, but it is 1e\+12",
        ),
        (lambda: search_of(n_trials=1.5), "n_trials of a plan must be a whole number, but it is '1.5'"),
        (lambda: search_of(n_trials=10**400), "must be at most 1,000,000, but it is far more"),
        (lambda: search_of(n_trials="3"), "n_trials of a plan must be a whole number, but it is '3'"),
        (lambda: search_of(n_trials=True), "must be a whole number, but it is 'True'"),
        (lambda: search_of(seed=2**32), "seed of a plan must be at most 4,294,967,295"),
        (lambda: design_of(n_seeds=10**15), "n_seeds of a plan must be at most 1,000,000"),
        (
            lambda: design_of({"a": {}, "b": {}}, n_seeds=10**6),
            "the number of trials of a plan must be at most 1,000,000",
        ),
        (
            lambda: design_of(n_seeds_of={"a": "x"}),
            "n_seeds_of 'a' of a plan must be a whole number",
        ),
    ],
)
def test_a_plan_that_nobody_could_run_is_refused(plan: Callable[[], Plan], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        Study(name="try", question="?", base=Config(), plan=plan())
