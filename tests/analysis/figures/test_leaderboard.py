from pathlib import Path

import numpy as np
import pytest

from adapert.results.find import open_study
from analysis.figures.leaderboard import plot_leaderboard
from analysis.leaderboard.load import load_leaderboard
from analysis.leaderboard.summary import summarize_leaderboard


def test_the_figure_has_a_row_a_system_and_a_panel_a_metric(peers_workspace: Path) -> None:
    summary = summarize_leaderboard(load_leaderboard(open_study(peers_workspace, "peers")))
    axes = plot_leaderboard(summary).axes
    assert [panel.get_xlabel() for panel in axes] == ["Pearson-delta ↑", "PDS ↑"]
    labels = [label.get_text() for label in axes[0].get_yticklabels()]
    assert labels[0] == "kernel ridge"
    assert set(labels[1:3]) == {"AdaPert", "learned kernel"}
    assert labels[3:] == ["ridge on text", "mean change"]
    dots = np.concatenate(
        [np.asarray(line.get_xdata()) for line in axes[0].lines if line.get_marker() == "o"]
    )
    expected = summary[(summary["effect_size"] == "all") & (summary["metric"] == "pearson_delta")]["mean"]
    assert sorted(dots) == pytest.approx(sorted(expected))
    assert {text.get_text() for text in axes[-1].texts} == {
        "reads\none network", "reads\nno network", "reads\nnothing",
    }  # fmt: skip


def test_the_figure_names_the_group_of_further_embeddings_first(peers_workspace: Path) -> None:
    frame = load_leaderboard(open_study(peers_workspace, "peers"))
    further = frame.assign(group=frame["group"].mask(frame["system"] == "adapert", "further embeddings"))
    axes = plot_leaderboard(summarize_leaderboard(further)).axes
    assert axes[0].get_yticklabels()[0].get_text() == "AdaPert"
    assert axes[-1].texts[0].get_text() == "reads\nfurther embeddings"
