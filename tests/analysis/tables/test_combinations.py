import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present, row_of
from fixtures.store import MakeTable

from analysis.tables.combinations import build_combination_table, summarize_combination_gains

RECORD = {"opened": {"split": "test", "data_fingerprint": "f00", "n_perturbations": 6}}
ERRORS = {"additive": [1.0, 2, 3, 2, 7], "adapert": [0.5, 2, 2, 1.5, 9], "split_half": [0.1] * 5}
UNSEEN = {"A+B": 0, "A+C": 0, "B+C": 0, "A+D": 1, "E": 1}


def frame_of(make_table: MakeTable, metrics: tuple[str, ...]) -> pd.DataFrame:
    rows = [
        {"variant": variant, "perturbation": name, "n_unseen_genes": n, "metric": metric, "value": error}
        for variant, errors in ERRORS.items()
        for (name, n), error in zip(UNSEEN.items(), errors, strict=True)
        for metric in metrics
    ]
    return make_table(rows, split="test")


@pytest.fixture
def frame(make_table: MakeTable) -> pd.DataFrame:
    return frame_of(make_table, ("pearson_delta", "rmse_top_10_degs", "rmse_top_20_degs", "l2_top_1000"))


def test_a_gain_is_in_percent_of_the_additive_models_error_on_combinations(frame: pd.DataFrame) -> None:
    summary = summarize_combination_gains(frame)
    gains = summary.dropna(subset="improvement_percent").set_index(["n_unseen_genes", "variant"])
    assert set(gains["metric"]) == {"l2_top_1000"}
    # Errors of combinations fall from 8 to 6 in all, from 6 to 4.5 where both genes were seen.
    expected = {("all", "adapert"): 25.0, ("0", "adapert"): 25.0, ("1", "adapert"): 25.0}
    assert gains["improvement_percent"].to_dict() == pytest.approx(expected)
    own = row_of(gains, "all", "adapert")
    assert own["improvement_percent_low"] < own["improvement_percent"] < own["improvement_percent_high"]


def test_the_table_has_a_row_a_model_and_number_of_unseen_genes(frame: pd.DataFrame) -> None:
    table = present(build_combination_table(frame, RECORD))
    cells = table.cells
    assert cells["Unseen genes"].tolist() == ["all (n=4)", "", "", "0 (n=3)", "", "", "1 (n=1)", "", ""]
    assert cells["Model"].tolist()[:3] == ["sum of genes", "AdaPert", "ceiling: split halves"]
    assert [*cells][2:] == ["Pearson-delta ↑", "RMSE@10 ↓", "RMSE@20 ↓", "L2@1000 ↓", "over sum of genes"]
    gains = cells["over sum of genes"].astype(str).tolist()
    assert (gains[0], gains[2]) == ("-", "-")
    assert gains[1].startswith("+25.0 % [")
    assert cells.at[7, "L2@1000 ↓"] == "1.500"  # no interval of one combination
    assert gains[7] == "+25.0 %"


def test_without_control_expression_the_gain_is_in_the_error_of_degs(make_table: MakeTable) -> None:
    table = present(build_combination_table(frame_of(make_table, ("rmse_top_20_degs",)), RECORD))
    assert [*table.cells] == ["Unseen genes", "Model", "RMSE@20 ↓", "over sum of genes"]
    assert "mean gain in RMSE@20 on the same combinations" in table.caption


def test_no_gain_without_the_additive_model_and_no_table_without_combinations(frame: pd.DataFrame) -> None:
    table = present(build_combination_table(frame[frame["variant"] != "additive"], RECORD))
    assert "over sum of genes" not in table.cells
    assert np.isnan(table.frame["improvement_percent"]).all()
    alone = present(build_combination_table(frame[frame["variant"] == "additive"], RECORD))
    assert "over sum of genes" not in alone.cells
    assert build_combination_table(frame[frame["perturbation"] == "E"], RECORD) is None
