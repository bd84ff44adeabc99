from dataclasses import replace

import numpy as np
import pytest
from fixtures.dataset import change_train
from fixtures.narrowed import present

from adapert.data.choices import PrepareChoices
from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from analysis.figures.expression import plot_expression, summarize_expression


def test_expression_is_the_mean_over_control_cells(tiny_dataset: PreparedDataset) -> None:
    summary = summarize_expression(tiny_dataset)
    genes = summary[(summary["gene_set"] == "all genes") & (summary["cells"] == "control")]
    np.testing.assert_allclose(genes["expression"], tiny_dataset.shared.control_mean, rtol=1e-6)
    assert set(summary["cell_line"]) == {"all cells"}


def test_expression_of_perturbed_cells_is_the_mean_over_them(tiny_dataset: PreparedDataset) -> None:
    part = replace(tiny_dataset, splits={name: tiny_dataset.splits[name] for name in ("train", "validation")})
    summary = summarize_expression(part)
    genes = summary[(summary["gene_set"] == "all genes") & (summary["cells"] == "perturbed")]
    cells = [split.cells.expression(tiny_dataset.n_genes).toarray() for split in part.splits.values()]
    np.testing.assert_allclose(genes["expression"], np.concatenate(cells).mean(axis=0), rtol=1e-5)


def test_degs_are_those_of_the_splits_that_were_read(tiny_dataset: PreparedDataset) -> None:
    train_only = replace(tiny_dataset, splits={"train": tiny_dataset.splits["train"]})
    summary = summarize_expression(train_only)
    is_deg = train_only.splits["train"].table.deg_mask.any(axis=0)
    degs = summary.loc[(summary["gene_set"] == "DEGs") & (summary["cells"] == "control"), "gene"]
    assert degs.tolist() == tiny_dataset.gene_names[is_deg].tolist()
    assert set(summary["n_perturbations"]) == {8}


def test_each_cell_line_has_its_own_controls_and_perturbations(tiny_dataset: PreparedDataset) -> None:
    lines = replace(
        tiny_dataset,
        shared=replace(tiny_dataset.shared, batches=np.array(["k562 / 1", "rpe1 / 1"])),
        manifest=replace(tiny_dataset.manifest, choices=PrepareChoices(cell_line_column="cell_line")),
    )
    summary = summarize_expression(lines)
    for number, line in enumerate(("k562", "rpe1")):
        of_line = (summary["cell_line"] == line) & (summary["cells"] == "control")
        genes = summary[of_line & (summary["gene_set"] == "all genes")]
        np.testing.assert_allclose(
            genes["expression"], tiny_dataset.shared.batch_control_mean[number], rtol=1e-6
        )
    titles = [axes.get_title(loc="left") for axes in plot_expression(summary).axes]
    assert titles[0] == "k562: all genes (n=12)"
    assert titles[2] == "rpe1: all genes (n=12)"


def test_lines_say_mean_and_median(tiny_dataset: PreparedDataset) -> None:
    summary = summarize_expression(tiny_dataset)
    axes = plot_expression(summary).axes[0]
    labels = [text.get_text() for text in present(axes.get_legend()).get_texts()]
    expected = []
    for cells in ("control", "perturbed"):
        is_shown = (summary["gene_set"] == "all genes") & (summary["cells"] == cells)
        values = summary.loc[is_shown, "expression"]
        expected.append(f"{cells}: mean {values.mean():.2f}, median {values.median():.2f}")
    assert labels == expected


def test_data_without_a_deg_have_an_empty_panel(tiny_dataset: PreparedDataset) -> None:
    train = tiny_dataset.splits["train"].table
    without = change_train(tiny_dataset, deg_mask=np.zeros_like(train.deg_mask))
    only = replace(without, splits={"train": without.splits["train"]})
    figure = plot_expression(summarize_expression(only))
    figure.draw_without_rendering()
    assert figure.axes[1].get_title(loc="left") == "DEGs (n=0)"


def test_responses_have_no_expression(tiny_dataset: PreparedDataset) -> None:
    responses = replace(tiny_dataset, manifest=replace(tiny_dataset.manifest, kind="responses"))
    with pytest.raises(InputError, match="need cells, but this data set was prepared from responses"):
        summarize_expression(responses)
