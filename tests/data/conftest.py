"""A small simulated experiment, and the means to change its cells."""

from collections.abc import Callable
from pathlib import Path

import anndata
import pytest
from fixtures.experiment import Experiment
from fixtures.preparing import ChangeCells

from adapert.data.simulate import simulate


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    directory = tmp_path_factory.mktemp("experiment") / "simulated"
    simulate(directory, n_perturbations=30, n_genes=120, cells_per_perturbation=25, n_controls=120, seed=1)
    return Experiment(
        cells=directory / "cells.h5ad",
        network=directory / "network.tsv.gz",
        embeddings=directory / "text.npz",
    )


@pytest.fixture
def changed_cells(experiment: Experiment, tmp_path: Path) -> ChangeCells:
    """Write the experiment's cells again, changed by a function that returns or alters them."""

    def write(change: Callable[[anndata.AnnData], anndata.AnnData | None]) -> Path:
        cells = anndata.read_h5ad(experiment.cells)
        changed = change(cells)
        path = tmp_path / "changed.h5ad"
        (cells if changed is None else changed).write_h5ad(path)
        return path

    return write
