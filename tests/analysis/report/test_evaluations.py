import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from fixtures.accesses import build_access
from fixtures.narrowed import of_kind
from fixtures.predictions import build_predictions, write_predictions
from fixtures.store import MakeTable

from adapert.comparison.summary import summarize_comparison, summarize_differences
from adapert.statistics.questions import MODELS
from analysis.report.effects import build_paired_table
from analysis.report.elements import Drawings, Heading, PageTable, Paragraph
from analysis.report.evaluations import build_accesses, build_evaluations

ACCESS = build_access(
    config_digest="123456789012", git_commit="0123456789abcdef", data_fingerprint="0012", folder="elsewhere"
)


def write_evaluation(
    folder: Path, make_table: Callable[..., pd.DataFrame], fingerprint: str = "0012", **of_models: str
) -> None:
    folder.mkdir(parents=True)
    opened = {"split": "test", "n_perturbations": 2, "at": "now", "data_fingerprint": fingerprint} | of_models
    (folder / "evaluation.json").write_text(json.dumps({"opened": opened, "git_commit": "abc"}))
    rows = [{"perturbation": name, "value": value} for name, value in (("A", 0.2), ("B", 0.6))]
    summarize_comparison(make_table(rows)).to_csv(folder / "summary.csv", index=False)


def test_an_evaluation_shows_each_models_mean(tmp_path: Path, make_table: MakeTable) -> None:
    write_evaluation(tmp_path / "evaluations" / "test_001", make_table)
    heading, told, table, left_out = build_evaluations(tmp_path, [], {"0012"})
    assert heading == Heading("test_001")
    assert of_kind(Paragraph, told).text.startswith("The test split of data 0012, 2 perturbations, scored")
    assert isinstance(table, PageTable)
    cells = dict(zip((column.label for column in table.columns), table.rows[0], strict=True))
    assert (cells["model"].text, cells["PDS"].text, cells["fits"].text) == ("full", "0.400", "1")
    assert cells["± PDS"].text in ("", "-")  # of two perturbations there is none
    assert "Left out, Figure 1" in of_kind(Paragraph, left_out).text


def test_an_evaluation_shows_figure_1_of_its_predictions(tmp_path: Path, make_table: MakeTable) -> None:
    folder = tmp_path / "evaluations" / "test_001"
    write_evaluation(folder, make_table)
    write_predictions(build_predictions(), folder)
    (drawing,) = of_kind(Drawings, build_evaluations(tmp_path, [], {"0012"})[-1]).drawings
    assert drawing.caption == "Figure 1: prediction, evaluation test_001"
    assert "data:image/png;base64" in drawing.svg
    assert "collapse ratio" in drawing.svg.lower()


def test_evaluations_of_other_data_and_damaged_ones_are_only_counted(
    tmp_path: Path, make_table: MakeTable
) -> None:
    write_evaluation(tmp_path / "evaluations" / "test_001", make_table, "ffff")
    (tmp_path / "evaluations" / "test_002").mkdir()
    (tmp_path / "evaluations" / "test_002" / "evaluation.json").write_text("{")
    (told,) = build_evaluations(tmp_path, [], {"0012"})
    assert told == Paragraph("2 more in this workspace are of other data, unfinished or damaged.")


def test_an_evaluation_on_other_data_is_shown_with_the_studies_of_its_models(
    tmp_path: Path, make_table: MakeTable
) -> None:
    write_evaluation(tmp_path / "evaluations" / "test_001", make_table, "ffff", trained_on="0012")
    for fingerprint in ("0012", "ffff"):
        told = of_kind(Paragraph, build_evaluations(tmp_path, [], {fingerprint})[1]).text
        assert "of data ffff, 2 perturbations, by models trained on data 0012, scored now" in told


def test_an_evaluation_outside_the_workspace_is_found_by_its_access(
    tmp_path: Path, make_table: MakeTable
) -> None:
    write_evaluation(tmp_path / "elsewhere", make_table)
    assert Heading("elsewhere") in build_evaluations(tmp_path, [ACCESS], {"0012"})


def test_paired_differences_are_laid_out_where_there_are_some(tmp_path: Path, make_table: MakeTable) -> None:
    folder = tmp_path / "evaluations" / "test_001"
    write_evaluation(folder, make_table)
    paired = {"variant": ["adapert"], "reference": ["mean"], "effect_size": ["all"], "metric": ["pds"]}
    pd.DataFrame(paired | {"difference": [0.1]}).to_csv(folder / "paired.csv", index=False)
    table = build_evaluations(tmp_path, [], {"0012"})[-2]
    assert isinstance(table, PageTable)
    assert [cell.text for cell in table.rows[0]] == ["all", "PDS", "adapert", "mean", "0.1000"]


def test_paired_differences_show_families_and_both_intervals(make_table: MakeTable) -> None:
    rows = [
        {
            "variant": variant,
            "perturbation": f"G{number}",
            "family": f"F{number // 3}",
            "value": value * number,
        }
        for variant, value in (("adapert", 0.1), ("mean", 0.0))
        for number in range(12)
    ]
    paired = summarize_differences(make_table(rows, metric="pds"))
    table = build_paired_table(paired, "", "", MODELS)
    row = dict(zip((column.label for column in table.columns), table.rows[0], strict=True))
    assert row["families"].text == "4"
    assert "With fewer than 6 families, intervals may be too narrow" in table.note
    assert row["ICC"].text == f"{paired['icc'][0]:.2f}"
    assert row["design effect"].text == f"{paired['design_effect'][0]:.2f}" > "2"
    for name in ("low", "high"):
        assert row[name].text == f"{paired[name][0]:.4f}" != row[f"{name}, unrelated"].text


def test_every_access_is_listed_and_none_is_said(tmp_path: Path) -> None:
    (table,) = build_accesses([ACCESS, ACCESS])
    assert isinstance(table, PageTable)
    assert len(table.rows) == 2
    assert table.rows[0][2].text == "adapert, mean"
    assert "was not opened" in of_kind(Paragraph, build_accesses([])[0]).text
