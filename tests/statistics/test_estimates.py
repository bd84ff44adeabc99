from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from fixtures.store import MakeTable
from scipy import stats

from adapert.seeding import numpy_generator
from adapert.statistics.estimates import (
    REPLICATE,
    bootstrap_interval,
    mean_over_perturbations,
    pivot_replicates,
    resample_mean,
    summarize_by,
)
from adapert.statistics.two_level import draw_counts, measure_spread


def _generator() -> np.random.Generator:
    return numpy_generator(0, "test")


def _ragged() -> np.ndarray:
    values = _generator().normal(0.5, 0.2, size=(3, 25))
    values[0, :5] = np.nan
    values[2, 20:] = np.nan
    return values


def _analysis_of_variance(values: np.ndarray) -> tuple[float, float, float]:
    """Variances of a complete table's mean, from the mean squares of a two-way layout in plain loops."""
    n_seeds, n = values.shape
    mean = values.mean()
    of_perturbations = sum((values[:, p].mean() - mean) ** 2 for p in range(n)) / (n - 1) / n
    of_seeds = sum((values[s].mean() - mean) ** 2 for s in range(n_seeds)) / (n_seeds - 1) / n_seeds
    rest = sum(
        (values[s, p] - values[s].mean() - values[:, p].mean() + mean) ** 2
        for s in range(n_seeds)
        for p in range(n)
    )
    return of_perturbations, of_seeds, rest / ((n - 1) * (n_seeds - 1)) / (n * n_seeds)


def test_mean_weighs_perturbations_equally_whatever_their_seeds() -> None:
    values = np.array([[1.0, 4.0], [3.0, np.nan]])
    assert mean_over_perturbations(values) == 3.0  # (2 + 4) / 2


def test_mean_of_nothing_is_nan() -> None:
    assert np.isnan(mean_over_perturbations(np.full((2, 2), np.nan)))
    assert np.isnan(mean_over_perturbations(np.empty((0, 0))))


def test_spread_agrees_with_an_analysis_of_variance_in_plain_loops() -> None:
    draws = _generator()
    values = draws.normal(size=25) + draws.normal(0, 0.5, (4, 1)) + draws.normal(size=(4, 25))
    spread = measure_spread(resample_mean(values, draw_counts(25, draws, 10_000)))
    found = (spread.perturbations, spread.between_seeds, spread.interaction)
    np.testing.assert_allclose(found, _analysis_of_variance(values), rtol=0.06)


def test_interval_of_normal_values_is_students_at_satterthwaites_freedom() -> None:
    values = _generator().normal(size=(4, 100)) + np.array([[0.0], [0.1], [0.2], [0.3]])
    of_perturbations, of_seeds, rest = _analysis_of_variance(values)
    total = of_perturbations + of_seeds - rest
    squares = of_perturbations**2 / 99 + of_seeds**2 / 3 + rest**2 / (99 * 3)
    half = stats.t.ppf(0.975, total**2 / squares) * np.sqrt(total)
    interval = bootstrap_interval(values, _generator(), n_resamples=10_000)
    np.testing.assert_allclose(interval, (values.mean() - half, values.mean() + half), atol=0.06 * half)


def test_interval_of_one_seed_agrees_with_scipys_expanded() -> None:
    values = _generator().gamma(2.0, 0.2, size=30)
    interval = bootstrap_interval(values[None], _generator(), n_resamples=20_000)
    percentile = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    expansion = np.sqrt(30 / 29) * stats.t.ppf(0.975, 29) / stats.norm.ppf(0.975)
    reference = values.mean() + expansion * (np.array(percentile) - values.mean())
    np.testing.assert_allclose(interval, reference, atol=0.03 * np.ptp(reference))


def test_interval_of_other_perturbations_in_each_seed_is_that_of_one_seed() -> None:
    means = _generator().normal(size=60)
    values = np.full((3, 60), np.nan)
    values[np.arange(60) % 3, np.arange(60)] = means
    spread = measure_spread(resample_mean(values, draw_counts(60, _generator(), 20_000)))
    assert spread.perturbations == pytest.approx(means.var(ddof=1) / 60, rel=0.04)
    # Seeds that differ by their perturbations alone share no variance: what is between them is expected.
    assert spread.interaction == pytest.approx(means.var() / 60, rel=0.15)


def test_interval_covers_the_truth_when_seeds_shift_all_perturbations() -> None:
    draws = _generator()
    covered = 0
    for _ in range(200):
        perturbations = draws.normal(0.5, 0.2, size=(1, 40))
        seeds = draws.normal(0.0, 0.03, size=(5, 1))
        low, high = bootstrap_interval(perturbations + seeds, draws, n_resamples=500)
        covered += low <= 0.5 <= high
    assert 0.90 <= covered / 200 <= 0.99


