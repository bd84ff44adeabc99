from typing import Any

import numpy as np
import pandas as pd
import pytest
from fixtures.store import MakeTable

from adapert.errors import InputError
from analysis.figures.network_noise import plot_network_noise, summarize_network_noise

LEVELS = {
    "adapert": 0.5,
    "adapert:kept=0.5": 0.4,
    "adapert:kept=0": 0.1,
    "adapert:added=0.25": 0.45,
    "app": 0.3,
    "app:kept=0.5": 0.3,
    "app:kept=0": 0.3,
    "app:added=0.25": 0.3,
}
PERTURBATIONS = [f"P{number}" for number in range(12)]


@pytest.fixture(scope="module")
def frame(make_table: MakeTable) -> pd.DataFrame:
    rows: list[dict[str, Any]] = [
        {
            "variant": variant,
            "perturbation": perturbation,
            "effect_size": "small" if place % 2 else "large",
            "metric": metric,
            "seed": seed,
            "value": level + 0.01 * place,
        }
        for variant, level in LEVELS.items()
        for place, perturbation in enumerate(PERTURBATIONS)
        for metric in ("pearson_delta", "l2_top_1000", "mse")
        for seed in (0, 1)
    ]
    return make_table(rows, study="network_noise")


@pytest.fixture(scope="module")
def summary(frame: pd.DataFrame) -> pd.DataFrame:
    return summarize_network_noise(frame)


def test_every_system_starts_at_its_own_undisturbed_network(summary: pd.DataFrame) -> None:
    found = summary[summary["metric"] == "pearson_delta"]
    lines = {
        (str(system), str(noise)): [(f, round(m, 3)) for f, m in zip(of["fraction"], of["mean"], strict=True)]
        for (system, noise), of in found.groupby(["system", "noise"])
    }
    shift = 0.01 * np.mean(range(12))
    assert lines == {
        ("adapert", "kept"): [(f, round(m + shift, 3)) for f, m in ((0, 0.1), (0.5, 0.4), (1, 0.5))],
        ("adapert", "added"): [(f, round(m + shift, 3)) for f, m in ((0, 0.5), (0.25, 0.45))],
        ("app", "kept"): [(f, round(0.3 + shift, 3)) for f in (0, 0.5, 1)],
        ("app", "added"): [(f, round(0.3 + shift, 3)) for f in (0, 0.25)],
    }
    assert set(summary["metric"]) == {"pearson_delta", "l2_top_1000"}


def test_doses_are_compared_with_the_same_system(summary: pd.DataFrame) -> None:
    of_metric = summary.set_index(["metric", "variant"]).loc["pearson_delta"]
    assert of_metric.loc["adapert:kept=0", "difference"] == pytest.approx(-0.4)
    assert bool(of_metric.loc["adapert:kept=0", "is_different"])
    assert of_metric.loc["app:kept=0", "difference"] == pytest.approx(0)
    assert not bool(of_metric.loc["app:kept=0", "is_different"])
    assert of_metric[of_metric.index == "adapert"]["difference"].isna().all()


def test_a_panel_is_a_metric_and_a_kind_of_noise_that_grows_to_the_right(summary: pd.DataFrame) -> None:
    figure = plot_network_noise(summary)
    assert len(figure.axes) == 4
    assert [axes.get_xlabel() for axes in figure.axes[2:]] == ["share of edges kept", "share of edges added"]
    kept, added = figure.axes[:2]
    assert kept.get_ylabel().startswith("Pearson-delta")
    assert kept.xaxis_inverted()
    assert not added.xaxis_inverted()
    assert kept.get_xlim()[0] > 1
    assert kept.get_xlim()[1] < 0
    lines = {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in kept.get_lines()}
    assert lines["adapert"] == pytest.approx([0.155, 0.455, 0.555])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["AdaPert", "APP (own version)"]


def test_a_variant_that_is_no_dose_is_refused(frame: pd.DataFrame) -> None:
    renamed = frame.replace({"variant": {"app:kept=0": "app:lost=1"}})
    with pytest.raises(InputError, match=r"variants such as 'adapert' and .* but one is 'app:lost=1'\."):
        summarize_network_noise(renamed)
