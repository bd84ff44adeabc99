from pathlib import Path

import anndata
import numpy as np
import pytest

from adapert.data.prepared import PreparedDataset
from adapert.errors import InputError
from adapert.evaluation.cell_moments import cells_by_perturbation
from adapert.evaluation.emission import emit_cells
from adapert.evaluation.emitted_files import write_emitted_pair


def test_files_hold_all_controls_and_each_perturbations_cells(
    tested_dataset: PreparedDataset, predicted: np.ndarray, pair: tuple[Path, Path]
) -> None:
    part = tested_dataset.splits["validation"]
    emitted = emit_cells(predicted, tested_dataset, "validation", "control_shift", np.random.default_rng(3))
    cells = {
        "pred": [one.expression for one in emitted],
        "real": [one.toarray() for one in cells_by_perturbation(tested_dataset, "validation")],
    }
    for path in pair:
        data = anndata.read_h5ad(path)
        assert data.var_names.tolist() == tested_dataset.gene_names.tolist()
        labels = data.obs["target_gene"].to_numpy(dtype=str)
        controls = tested_dataset.control_cells.expression(tested_dataset.n_genes).toarray()
        np.testing.assert_array_equal(data.X[labels == "non-targeting"].toarray(), controls)
        for name, expected in zip(part.table.perturbations, cells[path.stem], strict=True):
            np.testing.assert_array_equal(data.X[labels == name].toarray(), expected)


def test_unknown_way_of_emission_leaves_no_file(
    tested_dataset: PreparedDataset, predicted: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="must be emitted in a known way"):
        write_emitted_pair(
            predicted,
            tested_dataset,
            "validation",
            predicted_file=tmp_path / "pred.h5ad",
            real_file=tmp_path / "real.h5ad",
            emission="tile",  # type: ignore[arg-type]
            generator=np.random.default_rng(3),
        )
    assert list(tmp_path.iterdir()) == []


def test_one_file_for_both_sides_is_refused(
    tested_dataset: PreparedDataset, predicted: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="must go to two files, but both are"):
        write_emitted_pair(
            predicted,
            tested_dataset,
            "validation",
            predicted_file=tmp_path / "cells.h5ad",
            real_file=tmp_path / "cells.h5ad",
            generator=np.random.default_rng(3),
        )
