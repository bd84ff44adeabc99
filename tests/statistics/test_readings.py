import pandas as pd
import pytest
from fixtures.store import MakeTable

from adapert.statistics.readings import (
    LETTER,
    MEAN_AND_SUM,
    NEGLIGIBLE,
    find_empty,
    find_empty_in,
    split_readings,
)


@pytest.fixture
def table(make_table: MakeTable) -> pd.DataFrame:
    """One trial without the loss, and one of a weight in each reading."""
    trials = [("none", 0.0, "sum"), ("summed", 0.1, "sum"), ("meant", 0.1, "mean")]
    return make_table(
        {"run": run, "lambda_non": weight, "non_deg_reduction": reduction}
        for run, weight, reduction in trials
    )


def runs_of(table: pd.DataFrame) -> dict[str, list[str]]:
    return {reading: sorted(rows["run"]) for reading, rows in split_readings(table).items()}


def test_a_trial_without_the_loss_stands_for_both_readings(table: pd.DataFrame) -> None:
    assert runs_of(table) == {MEAN_AND_SUM: ["none", "summed"], LETTER: ["meant", "none"]}
    assert list(split_readings(table.iloc[::-1])) == [MEAN_AND_SUM, LETTER]


def test_a_reading_with_a_trial_of_its_own_without_the_loss_takes_no_other(table: pd.DataFrame) -> None:
    own = table[table["run"] == "none"].assign(run="own", non_deg_reduction="mean")
    assert runs_of(pd.concat([table, own])) == {MEAN_AND_SUM: ["none", "summed"], LETTER: ["meant", "own"]}


def test_a_reading_that_no_weight_was_tried_in_is_left_out(table: pd.DataFrame) -> None:
    assert runs_of(table[table["run"] != "meant"]) == {MEAN_AND_SUM: ["none", "summed"]}
    assert runs_of(table[table["run"] != "summed"]) == {LETTER: ["meant", "none"]}
    assert runs_of(table[table["run"] == "none"]) == {MEAN_AND_SUM: ["none"]}


def test_trials_of_models_without_the_loss_have_no_reading(table: pd.DataFrame) -> None:
    others = table.assign(lambda_non=float("nan"), non_deg_reduction="")
    assert split_readings(others) == {}


def test_without_a_loss_to_speak_of_the_variants_without_it_are_empty(make_table: MakeTable) -> None:
    variants = ("full", "no_context", "no_non_deg", "no_context_no_non_deg")
    assert find_empty(NEGLIGIBLE, variants).variants == variants[2:]
    assert "lambda_non of 3e-05 is near 0" in find_empty(NEGLIGIBLE, variants).sentence
    for weight, others in ((2 * NEGLIGIBLE, variants), (float("nan"), variants), (0.0, variants[:2])):
        assert find_empty(weight, others) == ((), "")
    frame = make_table([{"variant": name} for name in variants])
    assert find_empty_in(frame, "full") == ((), "")  # its weights are not known
    assert find_empty_in(frame.assign(lambda_non=0.0), "full").variants == variants[2:]
    assert find_empty_in(frame.assign(lambda_non=0.0), "other") == ((), "")


def test_a_negligible_weight_leaves_the_amplitude_as_docs_say() -> None:
    """Genes that are no DEGs keep 1 / (1 + lambda_non N / 2)."""
    assert 1 / (1 + NEGLIGIBLE * 3300 / 2) > 0.95 > 1 / (1 + NEGLIGIBLE * 3600 / 2)
