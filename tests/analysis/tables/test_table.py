from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapert.errors import InputError
from analysis.tables import PaperTable, write_table
from analysis.tables.table import decimal, escape_markdown, percentage, whole


@pytest.fixture
def table() -> PaperTable:
    return PaperTable(
        stem="table_1",
        title="Models_1",
        caption="± is the SD, in 100 %.",
        frame=pd.DataFrame({"variant": ["a|b", "c"], "mean": [0.1, 0.25]}),
        cells=pd.DataFrame({"Model": ["a|b", "c_d"], "PDS ↑": ["0.100 ± 0.010", "0.250"]}),
        is_best=np.array([[False, False], [False, True]]),
    )


def test_markdown_has_title_rows_and_caption(table: PaperTable) -> None:
    assert table.to_markdown().splitlines() == [
        "**Models_1**",
        "",
        "| Model | PDS ↑ |",
        "| :-- | --: |",
        r"| a\|b | 0.100 ± 0.010 |",
        "| c_d | **0.250** |",
        "",
        "± is the SD, in 100 %.",
    ]


def test_latex_is_escaped_and_best_is_bold(table: PaperTable) -> None:
    latex = table.to_latex()
    assert r"\caption{Models\_1. $\pm$ is the SD, in 100 \%.}" in latex
    assert r"Model & PDS $\uparrow$ \\" in latex
    assert r"a|b & 0.100 $\pm$ 0.010 \\" in latex
    assert r"c\_d & \textbf{0.250} \\" in latex
    assert latex.isascii()


def test_files_are_csv_markdown_and_latex(table: PaperTable, tmp_path: Path) -> None:
    paths = write_table(table, tmp_path / "tables")
    assert [path.name for path in paths] == ["table_1.csv", "table_1.md", "table_1.tex"]
    pd.testing.assert_frame_equal(pd.read_csv(paths[0]), table.frame)
    assert write_table(table, tmp_path, "other")[0].name == "other.csv"


def test_a_place_that_cannot_be_written_is_refused(table: PaperTable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be writable"):
        write_table(table, tmp_path / "file")


def test_numbers_are_written_as_papers_do() -> None:
    assert decimal(0.6194, 0.262) == "0.619 ± 0.262"
    assert (decimal(-0.02), decimal(np.nan, 1.0), decimal(1.0, np.nan)) == ("-0.020", "-", "1.000")
    assert (whole(111770.0), whole(np.nan)) == ("111,770", "-")


def test_names_neither_break_a_cell_nor_format_it() -> None:
    assert escape_markdown("a|b *c* `d` [e](f) <g>\nh\\i") == r"a\|b \*c\* \`d\` \[e](f) \<g> h\\i"


def test_a_gain_of_nothing_has_no_sign_of_its_own() -> None:
    assert percentage(-1e-9, -1e-9, 1e-9) == "+0.0 % [+0.0, +0.0]"
    assert percentage(-12.34) == "-12.3 %"
    assert percentage(5.0, -150.0, 60.0) == percentage(float("nan")) == "-"
