from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from fixtures.store import MakeTable
from scipy import stats

from adapert.seeding import numpy_generator
from adapert.statistics.ranks import rank_variants
from adapert.statistics.two_level import draw_counts

Values = Mapping[str, np.ndarray]


def long_table(make_table: MakeTable, values: Values, metric: str = "pearson_delta") -> pd.DataFrame:
    """Rows of variants' values, (n_seeds, n_splits, n_perturbations) each; NaN has no row."""
    rows = [
        {"variant": name, "seed": seed, "split_seed": split, "perturbation": f"P{number}", "value": value}
        for name, of_variant in values.items()
        for (seed, split, number), value in np.ndenumerate(of_variant)
        if not np.isnan(value)
    ]
    return make_table(rows, metric=metric)


def ranked(frame: pd.DataFrame) -> dict[str, Sequence[float]]:
    table = rank_variants(frame)
    ranks = table[["rank", "rank_low", "rank_high"]].to_numpy(dtype=float).tolist()
    return {str(name): tuple(each) for name, each in zip(table["variant"], ranks, strict=True)}


def test_clear_leads_have_ranks_without_width_and_equal_variants_share_one(make_table: MakeTable) -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (2, 2, 20))
    values = {"worst": noise, "best": noise + 1, "twin": noise + 0.5, "other": noise + 0.5}
    assert ranked(long_table(make_table, values)) == {
        "worst": (4, 4, 4),
        "best": (1, 1, 1),
        "twin": (2, 2, 3),
        "other": (2, 2, 3),
    }


def test_the_smallest_error_is_first(make_table: MakeTable) -> None:
    values = {"far": np.full((1, 1, 5), 2.0), "near": np.full((1, 1, 5), 1.0)}
    assert ranked(long_table(make_table, values, "mse")) == {"far": (2, 2, 2), "near": (1, 1, 1)}


def test_ranks_of_one_fit_are_those_of_means_of_resampled_perturbations(make_table: MakeTable) -> None:
    # One seed and one split leave a plain bootstrap, ranked here by scipy.
    generator = np.random.default_rng(2)
    values = {
        name: generator.normal(level, 1.0, (1, 1, 15)) for name, level in [("a", 0), ("b", 0.2), ("c", 0.4)]
    }
    counts = draw_counts(15, numpy_generator(0, "bootstrap/ranks/pearson_delta"))
    means = np.stack([(counts * each[0, 0]).sum(axis=1) / 15 for each in values.values()], axis=1)
    by_resample = np.array([stats.rankdata(-row, method="min") for row in means])
    low, high = np.quantile(by_resample, (0.025, 0.975), axis=0, method="inverted_cdf")
    found = rank_variants(long_table(make_table, values))
    np.testing.assert_array_equal(found["rank_low"], low)
    np.testing.assert_array_equal(found["rank_high"], high)
    assert (found["rank_low"] <= found["rank"]).all()
    assert (found["rank"] <= found["rank_high"]).all()


def test_splits_that_disagree_widen_the_interval(make_table: MakeTable) -> None:
    steady = np.zeros((1, 2, 30))
    turned = np.zeros((1, 2, 30))
    turned[0, 0], turned[0, 1] = 1.0, -0.9
    assert ranked(long_table(make_table, {"steady": steady, "turned": turned})) == {
        "steady": (2, 1, 2),
        "turned": (1, 1, 2),
    }


def test_only_what_all_variants_have_counts(make_table: MakeTable) -> None:
    complete = np.array([[[0.5, 0.5, 0.5, 9.0]]])
    partial = np.array([[[0.6, 0.6, 0.6, np.nan]]])
    assert ranked(long_table(make_table, {"complete": complete, "partial": partial})) == {
        "complete": (2, 2, 2),
        "partial": (1, 1, 1),
    }


def test_a_variant_without_a_value_has_no_rank_and_takes_none(make_table: MakeTable) -> None:
    frame = long_table(make_table, {"a": np.zeros((1, 1, 4)), "b": np.ones((1, 1, 4))})
    nothing = frame[frame["variant"] == "a"].assign(variant="none", value=np.nan)
    found = rank_variants(pd.concat([nothing, frame]))
    assert found["variant"].tolist() == ["none", "a", "b"]
    assert found["rank"].isna().tolist() == [True, False, False]
    assert found["rank"].tolist()[1:] == [2, 1]


def test_one_perturbation_has_a_rank_and_no_interval(make_table: MakeTable) -> None:
    values = {"a": np.zeros((1, 1, 1)), "b": np.ones((1, 1, 1))}
    found = rank_variants(long_table(make_table, values))
    assert found["rank"].tolist() == [2, 1]
    assert found[["rank_low", "rank_high"]].isna().all(axis=None)
