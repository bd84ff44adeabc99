from dataclasses import replace

import numpy as np
import pytest
from fixtures.dataset import change_train
from fixtures.narrowed import of_kind
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from adapert.data.prepared import PreparedDataset
from analysis.figures.deg_counts import plot_deg_counts, summarize_deg_counts


def _bars(axes: Axes) -> list[Rectangle]:
    return [of_kind(Rectangle, patch) for patch in axes.patches]


def test_frame_counts_the_degs_of_the_splits_that_were_read(tiny_dataset: PreparedDataset) -> None:
    part = replace(tiny_dataset, splits={name: tiny_dataset.splits[name] for name in ("train", "validation")})
    summary = summarize_deg_counts(part)
    assert summary["split"].value_counts().to_dict() == {"train": 8, "validation": 4}
    assert summary["effect_size"].unique().tolist() == ["small", "medium", "large"]
    table = part.splits["train"].table
    expected = dict(zip(table.perturbations.tolist(), table.deg_mask.sum(axis=1).tolist(), strict=True))
    of_train = summary[summary["split"] == "train"]
    assert dict(zip(of_train["perturbation"], of_train["n_degs"], strict=True)) == expected


def test_bars_carry_their_mean_numbers_and_reach_all_genes(tiny_dataset: PreparedDataset) -> None:
    summary = summarize_deg_counts(tiny_dataset)
    axes = plot_deg_counts(summary).axes[0]
    tops = {bar.get_y() + bar.get_height() for bar in _bars(axes)[3:]}
    assert tops == {12.0}
    texts = [text.get_text() for text in axes.texts]
    mean = summary.loc[summary["effect_size"] == "small", "n_degs"].mean()
    assert texts[:2] == [f"{mean:,.0f} ({mean / 12:.1%})", f"{12 - mean:,.0f}"]


def test_the_histogram_holds_every_perturbation(tiny_dataset: PreparedDataset) -> None:
    axes = plot_deg_counts(summarize_deg_counts(tiny_dataset)).axes[1]
    assert sum(bar.get_height() for bar in _bars(axes)) == pytest.approx(15)


def test_groups_are_tertiles_of_the_mean_absolute_change(tiny_dataset: PreparedDataset) -> None:
    summary = summarize_deg_counts(tiny_dataset).set_index("perturbation")
    changes = {
        name: np.abs(delta).mean()
        for split in tiny_dataset.splits.values()
        for name, delta in zip(split.table.perturbations.tolist(), split.table.delta, strict=True)
    }
    ranked = sorted(changes, key=lambda name: changes[name])
    assert set(ranked[:5]) == set(summary.index[summary["effect_size"] == "small"])
    assert set(ranked[10:]) == set(summary.index[summary["effect_size"] == "large"])
    np.testing.assert_allclose(summary["mean_change"], [changes[name] for name in summary.index], rtol=1e-6)


def test_genes_that_change_by_more_can_count_as_degs(tiny_dataset: PreparedDataset) -> None:
    summary = summarize_deg_counts(tiny_dataset, min_change=0.1)
    one = summary[summary["split"] == "validation"].set_index("perturbation")["n_degs"]
    table = tiny_dataset.splits["validation"].table
    for name, delta in zip(table.perturbations.tolist(), table.delta, strict=True):
        assert one[name] == sum(abs(change) > 0.1 for change in delta.tolist())
    text = " ".join(text.get_text() for text in plot_deg_counts(summary).texts).replace("\n", " ")
    assert "DEGs: absolute change above 0.1 log1p units." in text


@pytest.mark.parametrize("has_degs", [True, False])
def test_one_group_still_draws(tiny_dataset: PreparedDataset, has_degs: bool) -> None:
    table = tiny_dataset.splits["train"].table
    changed = change_train(
        tiny_dataset,
        delta=np.full_like(table.delta, 0.5),
        deg_mask=table.deg_mask & has_degs,
    )
    figure = plot_deg_counts(
        summarize_deg_counts(replace(changed, splits={"train": changed.splits["train"]}))
    )
    figure.draw_without_rendering()
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["small\n(n=8)"]
