from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present, row_of
from fixtures.store import MakeTable

from adapert.statistics.estimates import summarize_by
from analysis.tables import PaperTable, build_joint_tables
from analysis.tables.performance import build_performance_table

OF_CELLS = ("pearson_delta", "pds", "overlap_at_50", "overlap_at_100", "spearman_lfc", "direction_match")
OF_RESPONSES = ("pearson_delta", "pds", "rank_overlap_at_50", "rank_overlap_at_100")

Evaluations = dict[str, tuple[pd.DataFrame, Mapping[str, Any]]]


def _evaluate(
    make_table: MakeTable,
    levels: Mapping[str, float],
    metrics: tuple[str, ...],
    fingerprint: str,
    n_fits: int,
    n_perturbations: int = 12,
) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    """Draw scores around each variant's level; AdaPert has several fits."""
    generator = np.random.default_rng(n_perturbations)
    rows = [
        {"variant": variant, "perturbation": f"P{number}", "metric": metric, "seed": seed}
        | {"value": level + 0.02 * generator.standard_normal()}
        for variant, level in levels.items()
        for seed in range(n_fits if variant == "adapert" else 1)
        for number in range(n_perturbations)
        for metric in metrics
    ]
    opened = {"split": "test", "data_fingerprint": fingerprint, "n_perturbations": n_perturbations}
    return make_table(rows, study="evaluate", split="test"), {"opened": opened, "models": []}


@pytest.fixture
def evaluations(make_table: MakeTable) -> Evaluations:
    k562 = {"adapert": 0.5, "mean": 0.2, "split_half": 0.9}
    rpe1 = {"adapert": 0.3, "ridge_both": 0.4}
    return {
        "k562": _evaluate(make_table, k562, OF_CELLS, "f00", n_fits=3),
        "rpe1": _evaluate(make_table, rpe1, OF_RESPONSES, "f11", n_fits=2, n_perturbations=3),
    }


@pytest.fixture
def performance(evaluations: Evaluations) -> PaperTable:
    return build_joint_tables(evaluations)[0]


def test_each_evaluation_is_a_group_of_columns_and_each_model_a_row(performance: PaperTable) -> None:
    cells = performance.cells
    assert cells.columns.to_frame().to_numpy().tolist() == [
        ["", "Model"],
        *[[name, metric] for name in ("k562", "rpe1") for metric in ("Pearson-delta ↑", "PDS ↑")],
    ]
    assert cells[("", "Model")].tolist() == [
        "AdaPert (3/2 fits)",
        "mean change",
        "ridge on both",
        "ceiling: split halves",
    ]
    assert (cells.to_numpy() == "-").tolist() == [
        [False] * 5,
        [False, False, False, True, True],
        [False, True, True, False, False],
        [False, False, False, True, True],
    ]


def test_means_are_those_of_a_plain_loop_and_of_each_evaluations_own_table(
    performance: PaperTable, evaluations: Evaluations
) -> None:
    by_row = performance.frame.set_index(["evaluation", "variant", "metric"])["mean"]
    for name, (frame, record) in evaluations.items():
        for variant in frame["variant"].unique():
            values = frame[(frame["variant"] == variant) & (frame["metric"] == "pds")]
            of_perturbations = []
            for perturbation in values["perturbation"].unique():
                of_fits = [row.value for row in values.itertuples() if row.perturbation == perturbation]
                of_perturbations.append(sum(of_fits) / len(of_fits))
            expected = sum(of_perturbations) / len(of_perturbations)
            assert by_row[name, variant, "pds"] == pytest.approx(expected, abs=1e-12)
        own = build_performance_table(frame, record).frame
        part = performance.frame.query("evaluation == @name")[own.columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(part, own)


def test_plus_minus_is_half_the_interval_where_there_is_one(
    performance: PaperTable, evaluations: Evaluations
) -> None:
    frame, _ = evaluations["k562"]
    row = row_of(summarize_by(frame, ["variant"]).set_index(["variant", "metric"]), "adapert", "pds")
    shown = f"{row['mean']:.3f} ± {(row['high'] - row['low']) / 2:.3f}"
    assert performance.cells[("k562", "PDS ↑")].tolist()[0] == shown
    # Three perturbations have none.
    assert "±" not in performance.cells[("rpe1", "PDS ↑")].tolist()[0]
    assert "± is half the width of the mean's 95% interval" in performance.caption


def test_each_evaluation_has_a_best_model_of_its_own_and_no_ceiling(performance: PaperTable) -> None:
    assert present(performance.is_best).tolist() == [
        [False, True, True, False, False],
        [False] * 5,
        [False, False, False, True, True],
        [False] * 5,
    ]


def test_data_without_cells_have_their_stand_ins_and_say_so(evaluations: Evaluations) -> None:
    table = build_joint_tables(evaluations)[1]
    assert ("k562", "DES@50 ↑") in table.cells
    assert ("rpe1", "Rank overlap@50 ↑") in table.cells
    assert " rpe1: These data have no cells to test" in table.caption
    alone = build_joint_tables({"k562": evaluations["k562"]})[1]
    assert "no cells" not in alone.caption


def test_the_files_say_which_data_each_number_is_of(performance: PaperTable) -> None:
    assert performance.title == "Performance, k562, rpe1"
    assert (
        "k562: test split of data f00, 12 perturbations; rpe1: test split of data f11" in performance.caption
    )
    data = performance.frame.groupby("evaluation")["data_fingerprint"].unique()
    assert {name: of_data.tolist() for name, of_data in data.items()} == {"k562": ["f00"], "rpe1": ["f11"]}
    assert (performance.frame["trained_on"] == performance.frame["data_fingerprint"]).all()
    assert (
        "| Model | k562: Pearson-delta ↑ | k562: PDS ↑ | rpe1: Pearson-delta ↑ |" in performance.to_markdown()
    )
    latex = performance.to_latex()
    assert r" & \multicolumn{2}{c}{k562} & \multicolumn{2}{c}{rpe1} \\" in latex
    assert r"Model & Pearson-delta $\uparrow$ & PDS $\uparrow$ & Pearson-delta $\uparrow$" in latex
