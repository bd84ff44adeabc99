import json

import numpy as np
import pandas as pd
from fixtures.builders import PlanOf
from fixtures.narrowed import of_kind, present

from adapert.comparison.score import compare
from adapert.comparison.table import DATA_COLUMNS, build_comparison_table, describe_comparison
from adapert.config import Config
from adapert.data.prepared import PreparedDataset
from adapert.models.reference.ridge import RidgeModel
from adapert.records import LONG_COLUMNS
from adapert.training.fit import FittedNetwork


def values_of(table: pd.DataFrame, variant: str, metric: str = "pearson_delta", seed: int = 0) -> np.ndarray:
    rows = table[(table["variant"] == variant) & (table["metric"] == metric) & (table["seed"] == seed)]
    return rows["value"].to_numpy()


def test_a_model_with_chance_is_fitted_once_a_seed_and_others_once(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    plan = plan_of("mean", "adapert", n_seeds=2)
    rows = compare(plan, small_config, tiny_dataset)
    assert [(row.variant, row.seed) for row in rows] == [("mean", 0), ("adapert", 0), ("adapert", 1)]
    table = build_comparison_table(rows, tiny_dataset, plan)
    assert (values_of(table, "adapert", seed=0) != values_of(table, "adapert", seed=1)).all()


def test_an_ensemble_is_scored_on_the_mean_prediction_of_the_seeds(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    plan = plan_of("mean", "adapert", n_seeds=2, use_ensembles=True)
    rows = compare(plan, small_config, tiny_dataset)
    assert [row.variant for row in rows] == ["mean", "adapert", "adapert", "adapert_ensemble"]
    names = list(tiny_dataset.splits["test"].table.perturbations)
    one, other = (present(row.model).predict(names) for row in rows[1:3])
    observed = tiny_dataset.splits["test"].table.delta
    pairs = zip((one + other) / 2, observed, strict=True)
    expected = [np.corrcoef(predicted, delta)[0, 1] for predicted, delta in pairs]
    table = build_comparison_table(rows, tiny_dataset, plan)
    np.testing.assert_allclose(values_of(table, "adapert_ensemble"), expected, atol=1e-6)


def test_the_table_has_every_metric_of_every_row_and_perturbation(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    plan = plan_of("mean", "ridge_both")
    rows = compare(plan, small_config, tiny_dataset)
    table = build_comparison_table(rows, tiny_dataset, plan)
    assert tuple(table.columns) == LONG_COLUMNS + DATA_COLUMNS
    assert set(table["trained_on"]) == set(table["scored_on"]) == {"tiny"}
    sizes = table.groupby(["variant", "metric"]).size()
    assert (sizes == 3).all()
    assert set(table["metric"]) == set(rows[0].evaluation.per_perturbation)
    digests = table.groupby("variant")["config_digest"].unique()
    assert digests["ridge_both"].tolist() == [
        small_config.with_changes({"model.name": "ridge_both"}).digest()
    ]
    assert set(table["split"]) == {"test"}


def test_a_gene_of_a_validation_perturbation_is_seen_by_a_refit_that_learns_from_it(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    counts = {}
    for refit in ("train", "train+validation"):
        plan = plan_of("control", refit=refit)
        table = build_comparison_table(compare(plan, small_config, tiny_dataset), tiny_dataset, plan)
        counts[refit] = dict(zip(table["perturbation"], table["n_unseen_genes"], strict=True))
    # The validation perturbation G02+G05 is the only one of G05 beside the test split's.
    assert counts["train"] == {"G08": 1, "G05": 1, "G03": 1}
    assert counts["train+validation"] == {"G08": 1, "G05": 0, "G03": 1}


def test_the_record_says_what_was_opened_and_is_json(
    tiny_dataset: PreparedDataset, small_config: Config, plan_of: PlanOf
) -> None:
    plan = plan_of("control", "ridge_both", "adapert", n_seeds=1, refit="train+validation")
    rows = compare(plan, small_config, tiny_dataset)
    record = json.loads(
        json.dumps(describe_comparison(plan, {"": small_config}, tiny_dataset, rows), allow_nan=False)
    )
    assert record["opened"] | {"at": ""} == {
        "split": "test",
        "n_perturbations": 3,
        "at": "",
        "data_fingerprint": "tiny",
        "trained_on": "tiny",
    }
    assert record["transfer"] is None
    assert record["emission"] == "control_shift"
    assert {row["variant"]: row["chosen"] for row in record["models"]} == {
        "control": {},
        "ridge_both": {"penalty": of_kind(RidgeModel, rows[1].model).penalty},
        "adapert": {"n_epochs": of_kind(FittedNetwork, rows[2].model).training.epoch},
    }
    assert "cell-eval definitions" in record["versions"]
