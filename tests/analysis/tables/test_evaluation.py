import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present, row_of
from fixtures.store import MakeTable

from adapert.comparison.summary import read_evaluation
from adapert.errors import InputError
from analysis.tables import build_evaluation_tables
from analysis.tables.effect_sizes import GAIN, build_effect_size_table, summarize_improvement, write_gain
from analysis.tables.performance import build_de_table, build_performance_table, summarize_performance

GROUPS = {"small": ["A", "B", "C", "D"], "large": ["W", "X", "Y", "Z"]}
LEVELS = {"mean": 0.2, "ridge_both": 0.4, "adapert": 0.5, "split_half": 0.9}
CELL_METRICS = ("overlap_at_50", "overlap_at_100", "overlap_at_N", "spearman_lfc", "direction_match")
DELTA_METRICS = ("pearson_delta", "pds", "rank_overlap_at_50", "rank_overlap_at_100", "rank_overlap_at_N")
RECORD = {
    "opened": {"split": "test", "data_fingerprint": "f00", "n_perturbations": 8},
    "models": [
        {"variant": "adapert", "seed": 0, "spearman_n_degs": 0.5},
        {"variant": "adapert", "seed": 1, "spearman_n_degs": 0.7},
        {"variant": "mean", "seed": 0, "spearman_n_degs": None},
    ],
}


def _frame(make_table: Callable[..., pd.DataFrame], metrics: tuple[str, ...]) -> pd.DataFrame:
    """Values rise from perturbation to perturbation; AdaPert has two fits."""
    rows = [
        {
            "variant": variant,
            "effect_size": group,
            "perturbation": name,
            "metric": metric,
            "seed": seed,
            "value": level + 0.01 * number + 0.02 * seed,
        }
        for variant, level in LEVELS.items()
        for seed in ((0, 1) if variant == "adapert" else (0,))
        for group, names in GROUPS.items()
        for number, name in enumerate(names)
        for metric in metrics
    ]
    return make_table(rows, study="evaluate", split="test")


@pytest.fixture
def of_cells(make_table: MakeTable) -> pd.DataFrame:
    return _frame(make_table, DELTA_METRICS + CELL_METRICS)


@pytest.fixture
def of_responses(make_table: MakeTable) -> pd.DataFrame:
    return _frame(make_table, DELTA_METRICS)


def test_mean_and_sd_are_over_perturbations_averaged_over_fits(of_cells: pd.DataFrame) -> None:
    summary = summarize_performance(of_cells, ["pearson_delta", "pds"]).set_index(["variant", "metric"])
    values = np.array([0.51 + 0.01 * number for number in range(4)] * 2)
    row = row_of(summary, "adapert", "pds")
    assert row["mean"] == pytest.approx(values.mean())
    assert row["sd"] == pytest.approx(values.std(ddof=1))
    assert (row["n_perturbations"], row["n_seeds"]) == (8, 2)


def test_table_1_says_what_plus_minus_is_of(of_cells: pd.DataFrame) -> None:
    table = build_performance_table(of_cells, RECORD)
    assert "± is the SD over perturbations" in table.caption
    assert table.title == "Performance, test split of data f00, 8 perturbations"
    assert list(table.cells.columns) == ["Model", "Pearson-delta ↑", "PDS ↑"]
    summary = summarize_performance(of_cells, ["pds"]).set_index("variant").loc["ridge_both"]
    assert table.cells.loc[1, "PDS ↑"] == f"{summary['mean']:.3f} ± {summary['sd']:.3f}"


