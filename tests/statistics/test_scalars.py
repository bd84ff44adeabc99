from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from fixtures.store import MakeTable
from scipy.stats import rankdata, spearmanr

from adapert.evaluation.de_metrics import DifferentialExpression, spearman_n_degs
from adapert.seeding import numpy_generator
from adapert.statistics.estimates import summarize_by
from adapert.statistics.scalars import summarize_scalars, weighted_spearman


def _table(
    make_table: Callable[..., pd.DataFrame], noise: dict[str, float], n: int = 30, n_seeds: int = 2
) -> pd.DataFrame:
    draws = numpy_generator(0, "test")
    observed = draws.integers(0, 40, n)
    rows = [
        {
            "variant": variant,
            "seed": seed,
            "perturbation": f"P{i}",
            "metric": "n_predicted_degs",
            "n_degs": observed[i],
            "value": float(max(observed[i] + sd * draws.normal(), 0)),
        }
        for variant, sd in noise.items()
        for seed in range(n_seeds)
        for i in range(n)
    ]
    return make_table(rows)


def test_correlation_of_drawn_entries_is_scipys_of_repeated_ones() -> None:
    draws = numpy_generator(0, "test")
    one, other = draws.integers(0, 6, (2, 15)).astype(float)
    counts = draws.multinomial(15, np.full(15, 1 / 15), size=20).astype(float)
    expected = [spearmanr(np.repeat(one, row), np.repeat(other, row)).statistic for row in counts.astype(int)]
    np.testing.assert_allclose(weighted_spearman(one, other, counts), expected)


def test_a_constant_side_has_no_correlation() -> None:
    assert np.isnan(weighted_spearman(np.ones(4), np.arange(4.0), np.ones((1, 4)))).all()


def test_mean_over_seeds_equals_the_metric_of_each_trial(make_table: MakeTable) -> None:
    table = _table(make_table, {"full": 10.0})
    row = summarize_scalars(table, ["variant"]).iloc[0]
    expected = []
    for _, trial in table[table["n_degs"] > 0].groupby("seed"):
        ranks = (rankdata(trial["value"]), rankdata(trial["n_degs"]))
        expected.append(np.corrcoef(*ranks)[0, 1])
    assert row["mean"] == pytest.approx(np.mean(expected))
    assert row["n_perturbations"] == (table.groupby("perturbation")["n_degs"].first() > 0).sum()
    assert row["n_seeds"] == 2
    assert row["low"] < row["mean"] < row["high"]


def test_mean_of_one_trial_is_the_metric_that_trials_report(make_table: MakeTable) -> None:
    masks = numpy_generator(0, "test").random((2, 12, 30)) < np.linspace(0, 0.6, 12)[:, None]
    sides = [DifferentialExpression(log2_fold_change=np.zeros((12, 30)), deg_mask=mask) for mask in masks]
    rows = [
        {"perturbation": f"P{i}", "metric": "n_predicted_degs", "value": float(found), "n_degs": true}
        for i, (found, true) in enumerate(zip(sides[0].n_degs, sides[1].n_degs, strict=True))
    ]
    summary = summarize_scalars(make_table(rows), ["variant"])
    assert summary.loc[0, "mean"] == pytest.approx(spearman_n_degs(*sides))


def test_interval_holds_the_truth_of_correlated_counts(make_table: MakeTable) -> None:
    draws, truth = numpy_generator(0, "test"), 6 / np.pi * np.arcsin(0.6 / 2)
    covered = 0
    for _ in range(30):
        observed = draws.normal(size=40)
        predicted = 0.6 * observed + 0.8 * draws.normal(size=40)
        rows = [
            {"perturbation": f"P{i}", "metric": "n_predicted_degs", "value": p, "n_degs": o}
            for i, (p, o) in enumerate(zip(predicted + 9, observed + 9, strict=True))
        ]
        row = summarize_scalars(make_table(rows), ["variant"]).iloc[0]
        covered += row["low"] <= truth <= row["high"]
    assert covered >= 24  # .95 of 30, less 3 binomial standard errors


def test_interval_of_few_perturbations_stays_within_what_a_correlation_can_be(make_table: MakeTable) -> None:
    rows = [
        {"perturbation": f"P{i}", "metric": "n_predicted_degs", "value": p, "n_degs": o}
        for i, (p, o) in enumerate([(1.0, 2), (3.0, 1), (2.0, 3), (4.0, 4), (5.0, 5)])
    ]
    row = summarize_scalars(make_table(rows), ["variant"]).iloc[0]
    assert row["low"] >= -1
    assert row["high"] <= 1


def test_columns_are_those_of_other_metrics(make_table: MakeTable) -> None:
    table = _table(make_table, {"full": 10.0})
    assert list(summarize_scalars(table, ["variant"])) == list(summarize_by(table, ["variant"]))


@pytest.mark.parametrize("n_degs", [0, 5])
def test_equal_or_no_observed_counts_have_no_correlation(make_table: MakeTable, n_degs: int) -> None:
    table = _table(make_table, {"full": 2.0, "a": 2.0}).assign(n_degs=n_degs)
    row = summarize_scalars(table, ["variant"]).iloc[0]
    assert row[["mean", "low", "high"]].isna().all()


def test_data_without_cells_have_no_rows(make_table: MakeTable) -> None:
    assert summarize_scalars(make_table([{}]), ["variant"]).empty
