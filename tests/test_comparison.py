import json
from dataclasses import replace

import anndata
import numpy as np
import pytest

from adapert.comparison import (
    ComparisonPlan,
    build_comparison_table,
    check_emitted,
    compare,
    describe_comparison,
    evaluate_model,
    measure_ceilings,
    new_folder,
    write_emitted,
)
from adapert.config import Config
from adapert.errors import InputError
from adapert.models.reference import REFERENCE_MODELS
from adapert.records import LONG_COLUMNS
from adapert.registry import MODELS

CONFIG = Config().with_changes(
    {
        "model.structural_size": 8,
        "model.latent_size": 8,
        "model.hidden_size": 16,
        "model.score_size": 6,
        "training.minibatch_size": 3,
        "training.max_epochs": 2,
    }
)


@pytest.fixture
def responses(tiny_dataset):
    return replace(tiny_dataset, manifest=dict(tiny_dataset.manifest) | {"kind": "responses"})


def ignore(line):
    pass


def plan_of(*models, **changes):
    return ComparisonPlan(models=models, split="test", **changes)


def values_of(table, variant, metric="pearson_delta", seed=0):
    rows = table[(table["variant"] == variant) & (table["metric"] == metric) & (table["seed"] == seed)]
    return rows["value"].to_numpy()


def test_a_model_with_chance_is_fitted_once_a_seed_and_others_once(tiny_dataset):
    rows = compare(plan_of("mean", "adapert", n_seeds=2), CONFIG, tiny_dataset, ignore)
    assert [(row.variant, row.seed) for row in rows] == [("mean", 0), ("adapert", 0), ("adapert", 1)]
    table = build_comparison_table(rows, tiny_dataset, "test")
    assert (values_of(table, "adapert", seed=0) != values_of(table, "adapert", seed=1)).all()


def test_a_model_named_twice_is_one_row(tiny_dataset):
    rows = compare(plan_of("mean", "control", "mean"), CONFIG, tiny_dataset, ignore)
    assert [row.variant for row in rows] == ["mean", "control"]


def test_an_ensemble_is_scored_on_the_mean_prediction_of_the_seeds(tiny_dataset):
    plan = plan_of("mean", "adapert", n_seeds=2, use_ensembles=True)
    rows = compare(plan, CONFIG, tiny_dataset, ignore)
    assert [row.variant for row in rows] == ["mean", "adapert", "adapert", "adapert_ensemble"]
    names = list(tiny_dataset.splits["test"].table.perturbations)
    one, other = (row.model.predict(names) for row in rows[1:3])
    observed = tiny_dataset.splits["test"].table.delta
    pairs = zip((one + other) / 2, observed, strict=True)
    expected = [np.corrcoef(predicted, delta)[0, 1] for predicted, delta in pairs]
    table = build_comparison_table(rows, tiny_dataset, "test")
    np.testing.assert_allclose(values_of(table, "adapert_ensemble"), expected, atol=1e-6)


def test_fits_cannot_read_the_split_that_is_opened(tiny_dataset, monkeypatch):
    seen = []

    class Curious:
        is_seeded = False

        def fit(self, dataset):
            seen.append(set(dataset.splits))

        def predict(self, perturbations):
            return np.zeros((len(perturbations), 12))

    monkeypatch.setitem(MODELS, "mean", lambda *_: Curious())
    compare(plan_of("mean"), CONFIG, tiny_dataset, ignore)
    assert seen == [{"train", "validation"}]


def test_the_table_has_every_metric_of_every_row_and_perturbation(tiny_dataset):
    rows = compare(plan_of("mean", "ridge_both"), CONFIG, tiny_dataset, ignore)
    table = build_comparison_table(rows, tiny_dataset, "test")
    assert tuple(table.columns) == LONG_COLUMNS
    sizes = table.groupby(["variant", "metric"]).size()
    assert (sizes == 3).all()
    assert set(table["metric"]) == set(rows[0].evaluation.per_perturbation)
    digests = table.groupby("variant")["config_digest"].unique()
    assert digests["ridge_both"].tolist() == [CONFIG.with_changes({"model.name": "ridge_both"}).digest()]
    assert set(table["split"]) == {"test"}


