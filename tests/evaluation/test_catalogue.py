import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from fixtures.narrowed import present

from adapert.data.schema import FloatArray
from adapert.errors import InputError
from adapert.evaluation.catalogue import (
    EPOCH_INPUTS,
    INPUTS,
    METRICS,
    Metric,
    cheap_metrics,
    check_metrics,
    compute_metrics,
    find_metric,
    metrics_at_end,
    metrics_of_epochs,
)
from adapert.evaluation.de_metrics import DifferentialExpression
from adapert.evaluation.mean_collapse import deg_weights
from adapert.records import LONG_COLUMNS
from adapert.selection import rank as selection

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"

N_PERTURBATIONS, N_GENES = 12, 400

every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
every_score = pytest.mark.parametrize(
    "metric",
    [metric for metric in METRICS.values() if metric.better != "neither"],
    ids=[name for name, metric in METRICS.items() if metric.better != "neither"],
)


def build_inputs(quality: Literal["perfect", "poor", "random"], seed: int = 0) -> dict[str, Any]:
    """Inputs of perturbations with effects of different size, and a prediction of some quality."""
    generator = np.random.default_rng(seed)
    size = np.linspace(0.6, 3, N_PERTURBATIONS)[:, None]
    observed = size * generator.normal(size=(N_PERTURBATIONS, N_GENES))
    noise = generator.normal(size=observed.shape)
    predicted = {"perfect": observed, "poor": 0.1 * observed + noise, "random": noise}[quality]
    deg_mask, predicted_degs = np.abs(observed) > 1, np.abs(predicted) > 1
    return {
        "predicted_delta": predicted,
        "observed_delta": observed,
        "predicted_pooled_delta": predicted,
        "observed_pooled_delta": observed,
        "deg_mask": deg_mask,
        "target_mask": np.eye(N_PERTURBATIONS, N_GENES, dtype=bool),
        "weights": deg_weights(observed),
        "control_mean": generator.random(N_GENES),
        "predicted_cells": DifferentialExpression(log2_fold_change=predicted, deg_mask=predicted_degs),
        "observed_cells": DifferentialExpression(log2_fold_change=observed, deg_mask=deg_mask),
    }


def compute(metric: Metric, given: Mapping[str, Any]) -> FloatArray:
    by_perturbation, scalars = compute_metrics(given, [metric.name])
    value = scalars.get(metric.name, by_perturbation.get(metric.name))
    return np.atleast_1d(np.asarray(value))


@every_score
def test_a_perfect_prediction_has_the_best_value(metric: Metric) -> None:
    np.testing.assert_allclose(compute(metric, build_inputs("perfect")), present(metric.best), atol=1e-12)


@every_score
def test_a_poor_prediction_is_worse_in_the_stated_direction(metric: Metric) -> None:
    perfect, poor = (compute(metric, build_inputs(quality)).mean() for quality in ("perfect", "poor"))
    assert metric.gain * (perfect - poor) > 0


@every_metric
@pytest.mark.parametrize("seed", range(3))
def test_no_value_is_out_of_bounds(metric: Metric, seed: int) -> None:
    values = compute(metric, build_inputs("random", seed))
    low, high = metric.bounds
    assert low < high
    assert ((values >= low) & (values <= high)).all()


@every_metric
def test_a_metric_gives_a_value_a_perturbation_or_one_over_all(metric: Metric) -> None:
    given = build_inputs("poor")
    values = metric.function(*[given[name] for name in metric.inputs])
    assert np.shape(values) == (() if metric.is_scalar else (N_PERTURBATIONS,))


@every_metric
def test_a_metric_is_computed_from_what_is_given(metric: Metric) -> None:
    assert set(metric.inputs) <= set(INPUTS)
    lacking = {name: value for name, value in build_inputs("poor").items() if name != metric.inputs[-1]}
    by_perturbation, scalars = compute_metrics(lacking)
    assert metric.name not in {*by_perturbation, *scalars}