def test_interval_sees_the_variation_between_seeds() -> None:
    values = np.zeros((4, 20)) + np.array([[0.0], [0.1], [0.2], [0.3]])
    low, high = bootstrap_interval(values, _generator())
    half = stats.sem([0, 0.1, 0.2, 0.3]) * stats.t.ppf(0.975, 3)
    np.testing.assert_allclose((low, high), (0.15 - half, 0.15 + half), atol=0.1 * half)


def test_interval_ignores_seeds_and_perturbations_without_a_value() -> None:
    values = _ragged()
    padded = np.full((4, 27), np.nan)
    padded[:3, 1:26] = values
    assert bootstrap_interval(padded, _generator()) == bootstrap_interval(values, _generator())


@pytest.mark.parametrize("values", [np.empty((0, 0)), np.array([[0.5]]), np.array([[0.4], [0.6]])])
def test_no_interval_below_two_perturbations(values: np.ndarray) -> None:
    assert np.isnan(bootstrap_interval(values, _generator())).all()


def test_constant_values_have_an_interval_of_no_width() -> None:
    np.testing.assert_allclose(bootstrap_interval(np.full((2, 5), 0.5), _generator()), (0.5, 0.5))


def _summary_table(make_table: Callable[..., pd.DataFrame]) -> pd.DataFrame:
    return make_table(
        [
            {"perturbation": "A", "seed": 0, "value": 0.1},
            {"perturbation": "A", "seed": 1, "value": 0.3},
            {"perturbation": "B", "seed": 0, "value": 0.4},
            {"perturbation": "B", "seed": 1, "value": np.nan},
            {"perturbation": "C", "seed": 0, "variant": "no_context", "value": 0.5},
            {"perturbation": "C", "seed": 0, "metric": "mse", "value": np.nan},
        ]
    )


def test_summary_is_exact_on_a_small_table(make_table: MakeTable) -> None:
    summary = summarize_by(_summary_table(make_table), ["variant"])
    assert list(summary.columns) == ["variant", "metric", "mean", "low", "high", "n_perturbations", "n_seeds"]
    expected = pd.DataFrame(
        {
            "variant": ["full", "full", "no_context"],
            "metric": ["mse", "pds", "pds"],
            "mean": [np.nan, 0.3, 0.5],
            "n_perturbations": [0, 2, 1],
            "n_seeds": [0, 2, 1],
        }
    )
    pd.testing.assert_frame_equal(summary.drop(columns=["low", "high"]), expected)
    assert summary["low"][1] < 0.2 < 0.4 < summary["high"][1]
    assert summary.loc[[0, 2], ["low", "high"]].isna().all(axis=None)


def test_interval_stays_within_what_the_metric_can_be(make_table: MakeTable) -> None:
    rows = [{"perturbation": "A", "metric": "pds", "value": 0.2}, {"metric": "pds", "value": 1.0}]
    summary = summarize_by(make_table([rows[0], rows[1] | {"perturbation": "B"}]), ["variant"])
    assert summary[["low", "high"]].to_numpy().tolist() == [[0, 1]]


def test_summary_counts_a_seed_on_two_splits_as_two_replicates(make_table: MakeTable) -> None:
    table = make_table([{"split_seed": split_seed, "perturbation": p} for split_seed in (0, 1) for p in "AB"])
    assert summarize_by(table, ["variant"])["n_seeds"].tolist() == [2]


def test_summary_depends_on_neither_row_order_nor_other_variants(make_table: MakeTable) -> None:
    table = _summary_table(make_table)
    whole = summarize_by(table, ["variant"])
    shuffled = summarize_by(table.sample(frac=1, random_state=0), ["variant"])
    pd.testing.assert_frame_equal(whole, shuffled)
    alone = summarize_by(table[table["variant"] == "full"], ["variant"])
    pd.testing.assert_frame_equal(whole.iloc[:2], alone)


def test_summary_takes_categories_and_draws_no_empty_ones(make_table: MakeTable) -> None:
    table = _summary_table(make_table).astype({"variant": "category", "metric": "category"})
    assert len(summarize_by(table, ["variant"])) == 3


@pytest.mark.parametrize("dtype", [object, "category"])
def test_replicates_are_laid_out_as_pandas_would(make_table: MakeTable, dtype: type | str) -> None:
    generator = _generator()
    table = make_table(
        {"split_seed": split_seed, "seed": seed, "perturbation": name, "value": generator.normal()}
        for split_seed in (1, 0)
        for seed in (0, 2)
        for name in ("C", "A", "B")
    ).astype({"perturbation": dtype})
    table.loc[[1, 4, 7, 10], "value"] = np.nan  # no value of A
    table = pd.concat([table.iloc[1:], table.iloc[2:5]])  # one perturbation less of a seed, one trial twice
    expected = table.pivot_table(index=REPLICATE, columns="perturbation", values="value", observed=True)
    pd.testing.assert_frame_equal(pivot_replicates(table), expected, check_exact=True)
    assert pivot_replicates(table.assign(value=np.nan)).shape == (0, 0)
