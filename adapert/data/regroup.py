"""Regroup perturbations between splits: join two, take some, redraw training against validation."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from adapert.data.array_tables import CellTable, PerturbationTable
from adapert.data.prepared import PreparedDataset, PreparedSplit
from adapert.data.row_chunks import starts_of
from adapert.data.schema import IntArray, SplitName, is_combination
from adapert.seeding import numpy_generator

Table = TypeVar("Table", PerturbationTable, CellTable)

DRAWN_BETWEEN: tuple[SplitName, SplitName] = ("train", "validation")
"""Splits that are redrawn; the test split never moves."""


def join_splits(first: PreparedSplit, second: PreparedSplit) -> PreparedSplit:
    """Concatenate the perturbations of two splits of a data set, their groups and their cells."""
    n_first, table, cells = len(first.table.perturbations), second.table, second.cells
    return PreparedSplit(
        table=_concatenate(
            first.table, replace(table, group_perturbation_index=table.group_perturbation_index + n_first)
        ),
        cells=_concatenate(
            # A split's own numbers of 32 bits may not count the values of two.
            replace(first.cells, row_start=first.cells.row_start.astype(np.int64)),
            replace(
                cells,
                row_start=cells.row_start[1:].astype(np.int64) + len(first.cells.values),
                perturbation_index=cells.perturbation_index + n_first,
            ),
        ),
    )


def take_perturbations(split: PreparedSplit, index: IntArray | Sequence[int]) -> PreparedSplit:
    """Keep some perturbations of a split, by their number, (n_taken,), with their groups and their cells.

    Rows, groups and cells come in the order of `index`; groups and cells of one perturbation stay in theirs.
    """
    chosen = np.asarray(index, dtype=np.int64)
    table = split.table
    groups, group_owner = _rows_of(table.group_perturbation_index, chosen, len(table.perturbations))
    rows = {"n_perturbations": chosen, "n_groups": groups}
    taken = {name: getattr(table, name)[rows[rule.shape[0]]] for name, rule in table.rules().items()}
    return PreparedSplit(
        table=PerturbationTable(**taken | {"group_perturbation_index": group_owner}),
        cells=_take_cells(split.cells, chosen, len(table.perturbations)),
    )


def redraw(dataset: PreparedDataset, split_seed: int, has_training_cells: bool = True) -> PreparedDataset:
    """Draw training and validation perturbations again among their union; the test split is never touched.

    The draw depends on the union and the sizes alone, so that a second draw does not depend on the first.
    Where validation holds combinations alone, as of a split of these, drawn or saved, only combinations are
    drawn, and single genes go on training.
    Everything in the manifest stays except ``split_seed``, which becomes the negative of the
    draw's seed: seeds of prepared splits are never negative, so that tables distinguish the two.

    Args:
        dataset: With training and validation split.
        split_seed: Seed of the draw; 0 leaves the data set as it is.
        has_training_cells: Whether the training split gets its cells; they are copied into memory, and only
            training on cells reads them (`Config.reads_training_cells`).

    Returns:
        The same perturbations in training and validation splits of the same sizes; the rest as it was.
    """
    if split_seed == 0:
        return dataset
    parts = [dataset.splits[name] for name in DRAWN_BETWEEN]
    training, validation = (part.table.perturbations.tolist() for part in parts)
    # The manifest's scheme says nothing of a saved split.
    is_of_combinations = all(map(is_combination, validation))
    staying = [name for name in training if not is_combination(name)] if is_of_combinations else []
    names = sorted({*training, *validation}.difference(staying))
    shuffled = numpy_generator(split_seed, "redrawn split").permutation(names).tolist()
    n_train = len(training) - len(staying)
    train_parts = parts if has_training_cells else [without_cells(part) for part in parts]
    redrawn: dict[SplitName, PreparedSplit] = {
        "train": _gather(train_parts, {*staying, *shuffled[:n_train]}),
        "validation": _gather(parts, set(shuffled[n_train:])),
    }
    return replace(
        dataset,
        manifest=replace(dataset.manifest, split_seed=-split_seed),
        splits=dict(dataset.splits) | redrawn,
    )


def _gather(parts: Sequence[PreparedSplit], wanted: set[str]) -> PreparedSplit:
    """Take what is wanted of two splits, in their order."""
    first, second = (
        take_perturbations(part, np.flatnonzero([str(name) in wanted for name in part.table.perturbations]))
        for part in parts
    )
    return join_splits(first, second)


def _concatenate(first: Table, second: Table) -> Table:
    """Put every field's arrays one after the other."""
    return type(first)(
        **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in first.rules()}
    )


def _take_cells(cells: CellTable, chosen: IntArray, n_perturbations: int) -> CellTable:
    rows, owner = _rows_of(cells.perturbation_index, chosen, n_perturbations)
    # Consecutive rows at once: a slice of a memory map costs more than the values of one cell.
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1) if len(rows) else []
    spans = [slice(cells.row_start[run[0]], cells.row_start[run[-1] + 1]) for run in runs]
    return CellTable(
        values=np.concatenate([cells.values[:0], *(cells.values[span] for span in spans)]),
        gene_index=np.concatenate([cells.gene_index[:0], *(cells.gene_index[span] for span in spans)]),
        row_start=starts_of(np.diff(cells.row_start)[rows]),
        perturbation_index=owner,
        batch_index=cells.batch_index[rows],
    )


def _rows_of(owner: IntArray, chosen: IntArray, n_owners: int) -> tuple[IntArray, IntArray]:
    """Find the rows of each chosen perturbation among their owners, and each one's place in `chosen`."""
    by_owner = np.argsort(owner, kind="stable")
    n_rows = np.bincount(owner, minlength=n_owners)
    start = np.cumsum(n_rows) - n_rows
    taken = n_rows[chosen]
    # The place of each taken row among those of its perturbation.
    within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
    rows: IntArray = by_owner[np.repeat(start[chosen], taken) + within]
    return rows, np.repeat(np.arange(len(chosen)), taken).astype(owner.dtype)


def without_cells(split: PreparedSplit) -> PreparedSplit:
    """Leave a split's cells out: only training on cells reads them."""
    return replace(split, cells=CellTable.empty())
