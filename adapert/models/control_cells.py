"""The control cells that a network of single cells predicts from."""

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray
from adapert.seeding import numpy_generator

N_CONTROL_CELLS = 256
"""Control cells that a prediction is the mean over."""


def draw_control_cells(dataset: PreparedDataset, seed: int) -> FloatArray:
    """Draw control cells by a trial's seed; repeatedly where there are fewer.

    Of a data set without splits they are 0: the trained weights that it is given with bring their own.

    Returns:
        log1p units, (N_CONTROL_CELLS, n_genes).
    """
    if not dataset.splits:
        return np.zeros((N_CONTROL_CELLS, dataset.n_genes))
    n_cells = len(dataset.control_cells)
    generator = numpy_generator(seed, "control_cells")
    drawn = generator.choice(n_cells, N_CONTROL_CELLS, replace=n_cells < N_CONTROL_CELLS)
    cells: FloatArray = dataset.control_cells.expression(dataset.n_genes)[np.sort(drawn)].toarray()
    return cells
