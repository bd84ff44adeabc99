from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.peers import LEVELS
from scipy import stats

from adapert.results.find import open_study
from adapert.statistics.significance import holm
from analysis.leaderboard.load import load_leaderboard
from analysis.leaderboard.summary import load_summary, summarize_leaderboard


@pytest.fixture(scope="module")
def frame(peers_workspace: Path) -> pd.DataFrame:
    return load_leaderboard(open_study(peers_workspace, "peers"))


@pytest.fixture(scope="module")
def summary(frame: pd.DataFrame) -> pd.DataFrame:
    return summarize_leaderboard(frame)


def everywhere(summary: pd.DataFrame, metric: str = "pearson_delta") -> pd.DataFrame:
    rows = summary[(summary["effect_size"] == "all") & (summary["metric"] == metric)]
    return rows.set_index("variant")


def test_a_mean_is_the_plain_mean_over_seeds_splits_and_perturbations(
    summary: pd.DataFrame, frame: pd.DataFrame
) -> None:
    rows = everywhere(summary)
    for variant, level in LEVELS.items():
        values = frame[(frame["variant"] == variant) & (frame["metric"] == "pearson_delta")]["value"]
        assert rows.loc[variant, "mean"] == pytest.approx(values.mean())
        assert rows.loc[variant, "mean"] == pytest.approx(level, abs=0.02)


def test_ranks_are_of_tuned_systems_and_those_that_need_no_search(summary: pd.DataFrame) -> None:
    rows = everywhere(summary)
    ranks = rows["rank"].dropna().astype(int).to_dict()
    assert ranks.keys() == {"adapert:tuned", "kernel_ridge:tuned", "kernel_loo", "ridge_text", "mean"}
    assert (ranks["kernel_ridge:tuned"], ranks["ridge_text"], ranks["mean"]) == (1, 4, 5)
    assert {ranks["adapert:tuned"], ranks["kernel_loo"]} == {2, 3}
    assert (rows.loc["mean", "rank_low"], rows.loc["mean", "rank_high"]) == (5, 5)
    assert everywhere(summary, "pds")["rank"].isna().all()


def test_rows_come_by_what_is_read_then_by_rank_with_each_default_below(summary: pd.DataFrame) -> None:
    order = everywhere(summary).index.tolist()
    assert order[:2] == ["kernel_ridge:tuned", "kernel_ridge:default"]
    assert order[-2:] == ["ridge_text", "mean"]
    assert order.index("adapert:default") == order.index("adapert:tuned") + 1


def test_systems_that_read_another_screen_come_first_with_each_default_below(frame: pd.DataFrame) -> None:
    is_adapert, is_default = frame["system"] == "adapert", frame["variant"] == "kernel_ridge:default"
    order = everywhere(
        summarize_leaderboard(
            frame.assign(group=frame["group"].mask(is_adapert | is_default, "further embeddings"))
        )
    )
    assert order.index.tolist()[:2] == ["adapert:tuned", "adapert:default"]
    assert order.index.tolist()[2:4] == ["kernel_ridge:tuned", "kernel_ridge:default"]


def test_differences_are_paired_and_corrected_over_systems_and_groups(
    summary: pd.DataFrame, frame: pd.DataFrame
) -> None:
    of_metric = frame[frame["metric"] == "pearson_delta"]
    table = of_metric.pivot_table(index="perturbation", columns="variant", values="value")
    difference = table["kernel_loo"] - table["kernel_ridge:tuned"]
    found = everywhere(summary).loc["kernel_ridge:tuned"]
    assert found["kernel_loo_difference"] == pytest.approx(-difference.mean())
    assert found["kernel_loo_wins"] == (difference < 0).sum() == 10
    assert found["kernel_loo_p"] >= stats.wilcoxon(difference).pvalue
    tested = summary[(summary["metric"] == "pearson_delta") & summary["kernel_loo_p"].notna()]
    np.testing.assert_allclose(tested["kernel_loo_p_holm"], holm(tested["kernel_loo_p"].to_numpy(float)))
    assert len(tested) == 4 * 3  # systems but kernel_loo, in two groups and all
    assert found["adapert_difference"] == pytest.approx(0.1, abs=0.02)
    assert everywhere(summary)["adapert_difference"].isna()["adapert:tuned"]


def test_groups_of_effect_size_have_ranks_of_their_own(summary: pd.DataFrame) -> None:
    ranked = summary[summary["rank"].notna()]
    assert ranked.groupby("effect_size", observed=True)["variant"].nunique().to_dict() == {
        "all": 5, "large": 5, "small": 5,
    }  # fmt: skip


def test_a_study_is_summarised_once(peers_workspace: Path) -> None:
    study = open_study(peers_workspace, "peers")
    assert load_summary(study) is load_summary(study)
    pd.testing.assert_frame_equal(load_summary(study), load_summary(open_study(peers_workspace, "peers")))


def test_a_comparison_without_adapert_or_kernel_loo_has_no_such_columns(frame: pd.DataFrame) -> None:
    some = frame[frame["system"].isin(["kernel_ridge", "mean"])]
    summary = summarize_leaderboard(some)
    assert not [name for name in summary if str(name).endswith("_difference")]
