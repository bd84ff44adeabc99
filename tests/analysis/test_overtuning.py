import numpy as np
import pandas as pd
import pytest
from scipy import stats

from adapert.errors import InputError
from analysis.overtuning import (
    FRESH_SEEDS,
    OVERTUNING_COLUMNS,
    REDRAWN_SPLITS,
    summarize_overtuning,
    value_trials,
)

SEARCH = pd.DataFrame({"config_digest": ["b", "a", "c"], "value": [0.50, 0.60, 0.40]})
AGAIN = pd.DataFrame(
    [
        *[("a", FRESH_SEEDS, value) for value in (0.50, 0.46, 0.48)],
        *[("b", FRESH_SEEDS, value) for value in (0.49, np.nan)],
        *[("a", REDRAWN_SPLITS, value) for value in (0.30, 0.40)],
    ],
    columns=["config_digest", "kind", "value"],
)


def test_drop_is_exact_on_a_small_table():
    table = summarize_overtuning(SEARCH, AGAIN)
    assert list(table.columns) == list(OVERTUNING_COLUMNS)
    assert table["config_digest"].tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(table["fresh_mean"], [0.48, 0.49, np.nan])
    np.testing.assert_allclose(table["fresh_drop"], [0.12, 0.01, np.nan])
    np.testing.assert_allclose(table["redrawn_drop"], [0.25, np.nan, np.nan])
    assert table["fresh_n"].tolist() == [3, 1, 0]
    assert table["fresh_rank"].tolist() == [2, 1, pd.NA]


def test_interval_over_trials_is_scipys():
    row = summarize_overtuning(SEARCH, AGAIN).iloc[0]
    expected = stats.ttest_1samp([0.50, 0.46, 0.48], 0).confidence_interval()
    np.testing.assert_allclose((row["fresh_low"], row["fresh_high"]), expected)


def test_one_trial_has_no_interval():
    assert summarize_overtuning(SEARCH, AGAIN).loc[1, ["fresh_low", "fresh_high"]].isna().all()


def test_the_best_of_equal_configs_drops_by_its_luck():
    draws = np.random.default_rng(0)
    names = [f"c{i}" for i in range(200)]
    search = pd.DataFrame({"config_digest": names, "value": draws.normal(0.5, 0.02, 200)})
    best = search.nlargest(5, "value")
    again = pd.DataFrame(
        [(name, FRESH_SEEDS, draws.normal(0.5, 0.02)) for name in best["config_digest"] for _ in range(5)],
        columns=["config_digest", "kind", "value"],
    )
    assert (summarize_overtuning(best, again)["fresh_drop"] > 0.01).all()


def test_long_tables_become_a_value_a_trial(make_table):
    table = make_table(
        [
            {"seed": seed, "perturbation": name, "metric": metric, "value": seed + place}
            for seed in (0, 1)
            for place, name in enumerate("ABC")
            for metric in ("pearson_delta", "pds")
        ]
    )
    trials = value_trials(table)
    assert trials.columns.tolist() == ["config_digest", "split_seed", "seed", "value"]
    assert trials["value"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (AGAIN.drop(columns="kind"), "re-evaluated trials needs .* but lacks 'kind'"),
        (AGAIN.assign(kind="again"), "kind is 'fresh seeds', 'redrawn splits', but came as 'again'"),
        (AGAIN.assign(config_digest="z"), "of searched configs, but 'z' is none"),
    ],
)
def test_tables_that_do_not_fit_are_refused(again, message):
    with pytest.raises(InputError, match=message):
        summarize_overtuning(SEARCH, again)
