from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from adapert.results.find import open_study
from analysis.figures.expected_best import plot_expected_best, summarize_expected_best
from analysis.leaderboard.load import load_searches


def test_the_curve_of_a_search_is_the_mean_over_all_subsets_of_its_trials(peers_workspace: Path) -> None:
    trials = load_searches(open_study(peers_workspace, "peers"))
    summary = summarize_expected_best(trials)
    for system, rows in summary.groupby("system"):
        objectives = trials.loc[trials["system"] == system, "objective"]
        brute = [np.mean([max(s) for s in combinations(objectives, n)]) for n in range(1, 7)]
        np.testing.assert_allclose(rows["expected_best"], brute)
        assert set(rows["first"]) == {objectives.iloc[0]}


def test_seeds_of_one_config_are_one_trial(peers_workspace: Path) -> None:
    trials = load_searches(open_study(peers_workspace, "peers")).query("system == 'adapert'")
    again = trials.assign(seed=1, objective=trials["objective"] + 0.2)
    both = type(trials)(np.concatenate([trials, again]), columns=trials.columns)
    both["objective"] = both["objective"].astype(float)
    found = summarize_expected_best(both)
    assert found["n_trials"].tolist() == [1, 2, 3, 4, 5, 6]
    assert found["expected_best"].iloc[-1] == pytest.approx(trials["objective"].max() + 0.1)


def test_the_figure_has_a_curve_and_a_hollow_dot_a_system(peers_workspace: Path) -> None:
    summary = summarize_expected_best(load_searches(open_study(peers_workspace, "peers")))
    figure = plot_expected_best(summary)
    (axes,), (legend,) = figure.axes, figure.legends
    assert axes.get_xlabel() == "trials"
    assert [text.get_text() for text in legend.get_texts()] == ["AdaPert", "kernel ridge"]
    assert sum(line.get_marker() == "o" for line in axes.lines) == 2
