"""A small simulated experiment, and the means to change its cells."""

from pathlib import Path

import pytest
from fixtures.experiment import Experiment
from fixtures.preparing import ChangeCells, change_cells_of

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
    return change_cells_of(experiment.cells, tmp_path)
