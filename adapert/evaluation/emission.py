"""Cells from predicted deltas, for metrics that test cells.

A test needs cells where most models predict means. How they are made moves DES by more than models
differ, so the way is stored with every score.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.schema import FloatArray, SplitName
from adapert.errors import InputError, name_some, nearest
from adapert.evaluation.controls import ControlCells, cells_per_batch, control_cells

EmissionName: TypeAlias = Literal["control_shift", "tiled"]


@dataclass(frozen=True, kw_only=True)
class EmittedCells:
    """Cells that stand for one perturbation's prediction.

    Attributes:
        expression: log1p units, float32, (n_cells, n_genes).
        clip_fraction: Share of the values that were below 0 before they were clipped.
    """

    expression: FloatArray
    clip_fraction: float


def emit_cells(
    predicted_delta: FloatArray,
    dataset: PreparedDataset,
    split: SplitName,
    emission: EmissionName,
    generator: np.random.Generator,
) -> Iterator[EmittedCells]:
    """Emit each perturbation's cells in turn.

    There are as many as were observed in each matching group, clipped at 0. ``"control_shift"``: control
    cells matched to the group, drawn without replacement where there are enough, plus the delta.
    ``"tiled"``: the mean profile of the matched controls plus the delta, repeated.

    `predicted_delta` is in log1p units, (n_perturbations, n_genes), in the order of the split's table; the
    generator draws the control cells. The data set must be prepared from cells.

    Raises:
        InputError: An unknown way of emission.
    """
    if emission not in EMISSIONS:
        raise InputError(
            f"Cells must be emitted in a known way ({name_some(EMISSIONS)}), but '{emission}' is not one."
            f"{nearest(emission, EMISSIONS)}"
        )
    emit = EMISSIONS[emission]
    table, controls = dataset.splits[split].table, control_cells(dataset)
    # With a stream each, no perturbation's cells depend on how many others there are.
    streams = generator.spawn(len(predicted_delta))
    for perturbation, (delta, stream) in enumerate(zip(predicted_delta, streams, strict=True)):
        cells = emit(cells_per_batch(table, perturbation), controls, stream)
        cells += delta.astype(np.float32, copy=False)
        yield clip_cells(cells)


def clip_cells(cells: FloatArray) -> EmittedCells:
    """Clip the cells of one perturbation, log1p units, (n_cells, n_genes), at 0, in place."""
    clip_fraction = np.count_nonzero(cells < 0) / cells.size
    return EmittedCells(expression=np.maximum(cells, 0, out=cells), clip_fraction=clip_fraction)


def _control_shift(
    n_cells: Mapping[int, int], controls: ControlCells, generator: np.random.Generator
) -> FloatArray:
    drawn = []
    for batch, n in n_cells.items():
        rows = controls.matched_rows(batch)
        drawn.append(generator.choice(rows, n, replace=n > len(rows)))
    cells: FloatArray = controls.expression[np.concatenate(drawn)].toarray()
    return cells


def _tiled(n_cells: Mapping[int, int], controls: ControlCells, generator: np.random.Generator) -> FloatArray:
    profiles = controls.batch_mean[list(n_cells)].astype(np.float64)
    mean = np.average(profiles, axis=0, weights=list(n_cells.values()))
    return np.tile(mean.astype(np.float32), (sum(n_cells.values()), 1))


_Emit: TypeAlias = Callable[[Mapping[int, int], ControlCells, np.random.Generator], FloatArray]

EMISSIONS: Mapping[EmissionName, _Emit] = {"control_shift": _control_shift, "tiled": _tiled}
"""Way to a function of the number of cells in each matching group, the controls and a generator."""
