from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.prepared import PreparedDataset
from adapert.evaluation.controls import ControlCells, cells_per_batch, control_cells


def with_lines(
    dataset: PreparedDataset, names: list[str], batch_index: list[int], **choices: Any
) -> PreparedDataset:
    manifest = replace(dataset.manifest, choices=PrepareChoices(min_batch_controls=3, **choices))
    controls = replace(dataset.control_cells, batch_index=np.array(batch_index))
    means = np.zeros((len(names), dataset.n_genes), dtype=np.float32)
    shared = replace(dataset.shared, batches=np.array(names), batch_control_mean=means)
    return replace(dataset, manifest=manifest, shared=shared, control_cells=controls)


@pytest.fixture
def two_lines(tiny_dataset: PreparedDataset) -> ControlCells:
    """Ten controls in A's first batch, two in its second, five in B's first, none in its second; 3 of C."""
    return control_cells(
        with_lines(
            tiny_dataset,
            ["A / 1", "A / 2", "B / 1", "B / 2", "C"],
            [0] * 10 + [1] * 2 + [2] * 5 + [4] * 3,
            cell_line_column="line",
            batch_column="batch",
        )
    )


def test_group_is_matched_to_its_own_controls_where_there_are_enough(two_lines: ControlCells) -> None:
    assert two_lines.matched_rows(0).tolist() == list(range(10))
    assert two_lines.matched_rows(4).tolist() == [17, 18, 19]


def test_group_of_few_controls_is_matched_to_its_cell_lines(two_lines: ControlCells) -> None:
    assert two_lines.matched_rows(1).tolist() == list(range(12))
    assert two_lines.matched_rows(3).tolist() == list(range(12, 17))


def test_group_of_a_line_of_few_controls_is_matched_to_all(two_lines: ControlCells) -> None:
    demanding = replace(two_lines, min_batch_controls=6)
    assert demanding.matched_rows(3).tolist() == list(range(20))


def test_perturbation_is_tested_against_the_controls_of_its_cell_lines(two_lines: ControlCells) -> None:
    assert two_lines.tested_rows([3]).tolist() == list(range(12, 17))
    assert two_lines.tested_rows([0, 4]).tolist() == [*range(12), 17, 18, 19]


def test_batches_of_one_line_are_tested_against_all_controls(tiny_dataset: PreparedDataset) -> None:
    dataset = with_lines(tiny_dataset, ["1", "2"], [0] * 10 + [1] * 10, batch_column="batch")
    assert control_cells(dataset).tested_rows([1]).tolist() == list(range(20))


def test_names_of_groups_are_cell_lines_where_there_is_no_batch(tiny_dataset: PreparedDataset) -> None:
    dataset = with_lines(tiny_dataset, ["A / x", "B"], [0] * 10 + [1] * 10, cell_line_column="line")
    assert control_cells(dataset).tested_rows([1]).tolist() == list(range(10, 20))


def test_line_without_controls_is_tested_against_all(tiny_dataset: PreparedDataset) -> None:
    dataset = with_lines(tiny_dataset, ["A", "B"], [0] * 20, cell_line_column="line")
    assert control_cells(dataset).tested_rows([1]).tolist() == list(range(20))


def test_cells_are_counted_by_group(tiny_dataset: PreparedDataset) -> None:
    part = tiny_dataset.splits["train"]
    own = part.cells.batch_index[part.cells.perturbation_index == 2]
    counted = cells_per_batch(part.table, 2)
    assert counted == {b: int((own == b).sum()) for b in np.unique(own).tolist()}