@every_metric
def test_a_scalar_says_what_it_correlates(metric: Metric) -> None:
    assert metric.is_scalar == (metric.correlates is not None)
    if metric.correlates is not None:
        source, column = metric.correlates
        assert not METRICS[source].is_scalar
        assert column in LONG_COLUMNS


@every_metric
def test_a_metric_is_listed_under_its_own_name(metric: Metric) -> None:
    assert METRICS[metric.name] is metric
    assert metric.label


def test_a_label_is_of_one_metric() -> None:
    assert len({metric.label.lower() for metric in METRICS.values()}) == len(METRICS)
    assert "DES" not in {metric.label for metric in METRICS.values()}


@every_metric
def test_what_every_epoch_computes_needs_what_an_epoch_has(metric: Metric) -> None:
    assert not metric.every_epoch or (set(metric.inputs) <= set(EPOCH_INPUTS) and not metric.is_scalar)


def test_cheap_metrics_are_those_of_every_epoch() -> None:
    given = build_inputs("poor")
    cheap = cheap_metrics(*[given[name] for name in EPOCH_INPUTS])
    assert list(cheap) == ["pearson_delta", "pds", "rank_overlap_at_50", "mse"]
    for name, values in cheap.items():
        np.testing.assert_array_equal(values, compute(METRICS[name], given))


@every_metric
def test_an_arrow_points_to_better(metric: Metric) -> None:
    arrow = {"larger": " ↑", "smaller": " ↓", "neither": ""}[metric.better]
    assert metric.directed_label == f"{metric.label}{arrow}"


def test_what_a_metric_needs_follows_from_its_inputs() -> None:
    assert [METRICS[name].needs for name in ("pds", "l2_top_1000", "overlap_at_50", "n_predicted_degs")] == [
        "deltas",
        "control expression",
        "cells",
        "cells",
    ]


def test_an_unknown_metric_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'pearson_detla' is not among them\. Did you mean 'pearson_delta'"):
        find_metric("pearson_detla")


def test_unknown_metrics_are_refused_with_where_they_come_from() -> None:
    check_metrics(METRICS, "a table")
    with pytest.raises(InputError, match="but a table has 'edistance', 'mse_of_x'"):
        check_metrics(["mse", "edistance", "mse_of_x", "edistance"], "a table")


@every_metric
def test_the_documentation_describes_a_metric_as_the_catalogue_does(metric: Metric) -> None:
    rows = re.findall(rf"^\| `{metric.name}` \|(.*)\|$", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(rows) == 1
    label, better, values, unit, needs, definition = (cell.strip() for cell in rows[0].split("|"))
    low, high = (f"{bound:g}".replace("inf", "∞") for bound in metric.bounds)
    assert (label, better, values, unit) == (metric.label, metric.better, f"{low} to {high}", metric.unit)
    assert needs == metric.needs + (", one value" if metric.is_scalar else "")
    assert definition
    assert not metric.cell_eval or f"cell-eval `{metric.cell_eval}`" in definition


def test_the_documentation_describes_no_other_metric() -> None:
    _, catalogue = DOCS.read_text(encoding="utf-8").split("| name | label | better |", maxsplit=1)
    table, _ = catalogue.split("\n\n", maxsplit=1)
    assert re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE) == list(METRICS)


def test_the_documentation_names_what_is_tracked() -> None:
    paragraphs = DOCS.read_text(encoding="utf-8").split("\n\n")
    (told,) = [paragraph for paragraph in paragraphs if "reported after every epoch" in paragraph]
    parts = re.split("At a trial's end|adapert pick", told)
    of_epochs, at_end, of_both = (re.findall(r"`([a-z]\w+)`", part) for part in parts)
    assert of_epochs == list(metrics_of_epochs())
    assert at_end == list(metrics_at_end())
    assert of_both == [name for name in METRICS if name in selection.FRONT]


def test_whoever_only_names_metrics_imports_neither_scipy_nor_torch() -> None:
    code = (
        "import sys, adapert.evaluation.catalogue;"
        "print([name for name in ('scipy', 'torch', 'pandas') if name in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
