"""An error that is added to the catalogue is the right way round wherever it is shown."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fixtures.narrowed import present, row_of
from fixtures.store import MakeTable

from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.evaluation.catalogue import METRICS, Metric
from adapert.evaluation.evaluate import evaluate
from adapert.seeding import numpy_generator
from adapert.selection.rank import rank_candidates
from adapert.statistics.estimates import summarize_by
from adapert.statistics.paired import summarize_paired
from adapert.statistics.questions import VARIANTS
from analysis.claims import summarize_claims
from analysis.figures import ablation, sensitivity
from analysis.report.effects import build_paired_table
from analysis.tables import effect_sizes, performance

ADDED = Metric(
    name="largest_error",
    label="Largest error of a gene",
    better="smaller",
    bounds=(0.0, math.inf),
    unit="log1p",
    inputs=("predicted_delta", "observed_delta"),
    function=lambda predicted, observed: np.abs(predicted - observed).max(axis=1),
)
RECORD = {"opened": {"split": "test", "data_fingerprint": "f00", "n_perturbations": 4}}


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METRICS, ADDED.name, ADDED)


@pytest.fixture
def table(make_table: MakeTable) -> MakeTable:
    """Each variant errs in proportion to its level, and more from perturbation to perturbation."""

    def build(**levels: Any) -> pd.DataFrame:
        return make_table(
            {
                "variant": variant,
                "lambda_non": level,
                "perturbation": name,
                "effect_size": "small",
                "metric": ADDED.name,
                "seed": seed,
                "value": level * (1 + 0.1 * number),
            }
            for variant, level in levels.items()
            for seed in (0, 1)
            for number, name in enumerate("ABCD")
        )

    return build


def test_it_is_computed_with_all_others(tiny_dataset: PreparedDataset) -> None:
    delta = np.asarray(tiny_dataset.splits["validation"].table.delta)
    found = evaluate(delta + 0.5, tiny_dataset, "validation", generator=numpy_generator(0, "test"))
    np.testing.assert_allclose(found.per_perturbation[ADDED.name], 0.5, rtol=1e-6)


def test_a_smaller_error_wins(table: MakeTable) -> None:
    compared = summarize_paired(table(full=0.5, better=0.3, worse=0.9)).set_index(["effect_size", "variant"])
    counts = compared[["wins", "ties", "losses"]]
    assert row_of(counts, "all", "better").tolist() == [4, 0, 0]
    assert row_of(counts, "all", "worse").tolist() == [0, 0, 4]


def test_the_report_counts_the_smaller_error_as_wins(table: MakeTable) -> None:
    compared = summarize_paired(table(full=0.5, better=0.3))
    shown = build_paired_table(compared, "Differences", "Told.", VARIANTS)
    row = dict(zip((column.label for column in shown.columns), shown.rows[0], strict=True))
    assert (row["metric"].text, row["wins"].text, row["losses"].text) == (ADDED.label, "4", "0")


def test_its_intervals_stay_in_its_bounds(table: MakeTable) -> None:
    summary = summarize_by(table(full=1.0).assign(value=[0.0, 0.0, 0.0, 1.0] * 2), ["variant"])
    assert summary["low"].tolist() == [0.0]


def test_a_table_marks_the_smallest_error_and_points_down(
    table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performance, "GLOBAL_METRICS", (ADDED.name,))
    built = performance.build_performance_table(table(mean=0.9, adapert=0.5, ridge_both=0.7), RECORD)
    assert list(built.cells.columns) == ["Model", "Largest error of a gene ↓"]
    assert present(built.is_best)[:, 1].tolist() == [False, True, False]


def test_an_improvement_is_a_smaller_error(table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effect_sizes, "choose_size_metrics", lambda frame: (ADDED.name,))
    frame = table(adapert=0.45, ridge_both=0.9)
    row = effect_sizes.summarize_improvement(frame, "adapert", "ridge_both").iloc[0]
    assert row["improvement_percent"] == pytest.approx(50)
    assert row["improvement_percent_low"] <= row["improvement_percent"] <= row["improvement_percent_high"]
    assert row["difference"] == pytest.approx(-0.45 * 1.15)


def test_figures_mark_the_smallest_error_and_point_down(
    table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensitivity, "SENSITIVITY_METRICS", (ADDED.name,))
    monkeypatch.setattr(ablation, "ABLATION_METRICS", (ADDED.name,))
    frame = table(full=0.5, low=0.1, high=0.9)
    by_weight = sensitivity.summarize_sensitivity(frame)
    assert by_weight.loc[by_weight["is_best"], "mean"].tolist() == [pytest.approx(0.115)]
    weights = sensitivity.plot_sensitivity(by_weight)
    variants = ablation.plot_ablation(ablation.summarize_ablation(frame))
    assert weights.axes[0].get_ylabel() == variants.axes[0].get_xlabel() == "Largest error of a gene ↓"


def test_configs_are_ranked_by_the_smallest_error() -> None:
    configs = pd.DataFrame({"config_digest": ["a", "b"], ADDED.name: [0.5, 0.1]})
    assert rank_candidates(configs, ADDED.name)["config_digest"][0] == "b"


def test_claims_that_are_judged_on_a_scale_up_to_1_refuse_it(table: MakeTable) -> None:
    with pytest.raises(InputError, match="whose best value is 1, but that of 'largest_error' is not"):
        summarize_claims(table(full=0.5, no_context=0.6), None, metrics=[ADDED.name])


def test_a_metric_that_nobody_added_has_no_winner(table: MakeTable) -> None:
    with pytest.raises(InputError, match=r"'smallest_error' is not among them\. Did you mean 'largest"):
        summarize_paired(table(full=0.5, better=0.3).assign(metric="smallest_error"))
