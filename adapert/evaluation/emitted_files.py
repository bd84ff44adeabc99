"""Predicted and real cells as the pair of files that ``cell-eval run`` takes as it is."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, SplitName, StringArray
from adapert.errors import InputError
from adapert.evaluation.cell_moments import cells_by_perturbation
from adapert.evaluation.emission import EmissionName, emit_cells
from adapert.files import whole_file

PERTURBATION_COLUMN = "target_gene"
CONTROL_LABEL = "non-targeting"
"""Column of `obs` and label that cell-eval 0.8.2 looks for by default."""

CELLS_AT_ONCE = 1_000

STORAGE = {"chunks": (2**16,), "shuffle": True, "compression": "gzip", "compression_opts": 1}
"""With the chunks that h5py chooses for an empty matrix, appending takes ten times as long."""

CHUNK_CACHE = 2**24
"""Bytes: chunks that an append leaves unfinished wait there for the next one."""


def write_emitted_pair(
    predicted_delta: FloatArray,
    dataset: PreparedDataset,
    split: SplitName,
    *,
    predicted_file: Path,
    real_file: Path,
    emission: EmissionName = "control_shift",
    generator: np.random.Generator,
) -> None:
    """Write emitted and real cells of a split, each together with all real controls, as two .h5ad files.

    A generator in the same state emits the cells that `evaluate` scores. cell-eval's metrics of
    differential expression then equal its own where the data are of one cell line; of several, cell-eval
    tests against the controls of all. Its other metrics are those of the emitted cells' means, after
    clipping, against the mean of all controls.

    Values are log1p units in double precision, since cell-eval averages in the file's own; rows are
    appended, so that one perturbation's cells are in memory at a time.

    Other arguments are as in `adapert.evaluation.emission.emit_cells`.

    Raises:
        InputError: An unknown way of emission, one file for both, or one that cannot be written.
    """
    if predicted_file.resolve() == real_file.resolve():
        raise InputError(f"Predicted and real cells must go to two files, but both are '{real_file}'.")
    table = dataset.splits[split].table
    n_controls = len(dataset.control_cells)
    labels = np.repeat([CONTROL_LABEL, *table.perturbations], [n_controls, *table.n_cells])
    emitted = emit_cells(predicted_delta, dataset, split, emission, generator)
    predicted = (scipy.sparse.csr_array(cells.expression) for cells in emitted)
    with whole_file(predicted_file) as predicted_beside, whole_file(real_file) as real_beside:
        _write_cells(predicted_beside, labels, dataset, predicted)
        _write_cells(real_beside, labels, dataset, cells_by_perturbation(dataset, split))


def _write_cells(
    path: Path, labels: StringArray, dataset: PreparedDataset, perturbed: Iterable[scipy.sparse.csr_array]
) -> None:
    from anndata.io import sparse_dataset, write_elem  # a second to import

    names = pd.Index([f"cell_{number}" for number in range(len(labels))])
    with h5py.File(path, "w", rdcc_nbytes=CHUNK_CACHE) as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        obs = pd.DataFrame({PERTURBATION_COLUMN: pd.Categorical(labels)}, index=names)
        write_elem(file, "obs", obs)
        write_elem(file, "var", pd.DataFrame(index=pd.Index(dataset.gene_names)))
        empty = scipy.sparse.csr_matrix((0, dataset.n_genes), dtype=np.float64)
        write_elem(file, "X", empty, dataset_kwargs=STORAGE)
        matrix = sparse_dataset(file["X"])
        controls = dataset.control_cells.expression(dataset.n_genes)
        starts = range(0, controls.shape[0], CELLS_AT_ONCE)
        for block in chain((controls[start : start + CELLS_AT_ONCE] for start in starts), perturbed):
            matrix.append(scipy.sparse.csr_matrix(block, dtype=np.float64))