def test_table_1_has_both_ways_of_pearson_where_batches_differ(of_cells: pd.DataFrame) -> None:
    matched = of_cells[of_cells["metric"] == "pearson_delta"].assign(metric="pearson_delta_pooled")
    of_one_batch = pd.concat([of_cells, matched], ignore_index=True)
    assert len(build_performance_table(of_one_batch, RECORD).cells.columns) == 3
    pooled = matched.assign(value=matched["value"] - 0.1)
    table = build_performance_table(pd.concat([of_cells, pooled], ignore_index=True), RECORD)
    assert list(table.cells.columns)[-1] == "Pearson-delta, pooled controls ↑"
    assert "against the pooled controls of all batches it is cell-eval's" in table.caption
    pooled_mean = table.frame.set_index(["variant", "metric"]).loc[
        ("adapert", "pearson_delta_pooled"), "mean"
    ]
    assert pooled_mean == pytest.approx(LEVELS["adapert"] + 0.015 + 0.01 - 0.1)


def test_the_best_model_is_bold_and_no_ceiling(of_cells: pd.DataFrame) -> None:
    table = build_performance_table(of_cells, RECORD)
    names = table.cells["Model"].tolist()
    assert names == ["mean change", "ridge on both", "AdaPert (2 fits)", "ceiling: split halves"]
    assert present(table.is_best).tolist() == [[False] * 3] * 2 + [[False, True, True], [False] * 3]


def test_table_2_has_one_number_for_the_counts_of_degs(of_cells: pd.DataFrame) -> None:
    table = build_de_table(of_cells, RECORD)
    assert table.stem == "table_2_differential_expression"
    counts = dict(zip(table.cells["Model"], table.cells["Spearman of DEG counts ↑"], strict=True))
    assert counts["AdaPert (2 fits)"] == "0.600"
    assert counts["mean change"] == "-"


def test_the_counts_of_a_ceiling_are_compared_with_those_of_its_own_cells(of_cells: pd.DataFrame) -> None:
    n_degs = {name: number for names in GROUPS.values() for number, name in enumerate(names, start=1)}
    of_all_cells = of_cells["perturbation"].map(n_degs)
    counts = of_cells.assign(metric="n_predicted_degs", value=of_all_cells.astype(float), n_degs=of_all_cells)
    ceiling = {"variant": "split_half", "seed": 0, "spearman_n_degs": 0.25}
    record = {**RECORD, "models": [*RECORD["models"], ceiling]}
    frame = pd.concat([of_cells, counts.drop_duplicates(["variant", "seed", "perturbation"])])
    table = build_de_table(frame, record)
    shown = dict(zip(table.cells["Model"], table.cells["Spearman of DEG counts ↑"], strict=True))
    assert shown["AdaPert (2 fits)"] == "1.000"
    assert shown["ceiling: split halves"] == "0.250"


def test_rank_overlap_stands_in_where_there_are_no_cells(of_responses: pd.DataFrame) -> None:
    table = build_de_table(of_responses, {**RECORD, "models": []})
    assert list(table.cells.columns)[1:3] == ["Rank overlap@50 ↑", "Rank overlap@100 ↑"]
    assert set(table.cells["Direction match ↑"]) == {"-"}
    assert "stands in" in table.caption
    three = present(build_effect_size_table(of_responses, RECORD))
    assert list(three.cells.columns) == ["Effect size", "Model", "Pearson-delta", "Rank overlap@N", "PDS"]
    assert "Rank overlap@N, by predicted deltas, stands in for DES@N." in three.caption


def test_improvement_is_the_paired_difference_in_percent_of_the_baseline(of_cells: pd.DataFrame) -> None:
    summary = summarize_improvement(of_cells, "adapert", "ridge_both").set_index(["effect_size", "metric"])
    row = row_of(summary, "small", "pds")
    assert row["difference"] == pytest.approx(0.11)
    assert row["improvement_percent"] == pytest.approx(100 * 0.11 / 0.415)
    assert row["improvement_percent_low"] <= row["improvement_percent"] <= row["improvement_percent_high"]
    assert summary.index.get_level_values(0).unique().tolist() == ["small", "large", "all"]


