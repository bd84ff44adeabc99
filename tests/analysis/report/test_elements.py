import numpy as np
import pandas as pd
import pytest

from analysis.report.elements import Column, build_cell, build_page_table


@pytest.mark.parametrize(
    ("value", "text", "order"),
    [
        (0.48482, "0.485", "0.48482"),
        (-0.5, "-0.500", "-0.5"),
        (np.float32(0.5), "0.500", "0.5"),
        (12345, "12,345", "12345"),
        (np.int64(7), "7", "7"),
        (True, "yes", "yes"),
        (np.bool_(False), "no", "no"),
        ("a", "a", "a"),
        ("", "-", ""),
        (None, "-", ""),
        (float("nan"), "-", ""),
        (pd.NA, "-", ""),
    ],
)
def test_a_cell_shows_one_thing_and_sorts_by_another(value: object, text: str, order: str) -> None:
    cell = build_cell(value, Column("c", n_decimals=3))
    assert (cell.text, cell.order) == (text, order)


def test_a_table_has_a_head_for_every_column_and_units_beside() -> None:
    frame = pd.DataFrame({"seconds": [1.0], "best_epoch": [3], "loss.lambda_non": [0.1]})
    table = build_page_table(frame, "Trials", {"seconds": Column("time", "s", 1)})
    heads = [(column.label, column.unit) for column in table.columns]
    assert heads == [("time", "s"), ("best epoch", ""), ("loss.lambda_non", "")]
    assert [cell.text for cell in table.rows[0]] == ["1.0", "3", "0.1"]
