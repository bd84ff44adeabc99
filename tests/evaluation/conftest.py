"""Predictions for data whose DEGs were called from their cells, and the pair of files that they become."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapert.data.prepared import PreparedDataset
from adapert.evaluation.cell_moments import cells_by_perturbation
from adapert.evaluation.cell_tests import ControlTests
from adapert.evaluation.emitted_files import write_emitted_pair


@pytest.fixture
def tested_dataset(tiny_dataset: PreparedDataset) -> PreparedDataset:
    """The tiny data set with DEGs that were called from its cells."""
    part = tiny_dataset.splits["validation"]
    tested = ControlTests(tiny_dataset, part.table).differential_expression(
        cells_by_perturbation(tiny_dataset, "validation")
    )
    part = replace(part, table=replace(part.table, deg_mask=tested.deg_mask))
    return replace(tiny_dataset, splits={"validation": part})


@pytest.fixture
def predicted(tested_dataset: PreparedDataset) -> np.ndarray:
    delta = tested_dataset.splits["validation"].table.delta
    return 0.5 * delta + 0.2 * np.random.default_rng(0).normal(size=delta.shape)


@pytest.fixture
def pair(tested_dataset: PreparedDataset, predicted: np.ndarray, tmp_path: Path) -> tuple[Path, Path]:
    files = tmp_path / "pred.h5ad", tmp_path / "real.h5ad"
    write_emitted_pair(
        predicted,
        tested_dataset,
        "validation",
        predicted_file=files[0],
        real_file=files[1],
        generator=np.random.default_rng(3),
    )
    return files
