from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fixtures.store import MakeTable
from scipy import stats

import adapert.statistics.paired
from adapert.seeding import numpy_generator
from adapert.statistics.estimates import bootstrap_interval
from adapert.statistics.paired import PAIRED_COLUMNS, compare_pairs, summarize_paired
from adapert.statistics.significance import family_signed_rank_p

EFFECTS = {"A": 0.1, "B": 0.2, "C": 0.0, "D": -0.1}


def _table(make_table: Callable[..., pd.DataFrame], metric: str = "pds") -> pd.DataFrame:
    rows = [
        {
            "variant": variant,
            "seed": seed,
            "perturbation": name,
            "effect_size": "large" if name == "D" else "small",
            "metric": metric,
            "value": 0.5 + 0.1 * seed + (effect if variant == "no_context" else 0.0),
        }
        for variant in ("full", "no_context")
        for seed in (0, 1)
        for name, effect in EFFECTS.items()
    ]
    return make_table(rows)


def _row(summary: pd.DataFrame, **which: Any) -> pd.Series:
    chosen = summary
    for column, value in which.items():
        chosen = chosen[chosen[column] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_summary_is_exact_on_a_small_table(make_table: MakeTable) -> None:
    summary = summarize_paired(_table(make_table))
    assert list(summary.columns) == ["effect_size", *PAIRED_COLUMNS]
    assert summary["effect_size"].tolist() == ["all", "large", "small"]
    row = _row(summary, effect_size="all")
    effects = np.array(list(EFFECTS.values()))
    assert row["difference"] == pytest.approx(0.05)
    assert row["standardized_difference"] == pytest.approx(0.05 / effects.std(ddof=1))
    assert row[["wins", "ties", "losses"]].tolist() == [2, 1, 1]
    assert row[["n_perturbations", "n_seeds"]].tolist() == [4, 2]
    assert row["low"] < 0.05 < row["high"]


def test_a_smaller_error_wins(make_table: MakeTable) -> None:
    row = _row(summarize_paired(_table(make_table, "mse")), effect_size="all")
    assert row[["wins", "ties", "losses"]].tolist() == [1, 1, 2]


def test_a_metric_without_direction_has_no_winner(make_table: MakeTable) -> None:
    row = _row(summarize_paired(_table(make_table, "collapse_ratio")), effect_size="all")
    assert row[["wins", "ties", "losses"]].isna().all()
    assert row["difference"] == pytest.approx(0.05)


def test_p_is_scipys_of_seed_averages() -> None:
    values = numpy_generator(0, "test").normal(0.2, 1, (3, 20))
    expected = stats.wilcoxon(values.mean(axis=0)).pvalue
    assert compare_pairs(values, numpy_generator(0, "test"))["p_wilcoxon"] == expected


@pytest.mark.parametrize("n", [13, 30])
def test_shares_that_are_equal_but_for_rounding_tie(n: int) -> None:
    draws = numpy_generator(0, "test")
    found = draws.integers(10, 40, (3, n))
    gains = draws.integers(-3, 6, (3, n))
    families = np.repeat(np.arange(n // 2 + 1), 2)[:n]
    p = compare_pairs((found + gains) / 50 - found / 50, draws, families=families.astype(str))
    assert p["p_wilcoxon"] == stats.wilcoxon(gains.sum(axis=0)).pvalue
    assert p["p_families"] == family_signed_rank_p(gains.sum(axis=0).astype(np.float64), families)


def test_interval_is_that_of_the_differences() -> None:
    values = numpy_generator(0, "test").normal(0.2, 1, (3, 20))
    found = compare_pairs(values, numpy_generator(0, "x"))
    assert (found["low"], found["high"]) == bootstrap_interval(values, numpy_generator(0, "x"))


def test_what_all_variants_share_changes_no_comparison(make_table: MakeTable) -> None:
    table = _table(make_table)
    shift = table["perturbation"].map({"A": 0.3, "B": -2.0, "C": 5.0, "D": 0.0}) + 0.7 * table["seed"]
    shifted = table.assign(value=table["value"] + shift)
    pd.testing.assert_frame_equal(summarize_paired(table), summarize_paired(shifted))


def test_test_family_is_every_variant_and_group_of_a_metric(make_table: MakeTable) -> None:
    draws = numpy_generator(0, "test")
    rows = [
        {"variant": v, "perturbation": f"P{i}", "effect_size": group, "metric": m, "value": draws.normal()}
        for v in ("full", "a", "b")
        for i, group in enumerate(["small"] * 9 + ["large"] * 9)
        for m in ("pds", "mse")
    ]
    summary = summarize_paired(make_table(rows))
    for _, tests in summary.groupby("metric"):
        assert len(tests) == 6
        smallest = tests["p"].argmin()
        assert tests["p_holm"].iloc[smallest] == pytest.approx(min(6 * tests["p"].iloc[smallest], 1))


def test_summary_depends_on_neither_row_order_nor_other_variants(make_table: MakeTable) -> None:
    table = _table(make_table)
    other = table[table["variant"] == "full"].assign(variant="other", value=0.1)
    whole = summarize_paired(pd.concat([table, other]).sample(frac=1, random_state=0))
    alone = summarize_paired(table)
    columns = [column for column in alone if column != "p_holm"]
    same = whole[whole["variant"] == "no_context"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same[columns], alone[columns])


def test_nothing_in_common_is_a_row_without_estimates(make_table: MakeTable) -> None:
    table = make_table([{"variant": "full", "perturbation": "A"}, {"variant": "a", "perturbation": "B"}])
    row = _row(summarize_paired(table), effect_size="all")
    assert row[["n_perturbations", "n_seeds", "wins", "ties", "losses"]].tolist() == [0] * 5
    assert row[["difference", "low", "high", "p", "p_holm"]].isna().all()


def test_one_perturbation_has_a_difference_but_no_interval(make_table: MakeTable) -> None:
    row = _row(summarize_paired(_table(make_table)), effect_size="large")
    assert row["difference"] == pytest.approx(-0.1)
    assert row[["low", "high", "p_wilcoxon", "p", "p_holm", "standardized_difference"]].isna().all()


def test_the_same_comparison_is_made_once_and_another_one_again(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def count(differences: np.ndarray, *given: Any, **named: Any) -> Any:
        made.append(differences.shape[1])
        return compare_pairs(differences, *given, **named)

    monkeypatch.setattr(adapert.statistics.paired, "compare_pairs", count)
    monkeypatch.setattr(adapert.statistics.paired, "_KEPT", {})
    both = pd.concat([_table(make_table), _table(make_table, "mse")])
    first = summarize_paired(both)
    assert len(made) == 6  # two metrics, each in two groups and in all together
    alone = summarize_paired(both[both["metric"] == "mse"])
    assert len(made) == 6
    pd.testing.assert_frame_equal(alone, first[first["metric"] == "mse"].reset_index(drop=True))
    other = both.assign(value=both["value"].where(both["perturbation"] != "A", 0.9))
    assert not summarize_paired(other)["difference"].equals(first["difference"])
    assert summarize_paired(both, seed=1)["low"].notna().sum() == first["low"].notna().sum()
    assert len(made) == 18
