"""Seconds of a perturbation's Mann-Whitney tests, with pdex for comparison where it is installed."""

import contextlib
import importlib.util
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.differential import mann_whitney, sort_controls
from benchmarks.measurement import Measurement, median_seconds, seconds_of

N_GENES, N_CONTROLS, N_CELLS = 5_000, 10_000, 140
N_PERTURBATIONS = 9


def measure(scratch: Path) -> Iterator[Measurement]:
    """Test a few perturbations, each on its own; the median counts. Nothing is kept in `scratch`."""
    generator = np.random.default_rng(0)
    controls = _draw_cells(generator, N_CONTROLS)
    perturbed = [_draw_cells(generator, N_CELLS) for _ in range(N_PERTURBATIONS)]
    sorting = seconds_of(partial(sort_controls, controls))
    ordered = sort_controls(controls)
    sparse, dense = (
        median_seconds(partial(mann_whitney, cells, ordered) for cells in groups)
        for groups in (perturbed, [cells.toarray() for cells in perturbed])
    )
    share = sum(cells.nnz for cells in perturbed) / (N_PERTURBATIONS * N_CELLS * N_GENES)
    yield Measurement(
        name="mann_whitney",
        value=sparse,
        unit="s",
        target=0.07,
        note=f"{N_CELLS} cells, {N_CONTROLS:,} controls, {N_GENES:,} genes, {share:.0%} not zero; dense "
        f"{dense:.3f} s; controls sorted once in {sorting:.1f} s; pdex {_pdex(controls, perturbed)}",
    )


def _draw_cells(generator: np.random.Generator, n_cells: int) -> scipy.sparse.csr_array:
    """Draw normalised, logged expression of which a third is not zero."""
    share = np.random.default_rng(1).lognormal(0, 0.8, N_GENES)
    library_size = generator.lognormal(np.log(2_500), 0.25, (n_cells, 1))
    counts = generator.poisson(generator.gamma(10, share / share.sum() * library_size / 10))
    return scipy.sparse.csr_array(np.log1p(counts * (4_000 / library_size)).astype(np.float32))


def _pdex(controls: scipy.sparse.csr_array, perturbed: list[scipy.sparse.csr_array]) -> str:
    """Time pdex on the same cells, after a run that compiles it."""
    if importlib.util.find_spec("pdex") is None:
        return 'not here: pip install ".[parity]"'
    from pdex import pdex

    def run(groups: list[scipy.sparse.csr_array]) -> object:
        guide = np.repeat(["control", *map(str, range(len(groups)))], [N_CONTROLS, *[N_CELLS] * len(groups)])
        obs = pd.DataFrame({"guide": guide}, index=[f"c{number}" for number in range(len(guide))])
        values = scipy.sparse.csr_matrix(scipy.sparse.vstack([controls, *groups], format="csr"))
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
            return pdex(anndata.AnnData(values, obs=obs), "guide", reference="control", is_log1p=True)

    run(perturbed[:1])
    first, several = (seconds_of(partial(run, perturbed[:n])) for n in (1, len(perturbed)))
    return f"{(several - first) / (len(perturbed) - 1):.2f} s on all cores"
