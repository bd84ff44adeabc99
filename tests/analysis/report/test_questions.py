import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present
from fixtures.store import Store

from adapert.results.tracked import TrackedResults
from analysis.claims import build_claims_table
from analysis.report import questions
from analysis.report.elements import PageTable
from analysis.report.questions import build_claims, build_importance, read_claims
from analysis.sources import summarize_study_claims


def test_the_claims_are_those_of_the_figures(store: Store) -> None:
    (table,) = build_claims(read_claims(store.studies(["ablate_parts", "search_wide"]), "validation"))
    cells = build_claims_table(present(summarize_study_claims([store.study("ablate_parts")]))).cells
    assert isinstance(table, PageTable)
    assert [column.label for column in table.columns] == list(cells.columns)
    assert [row[0].text for row in table.rows] == list(cells.iloc[:, 0])


def test_a_search_judges_no_claim_and_has_no_importance(store: Store) -> None:
    assert build_claims(read_claims([store.study("search_wide")], "validation")) == []
    assert build_importance(store.study("search_wide")) == []


def test_importance_is_a_row_for_each_part_of_the_variance(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    tau, dropout = generator.random((2, 64))
    trials = pd.DataFrame(
        {
            "study": "importance",
            "status": "finished",
            "seed": 0,
            "model.tau": tau,
            "model.dropout": dropout,
            "best_pearson_delta": tau + 0.01 * generator.standard_normal(64),
        }
    )
    monkeypatch.setattr(questions, "load_importance", lambda study: trials)
    reading = store.study("search_wide")
    monkeypatch.setattr(TrackedResults, "design", "importance")
    (table,) = build_importance(reading)
    assert isinstance(table, PageTable)
    assert table.rows[0][0].text == "model.tau"
    assert float(table.rows[0][3].text) > 0.9
    assert table.rows[-1][2].text == "rest"
