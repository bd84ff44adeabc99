"""Regroup perturbations between splits: join two, take some, redraw training against validation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from adapert.data.prepared import CellTable, PerturbationTable, PreparedDataset, PreparedSplit
from adapert.data.schema import IntArray, SplitName
from adapert.seeding import numpy_generator

T = TypeVar("T", bound=np.generic)

DRAWN_BETWEEN: tuple[SplitName, SplitName] = ("train", "validation")
"""Splits that are redrawn; the test split never moves."""


def join_splits(first: PreparedSplit, second: PreparedSplit) -> PreparedSplit:
    """Put the perturbations of two splits, their groups and their cells one after the other.

    Args:
        first: Its rows come first and keep their numbers.
        second: Of the same data set.
    """
    n_first = len(first.table.perturbations)
    return PreparedSplit(
        table=_join_tables(first.table, second.table, n_first),
        cells=_join_cells(first.cells, second.cells, n_first),
    )


def take_perturbations(split: PreparedSplit, index: IntArray | Sequence[int]) -> PreparedSplit:
    """Keep some perturbations of a split, with their groups and their cells.

    Args:
        split: To take from; it stays as it is.
        index: Into its perturbations, (n_taken,). Rows, groups and cells come in its order; groups and cells
            of one perturbation stay in theirs.
    """
    chosen = np.asarray(index, dtype=np.int64)
    table = split.table
    groups, group_owner = _rows_of(table.group_perturbation_index, chosen, len(table.perturbations))
    return PreparedSplit(
        table=PerturbationTable(
            perturbations=table.perturbations[chosen],
            delta=table.delta[chosen],
            deg_mask=table.deg_mask[chosen],
            n_cells=table.n_cells[chosen],
            effect_size=table.effect_size[chosen],
            group_perturbation_index=group_owner,
            group_batch_index=table.group_batch_index[groups],
            group_mean=table.group_mean[groups],
            group_n_cells=table.group_n_cells[groups],
        ),
        cells=_take_cells(split.cells, chosen, len(table.perturbations)),
    )


def redraw(dataset: PreparedDataset, split_seed: int, has_training_cells: bool = True) -> PreparedDataset:
    """Draw training and validation perturbations anew among their union; the test split is never touched.

    The draw depends on the union and the sizes alone, so that a redrawn data set drawn again forgets the
    first draw. Everything in the manifest stays but ``split_seed``, which becomes the negative of the
    draw's seed: seeds of prepared splits are never negative, so that tables tell the two apart.

    Args:
        dataset: With training and validation split.
        split_seed: Of the draw; 0 leaves the data set as it is.
        has_training_cells: Whether the training split gets its cells; they are copied into memory, and only
            training on cells (``data.control: "cell"``) reads them.

    Returns:
        As many training and validation perturbations as before, no other ones, and what the data set holds
        besides.
    """
    if split_seed == 0:
        return dataset
    parts = [dataset.splits[name] for name in DRAWN_BETWEEN]
    names = sorted(str(name) for part in parts for name in part.table.perturbations)
    shuffled = numpy_generator(split_seed, "redrawn split").permutation(names).tolist()
    n_train = len(parts[0].table.perturbations)
    train_parts = parts if has_training_cells else [without_cells(part) for part in parts]
    redrawn: dict[SplitName, PreparedSplit] = {
        "train": _gather(train_parts, set(shuffled[:n_train])),
        "validation": _gather(parts, set(shuffled[n_train:])),
    }
    return replace(
        dataset,
        manifest=dict(dataset.manifest) | {"split_seed": -split_seed},
        splits=dict(dataset.splits) | redrawn,
    )


def _gather(parts: Sequence[PreparedSplit], wanted: set[str]) -> PreparedSplit:
    """Take what is wanted of two splits, in their order."""
    first, second = (
        take_perturbations(part, np.flatnonzero([str(name) in wanted for name in part.table.perturbations]))
        for part in parts
    )
    return join_splits(first, second)


def _join_tables(first: PerturbationTable, second: PerturbationTable, n_first: int) -> PerturbationTable:
    return PerturbationTable(
        perturbations=np.concatenate([first.perturbations, second.perturbations]),
        delta=np.concatenate([first.delta, second.delta]),
        deg_mask=np.concatenate([first.deg_mask, second.deg_mask]),
        n_cells=np.concatenate([first.n_cells, second.n_cells]),
        effect_size=np.concatenate([first.effect_size, second.effect_size]),
        group_perturbation_index=np.concatenate(
            [first.group_perturbation_index, second.group_perturbation_index + n_first]
        ),
        group_batch_index=np.concatenate([first.group_batch_index, second.group_batch_index]),
        group_mean=np.concatenate([first.group_mean, second.group_mean]),
        group_n_cells=np.concatenate([first.group_n_cells, second.group_n_cells]),
    )


def _join_cells(first: CellTable, second: CellTable, n_first: int) -> CellTable:
    return CellTable(
        values=np.concatenate([first.values, second.values]),
        gene_index=np.concatenate([first.gene_index, second.gene_index]),
        # A split's own numbers of 32 bits may not count the values of two.
        row_start=np.concatenate(
            [first.row_start.astype(np.int64), second.row_start[1:].astype(np.int64) + len(first.values)]
        ),
        perturbation_index=np.concatenate([first.perturbation_index, second.perturbation_index + n_first]),
        batch_index=np.concatenate([first.batch_index, second.batch_index]),
    )


def _take_cells(cells: CellTable, chosen: IntArray, n_perturbations: int) -> CellTable:
    rows, owner = _rows_of(cells.perturbation_index, chosen, n_perturbations)
    stretches = _stretches(rows)
    spans = [slice(cells.row_start[start], cells.row_start[end]) for start, end in stretches]
    lengths = np.diff(cells.row_start)[rows]
    return CellTable(
        values=_concatenate([cells.values[span] for span in spans], cells.values),
        gene_index=_concatenate([cells.gene_index[span] for span in spans], cells.gene_index),
        row_start=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        perturbation_index=owner,
        batch_index=cells.batch_index[rows],
    )


def _rows_of(owner: IntArray, chosen: IntArray, n_owners: int) -> tuple[IntArray, IntArray]:
    """Find the rows of each chosen perturbation, and number their owners anew.

    Args:
        owner: Perturbation of each row, (n_rows,).
        chosen: Perturbations, (n_taken,).
        n_owners: Number of perturbations.

    Returns:
        Rows in the order of `chosen`, and the place in `chosen` of each one's perturbation.
    """
    by_owner = np.argsort(owner, kind="stable")
    n_rows = np.bincount(owner, minlength=n_owners)
    start = np.cumsum(n_rows) - n_rows
    taken = n_rows[chosen]
    # The place of each taken row among those of its perturbation.
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    rows: IntArray = by_owner[np.repeat(start[chosen], taken) + within]
    return rows, np.repeat(np.arange(len(chosen)), taken).astype(owner.dtype)


def _stretches(rows: IntArray) -> list[tuple[int, int]]:
    """Find first and one past last of each stretch of consecutive rows: their values lie side by side."""
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(rows, breaks)]


def _concatenate(
    pieces: Sequence[np.ndarray[tuple[int], np.dtype[T]]], like: np.ndarray[tuple[int], np.dtype[T]]
) -> np.ndarray[tuple[int], np.dtype[T]]:
    return np.concatenate(pieces) if pieces else like[:0]


def without_cells(split: PreparedSplit) -> PreparedSplit:
    """Leave a split's cells out: only training on cells reads them."""
    cells = split.cells
    none = CellTable(
        values=cells.values[:0],
        gene_index=cells.gene_index[:0],
        row_start=cells.row_start[:1],
        perturbation_index=cells.perturbation_index[:0],
        batch_index=cells.batch_index[:0],
    )
    return replace(split, cells=none)