def test_table_3_is_against_the_best_other_model(of_cells: pd.DataFrame) -> None:
    table = present(build_effect_size_table(of_cells, RECORD))
    assert table.cells["Model"].tolist() == ["ridge on both", "AdaPert", "improvement"] * 3
    assert table.cells["Effect size"].tolist()[::3] == ["small (n=4)", "large (n=4)", "all (n=8)"]
    assert table.cells["PDS"][2].startswith("+26.5 % [")
    assert "best mean Pearson-delta among the rest" in table.caption


def test_an_improvement_on_few_perturbations_has_no_interval(of_cells: pd.DataFrame) -> None:
    table = present(build_effect_size_table(of_cells[of_cells["perturbation"] != "D"], RECORD))
    assert table.cells["Effect size"].tolist()[::3] == ["small (n=3)", "large (n=4)", "all (n=7)"]
    assert ["[" in cell for cell in table.cells["PDS"][2::3]] == [False, True, True]
    assert "no interval below 4 perturbations" in table.caption


def test_one_group_alone_is_shown_once(of_cells: pd.DataFrame) -> None:
    small = of_cells[of_cells["effect_size"] == "small"]
    table = present(build_effect_size_table(small, RECORD, baseline="mean"))
    assert table.cells["Effect size"].tolist() == ["small (n=4)", "", ""]
    assert "best mean" not in table.caption


@pytest.mark.parametrize(
    ("interval", "n", "written"),
    [
        ((5.0, 15.0), 4, "+10.0 % [+5.0, +15.0]"),
        ((5.0, 15.0), 3, "+10.0 %"),
        ((-500.0, 520.0), 3, "-"),
        ((np.nan, np.nan), 1, "+10.0 %"),
    ],
)
def test_a_gain_is_written_with_an_interval_where_perturbations_are_enough(
    interval: tuple[float, float], n: int, written: str
) -> None:
    row = dict(zip(GAIN, [10.0, *interval], strict=True)) | {"n_perturbations": n}
    assert write_gain(row) == written


def test_one_model_alone_has_no_table_3(of_cells: pd.DataFrame) -> None:
    alone = of_cells[of_cells["variant"].isin(["adapert", "split_half"])]
    assert [table.stem[:7] for table in build_evaluation_tables(alone, RECORD)] == ["table_1", "table_2"]
    assert not present(build_performance_table(alone, RECORD).is_best).any()


@pytest.mark.parametrize(
    ("baseline", "message"), [("rigde_both", "Did you mean 'ridge_both'"), ("adapert", "both are 'adapert'")]
)
def test_wrong_variants_are_refused(of_cells: pd.DataFrame, baseline: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_evaluation_tables(of_cells, RECORD, baseline=baseline)


def test_an_evaluation_is_read_back(of_cells: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Name a folder that 'adapert evaluate' wrote"):
        read_evaluation(tmp_path)
    of_cells.to_parquet(tmp_path / "per_perturbation.parquet")
    (tmp_path / "evaluation.json").write_text(json.dumps(RECORD))
    frame, record = read_evaluation(tmp_path)
    pd.testing.assert_frame_equal(frame, of_cells)
    assert record == RECORD


def test_an_evaluation_without_a_column_is_refused(of_cells: pd.DataFrame, tmp_path: Path) -> None:
    of_cells.drop(columns="metric").to_parquet(tmp_path / "per_perturbation.parquet")
    (tmp_path / "evaluation.json").write_text(json.dumps(RECORD))
    with pytest.raises(InputError, match=r"parquet' has no 'metric'\."):
        read_evaluation(tmp_path)


def test_an_evaluation_with_a_metric_that_the_catalogue_lacks_is_refused(
    of_cells: pd.DataFrame, tmp_path: Path
) -> None:
    of_cells.replace("pds", "pdss").to_parquet(tmp_path / "per_perturbation.parquet")
    (tmp_path / "evaluation.json").write_text(json.dumps(RECORD))
    with pytest.raises(InputError, match=r"parquet' has 'pdss'\. Did you mean 'pds'\?"):
        read_evaluation(tmp_path)
