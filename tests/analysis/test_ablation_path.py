import numpy as np
import pandas as pd
import pytest

from analysis.figures.ablation_path import plot_path, summarize_path

MEANS = {
    "0 start": 0.40,
    "1 model.tau": 0.39,
    "1 model.dropout": 0.45,
    "2 model.tau": 0.46,
}


@pytest.fixture(scope="module")
def summary() -> pd.DataFrame:
    rows = [
        {
            "study": "ablation_path",
            "split": "validation",
            "variant": variant,
            "split_seed": 0,
            "seed": seed,
            "perturbation": f"P{number}",
            "metric": metric,
            "value": mean + 0.01 * (number - 2) + 0.001 * seed,
        }
        for variant, mean in MEANS.items()
        for seed in (-1, 0, 1)
        for number in range(5)
        for metric in ("pearson_delta", "pds")
    ]
    frame = pd.DataFrame(rows)
    return summarize_path(frame.assign(family=frame["perturbation"]))


def test_the_path_goes_by_the_best_mean_of_each_step(summary: pd.DataFrame) -> None:
    taken = summary[summary["is_taken"] & (summary["metric"] == "pearson_delta")]
    assert list(zip(taken["step"], taken["field"], strict=True)) == [
        (0, "start"),
        (1, "model.dropout"),
        (2, "model.tau"),
    ]
    np.testing.assert_allclose(taken["mean"], [0.40, 0.45, 0.46])


def test_configs_that_were_not_chosen_stay_in_the_frame(summary: pd.DataFrame) -> None:
    left = summary[~summary["is_taken"]]
    assert set(left["field"]) == {"model.tau"}
    assert set(left["step"]) == {1}


def test_the_figure_reads_from_the_start_downwards(summary: pd.DataFrame) -> None:
    axes = plot_path(summary).axes
    assert [axis.get_xlabel() for axis in axes] == ["Pearson-delta ↑", "PDS ↑"]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == [
        "start",
        "+ model.dropout",
        "+ model.tau",
    ]
    assert axes[0].yaxis_inverted()
