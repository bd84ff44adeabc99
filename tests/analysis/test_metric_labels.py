import numpy as np
import pytest

from adapert.evaluation.evaluate import evaluate
from adapert.seeding import numpy_generator
from analysis.comparison import MAIN_METRICS
from analysis.figures.ablation import ABLATION_METRICS
from analysis.figures.ablation_path import PATH_METRICS
from analysis.figures.sensitivity import SENSITIVITY_METRICS
from analysis.metric_labels import METRIC_LABELS, label_direction, label_metric
from analysis.report.results import METRICS
from analysis.tables.performance import DE_METRICS, GLOBAL_METRICS, STAND_INS


def test_a_label_names_one_metric():
    assert len({label.lower() for label in METRIC_LABELS.values()}) == len(METRIC_LABELS)
    assert "DES" not in METRIC_LABELS.values()


def test_every_metric_of_an_evaluation_has_a_label(tiny_dataset):
    delta = np.asarray(tiny_dataset.splits["validation"].table.delta)
    found = evaluate(delta, tiny_dataset, "validation", generator=numpy_generator(0, "test"))
    assert {*found.per_perturbation, *found.scalars} == METRIC_LABELS.keys()


@pytest.mark.parametrize(
    "shown",
    [
        MAIN_METRICS,
        ABLATION_METRICS,
        PATH_METRICS,
        SENSITIVITY_METRICS,
        DE_METRICS,
        GLOBAL_METRICS,
        STAND_INS.values(),
    ],
)
def test_whatever_is_shown_has_a_label(shown):
    assert set(shown) <= METRIC_LABELS.keys()


def test_the_page_calls_metrics_as_figures_do():
    assert {name: column.label for name, column in METRICS.items() if name in METRIC_LABELS} == {
        "pearson_delta": METRIC_LABELS["pearson_delta"],
        "pds": METRIC_LABELS["pds"],
    }
    assert dict(MAIN_METRICS) == {name: METRIC_LABELS[name] for name in MAIN_METRICS}


def test_an_arrow_points_to_better():
    assert label_direction("pds") == "PDS ↑"
    assert label_direction("mse") == "MSE of delta ↓"
    assert label_direction("collapse_ratio") == "Collapse ratio"
    assert label_metric("of_ones_own") == "of_ones_own"
