"""A small simulated experiment, and the means to change its cells."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anndata
import pytest

from adapert.data.choices import PrepareChoices
from adapert.data.prepare import prepare
from adapert.data.prepared import PreparedDataset
from adapert.data.simulate import simulate


@dataclass(frozen=True)
class Experiment:
    """Paths of an experiment's files; `prepare` takes other paths and choices on top."""

    cells: Path
    network: Path
    embeddings: Path

    def prepare(
        self,
        *,
        cells: Path | None = None,
        network: Path | None = None,
        embeddings: Path | None = None,
        aliases: Path | None = None,
        split_file: Path | None = None,
        out: Path | None = None,
        **choices: object,
    ) -> PreparedDataset:
        return prepare(
            cells or self.cells,
            network or self.network,
            embeddings or self.embeddings,
            PrepareChoices(**choices),
            aliases=aliases,
            split_file=split_file,
            out=out,
        )


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
def changed_cells(
    experiment: Experiment, tmp_path: Path
) -> Callable[[Callable[[anndata.AnnData], anndata.AnnData | None]], Path]:
    """Write the experiment's cells again, changed by a function that returns or alters them."""

    def write(change: Callable[[anndata.AnnData], anndata.AnnData | None]) -> Path:
        cells = anndata.read_h5ad(experiment.cells)
        changed = change(cells)
        path = tmp_path / "changed.h5ad"
        (cells if changed is None else changed).write_h5ad(path)
        return path

    return write
