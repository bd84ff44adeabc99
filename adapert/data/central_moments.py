"""How the cells of each perturbation spread around their mean effect: what losses beyond the square need."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np

from adapert.data.prepared import PreparedDataset
from adapert.data.row_chunks import VALUES_AT_ONCE, starts_of
from adapert.data.schema import FloatArray, IntArray


@dataclass(frozen=True, kw_only=True)
class CentralMoments:
    """Moments of y - x - delta over the training cells of each perturbation.

    y is a cell's expression, x the mean of the controls matched to it, delta the mean of y - x.

    Attributes:
        second: Mean square, log1p units to the power of 2, (n_perturbations, n_genes).
        third: Mean cube, as `second`.
        fourth: Mean fourth power, as `second`.
        sign: Mean of the sign of y - x, as `second`.
    """

    second: FloatArray
    third: FloatArray
    fourth: FloatArray
    sign: FloatArray


_KEPT: dict[bytes, CentralMoments] = {}
"""The last moments measured: trials that a process trains one after the other mostly have one split."""


def measure_central_moments(dataset: PreparedDataset) -> CentralMoments:
    """Measure the training split's moments: of its cells, a chunk of them in memory at a time.

    Those of the last training split are kept, since reading all cells again can take as long as some epochs.
    Of a table of responses only means are known: its moments are 0, its signs those of the responses.

    Returns:
        In the type of the deltas; read-only.
    """
    key = _identify_training(dataset)
    if key not in _KEPT:
        _KEPT.clear()  # first: two of them may not fit into memory
        measured = _measure(dataset)
        for field in fields(measured):
            getattr(measured, field.name).flags.writeable = False
        _KEPT[key] = measured
    return _KEPT[key]


def _identify_training(dataset: PreparedDataset) -> bytes:
    """Tell training splits apart by their perturbations, and by what their cells come to."""
    split = dataset.splits["train"]
    digest = hashlib.blake2b(f"{dataset.fingerprint} {dataset.manifest.kind}".encode(), digest_size=16)
    for array in (split.table.perturbations, split.table.delta, split.cells.perturbation_index):
        digest.update(str(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _measure(dataset: PreparedDataset) -> CentralMoments:
    table = dataset.splits["train"].table
    shape = table.delta.shape
    if dataset.manifest.kind == "responses":
        nothing = np.broadcast_to(np.zeros((), table.delta.dtype), shape)
        return CentralMoments(second=nothing, third=nothing, fourth=nothing, sign=np.sign(table.delta))
    second, third, fourth, sign = (np.empty(shape, table.delta.dtype) for _ in range(4))
    control = dataset.shared.batch_control_mean
    cells = dataset.splits["train"].cells
    expression = cells.expression(dataset.n_genes)
    for number, parts in enumerate(_rows_of_each(cells.perturbation_index, shape)):
        sums = np.zeros((4, shape[1]))
        delta, n_cells = table.delta[number].astype(np.float64), 0
        for rows in parts:
            change = expression[rows].toarray() - control[cells.batch_index[rows]].astype(np.float64)
            deviation = change - delta
            square = np.square(deviation)
            powers = (square, square * deviation, np.square(square), np.sign(change))
            sums += [power.sum(axis=0) for power in powers]
            n_cells += len(rows)
        second[number], third[number], fourth[number], sign[number] = sums / n_cells
    return CentralMoments(second=second, third=third, fourth=fourth, sign=sign)


def _rows_of_each(perturbation_index: IntArray, shape: tuple[int, ...]) -> Iterator[list[IntArray]]:
    """Yield the cells of each perturbation, cut so that their values in all genes fit in a chunk."""
    n_perturbations, n_genes = shape
    order = np.argsort(perturbation_index, kind="stable")
    starts = starts_of(np.bincount(perturbation_index, minlength=n_perturbations))
    n_at_once = max(1, VALUES_AT_ONCE // n_genes)
    for start, stop in pairwise(starts.tolist()):
        yield [order[first : min(first + n_at_once, stop)] for first in range(start, stop, n_at_once)]
