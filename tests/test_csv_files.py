import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from adapert.csv_files import read_csv, write_csv

ROOT = Path(__file__).parents[1]

NAMES = ["=1+1", "+cmd|x", "-A1", "@SUM(A1)", "\tx", "'=x", "'quoted", "KLF1", "A+B", "", "é"]


@pytest.mark.parametrize("name", ["=1+1", "+cmd|x", "-A1", "@SUM(A1)", "\t=x"])
def test_text_that_a_spreadsheet_would_run_gets_an_apostrophe(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"perturbation": [name], name: [0.5]})
    write_csv(frame, tmp_path / "t.csv")
    written = pd.read_csv(tmp_path / "t.csv")
    assert written["perturbation"].tolist() == [f"'{name}"]
    assert written.columns.tolist() == ["perturbation", f"'{name}"]


def test_numbers_stay_numbers_also_as_text() -> None:
    frame = pd.DataFrame(
        {"delta": [-0.5, np.nan], "text": ["-1.5", "+2e3"], "n": [-1, 2], "is": [True, False]}
    )
    assert write_csv(frame) == frame.to_csv(index=False)


def test_an_index_of_names_is_escaped_and_one_of_numbers_is_not() -> None:
    frame = pd.DataFrame({"G": [-1.0]}, index=pd.Index(["=x"], name="perturbation"))
    assert write_csv(frame, has_index=True) == "perturbation,G\n'=x,-1.0\n"
    assert write_csv(pd.DataFrame({"G": [-1.0]}), has_index=True) == ",G\n0,-1.0\n"


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_what_is_read_back_is_what_was_written(tmp_path: Path, dtype: str | type[object]) -> None:
    frame = pd.DataFrame({"name": pd.Series(NAMES[:-2], dtype=dtype), "=value": range(len(NAMES) - 2)})
    write_csv(frame, tmp_path / "t.csv")
    read = read_csv(tmp_path / "t.csv")
    assert read["name"].tolist() == NAMES[:-2]
    assert read["=value"].tolist() == frame["=value"].tolist()


def test_the_frame_is_left_as_it_was() -> None:
    frame = pd.DataFrame({"name": ["=x"]})
    write_csv(frame)
    assert frame["name"].tolist() == ["=x"]


def test_every_csv_for_people_is_written_so() -> None:
    modules = [path for package in ("adapert", "analysis") for path in (ROOT / package).rglob("*.py")]
    others = {path.name for path in modules if re.search(r"\.to_csv\(", path.read_text())}
    # The simulator's network is a table for `prepare`, of names that it draws itself.
    assert others == {"csv_files.py", "simulate.py"}