def test_models_are_scored_on_the_same_draws_of_cells(tiny_dataset):
    model = REFERENCE_MODELS["mean"]()
    model.fit(tiny_dataset)
    one, again = (evaluate_model(model, tiny_dataset, "test", seed=0) for _ in range(2))
    other = evaluate_model(model, tiny_dataset, "test", seed=1)
    assert one.clip_fraction == again.clip_fraction
    assert one.clip_fraction != other.clip_fraction


def test_the_record_says_what_was_opened_and_is_json(tiny_dataset):
    plan = plan_of("control", "mean")
    rows = compare(plan, CONFIG, tiny_dataset, ignore)
    record = json.loads(json.dumps(describe_comparison(plan, CONFIG, tiny_dataset, rows), allow_nan=False))
    assert record["opened"] | {"at": ""} == {
        "split": "test",
        "n_perturbations": 3,
        "at": "",
        "data_fingerprint": "tiny",
    }
    assert record["emission"] == "control_shift"
    assert [row["variant"] for row in record["models"]] == ["control", "mean"]
    assert "cell-eval definitions" in record["versions"]


def test_responses_have_no_ceilings(responses):
    assert measure_ceilings(plan_of("mean"), responses, ignore) == []


def test_a_ceiling_that_the_data_do_not_allow_is_left_out_with_its_reason(tiny_dataset):
    said = []
    rows = measure_ceilings(plan_of("mean"), tiny_dataset, said.append)  # values, not counts
    assert [(row.variant, row.model) for row in rows] == [("split_half", None)]
    assert "resampled is left out" in said[-1]


def test_folders_are_numbered_by_split(tmp_path):
    assert new_folder(tmp_path, "test") == tmp_path / "evaluations" / "test_001"
    (tmp_path / "evaluations" / "test_001").mkdir(parents=True)
    assert new_folder(tmp_path, "test").name == "test_002"
    assert new_folder(tmp_path, "validation").name == "validation_001"


def test_emitted_cells_are_those_that_were_scored(tiny_dataset, tmp_path):
    plan = plan_of("mean", emission="tiled")
    (row,) = compare(plan, CONFIG, tiny_dataset, ignore)
    files = (tmp_path / "predicted.h5ad", tmp_path / "real.h5ad")
    check_emitted(plan, tiny_dataset, files)
    write_emitted(row.model, row.seed, plan, tiny_dataset, files)
    predicted, real = (anndata.read_h5ad(path) for path in files)
    assert predicted.obs_names.tolist() == real.obs_names.tolist()
    assert predicted.n_obs == 20 + tiny_dataset.splits["test"].table.n_cells.sum()


@pytest.mark.parametrize(
    ("models", "changes", "says"),
    [
        ((), {}, "A comparison needs a model"),
        (("mean", "rigde_both"), {}, "There is no model 'rigde_both'. Did you mean 'ridge_both'?"),
        (("mean",), {"emission": "titled"}, "no way of emission 'titled'. Did you mean 'tiled'?"),
        (("adapert",), {"n_seeds": 1, "use_ensembles": True}, "--seeds is 1"),
        (("mean", "control"), {"use_ensembles": True}, "no seed changes mean, control"),
    ],
)
def test_a_wrong_plan_is_refused(models, changes, says):
    with pytest.raises(InputError) as error:
        plan_of(*models, **changes)
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("models", "changes", "names", "says"),
    [
        (("mean", "control"), {}, ("p", "r"), "--models names 2"),
        (("adapert",), {"n_seeds": 2}, ("p", "r"), "--seeds is 2"),
        (("mean",), {}, ("p", "p"), "both are"),
        (("mean",), {}, ("p", "old"), "old' exists"),
    ],
)
def test_what_cannot_be_emitted_is_refused(tiny_dataset, tmp_path, models, changes, names, says):
    (tmp_path / "old").write_text("")
    files = (tmp_path / names[0], tmp_path / names[1])
    with pytest.raises(InputError) as error:
        check_emitted(plan_of(*models, **changes), tiny_dataset, files)
    assert says in str(error.value)


def test_an_ensemble_of_several_seeds_can_be_emitted(tiny_dataset, tmp_path):
    plan = plan_of("adapert", n_seeds=2, use_ensembles=True)
    check_emitted(plan, tiny_dataset, (tmp_path / "p", tmp_path / "r"))


def test_responses_have_no_cells_to_emit(responses, tmp_path):
    with pytest.raises(InputError, match="prepared from responses"):
        check_emitted(plan_of("mean"), responses, (tmp_path / "p", tmp_path / "r"))
