import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import row_of
from fixtures.store import MakeTable
from scipy.stats import wilcoxon

from adapert.comparison.summary import (
    CAPTION,
    summarize_combinations,
    summarize_comparison,
    summarize_differences,
    write_comparison,
)
from adapert.errors import InputError


def test_the_summary_is_exact_and_ordered(compared: pd.DataFrame) -> None:
    summary = summarize_comparison(compared)
    assert summary["effect_size"].unique().tolist() == ["all", "small", "large"]
    assert summary["variant"].unique().tolist() == ["ridge_both", "adapert"]
    assert summary["metric"].unique().tolist() == ["pearson_delta", "pds"]
    means = summary.set_index(["effect_size", "variant", "metric"])["mean"]
    assert means["all", "adapert", "pds"] == pytest.approx(0.3 + 0.1 / 4)
    assert means["small", "ridge_both", "pds"] == pytest.approx(0.5 + 0.1 / 3)
    counts = summary.set_index(["effect_size", "variant", "metric"])[["n_perturbations", "n_seeds"]]
    assert row_of(counts, "all", "adapert", "pds").tolist() == [4, 2]


def test_the_summary_has_pearson_in_both_ways(compared: pd.DataFrame) -> None:
    pooled = compared[compared["metric"] == "pearson_delta"].assign(metric="pearson_delta_pooled")
    summary = summarize_comparison(pd.concat([compared, pooled], ignore_index=True))
    assert summary["metric"].unique().tolist() == ["pearson_delta", "pds", "pearson_delta_pooled"]


def test_the_caption_says_what_plus_minus_is() -> None:
    assert CAPTION.startswith("± is half the width of the mean's 95% interval")


def test_combinations_are_summarised_by_their_unseen_genes(make_table: MakeTable, tmp_path: Path) -> None:
    unseen = {"A+B": 0, "A+C": 1, "B+C": 1, "D": 1}
    rows = [
        {"variant": variant, "perturbation": name, "n_unseen_genes": n, "metric": metric, "value": n + 0.5}
        for variant in ("mean", "adapert")
        for name, n in unseen.items()
        for metric in ("mse", "rmse_top_20_degs", "pearson_delta")
    ]
    table = make_table(rows)
    summary = summarize_combinations(table)
    assert summary["n_unseen_genes"].unique().tolist() == ["all", "0", "1"]
    assert summary["variant"].unique().tolist() == ["mean", "adapert"]
    assert summary["metric"].unique().tolist() == ["pearson_delta", "rmse_top_20_degs"]
    of_mean = summary[(summary["variant"] == "mean") & (summary["metric"] == "rmse_top_20_degs")]
    assert of_mean["mean"].tolist() == pytest.approx([3.5 / 3, 0.5, 1.5])
    assert of_mean["n_perturbations"].tolist() == [3, 1, 2]
    write_comparison(tmp_path / "out", table, summary, summary, summary, {})
    assert len(pd.read_csv(tmp_path / "out" / "combinations.csv")) == 12


def test_combinations_of_one_number_of_unseen_genes_are_one_group(make_table: MakeTable) -> None:
    summary = summarize_combinations(make_table([{"perturbation": "A+B", "metric": "pearson_delta"}]))
    assert summary["n_unseen_genes"].tolist() == ["all"]
    assert summarize_combinations(make_table([{"perturbation": "A", "metric": "pearson_delta"}])).empty


def write_more(folder: Path) -> None:
    (folder / "more").write_text("more")


def test_differences_are_of_the_model_minus_each_reference(compared: pd.DataFrame) -> None:
    paired = summarize_differences(compared)
    assert set(paired["variant"]) == {"adapert"}
    assert set(paired["reference"]) == {"ridge_both"}
    assert paired["effect_size"].unique().tolist() == ["all", "small", "large"]
    assert paired["metric"].unique().tolist() == ["pearson_delta", "pds", "mse"]
    rows = paired.set_index(["effect_size", "metric"])
    # Seeds at .2 and .4, beside one fit at .5.
    assert rows.loc[("all", "pds"), "difference"] == pytest.approx(-0.2)
    assert row_of(rows, "all", "pds")[["wins", "ties", "losses"]].tolist() == [0, 0, 4]
    assert row_of(rows, "all", "mse")[["wins", "ties", "losses"]].tolist() == [4, 0, 0]
    assert rows["low"]["all", "pds"] <= -0.2 <= rows["high"]["all", "pds"]
    assert row_of(rows, "small", "pds")[["n_perturbations", "n_seeds"]].tolist() == [3, 2]


def test_a_difference_has_the_p_of_scipys_signed_rank_test(make_table: MakeTable) -> None:
    generator = np.random.default_rng(0)
    values = {name: generator.normal(0.1 * (name == "adapert"), 0.2, 30) for name in ("adapert", "mean")}
    rows = [
        {"variant": name, "perturbation": f"G{index}", "metric": "pds", "value": value}
        for name, column in values.items()
        for index, value in enumerate(column)
    ]
    paired = summarize_differences(make_table(rows))
    row = paired[paired["effect_size"] == "all"].iloc[0]
    assert row["p_wilcoxon"] == pytest.approx(wilcoxon(values["adapert"], values["mean"]).pvalue)
    assert row["difference"] == pytest.approx((values["adapert"] - values["mean"]).mean())


def test_nothing_to_compare_gives_no_row(compared: pd.DataFrame) -> None:
    for only in ("adapert", "ridge_both"):
        paired = summarize_differences(compared[compared["variant"] == only])
        assert paired.empty
        assert {"variant", "reference", "difference", "p_holm"} <= set(paired.columns)


def test_a_ceiling_is_no_model_to_compare(compared: pd.DataFrame) -> None:
    ceiling = compared[compared["variant"] == "ridge_both"].assign(variant="split_half")
    paired = summarize_differences(pd.concat([compared, ceiling]))
    assert "split_half" not in {*paired["variant"], *paired["reference"]}


def test_a_comparison_is_written_whole_into_a_new_directory(compared: pd.DataFrame, tmp_path: Path) -> None:
    combinations = summarize_combinations(compared)
    tables = (compared, summarize_comparison(compared), summarize_differences(compared), combinations)
    write_comparison(tmp_path / "out", *tables, {"opened": {"split": "test"}}, write_more)
    assert (tmp_path / "out" / "more").read_text() == "more"
    assert len(pd.read_csv(tmp_path / "out" / "paired.csv")) == 9
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "per_perturbation.parquet"), compared)
    assert len(pd.read_csv(tmp_path / "out" / "per_perturbation.csv")) == len(compared)
    assert len(pd.read_csv(tmp_path / "out" / "summary.csv")) == 12
    assert not (tmp_path / "out" / "combinations.csv").exists()
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["opened"] == {"split": "test"}
    with pytest.raises(InputError, match="must be new"):
        write_comparison(tmp_path / "out", *tables, {})


def test_a_comparison_that_cannot_be_written_leaves_nothing(compared: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_comparison(tmp_path / "out", compared, compared, compared, compared, {"a": object()})
    assert list(tmp_path.iterdir()) == []
