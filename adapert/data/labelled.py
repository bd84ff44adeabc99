"""Which cells of a file are kept: their perturbations and matching groups."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from adapert.data.choices import PrepareChoices
from adapert.data.columns import filter_rows, text_array, texts
from adapert.data.labels.rule import LEFT_OUT, LabelRule
from adapert.data.labels.understood import Understood, note_rare, understand_column
from adapert.data.labels.words import strip_blanks
from adapert.data.schema import CONTROL, IntArray, StringArray
from adapert.errors import InputError, format_count, name_some

_LOGGER = logging.getLogger(__name__)

FEW_CONTROLS = 20
"""Below this many control cells every effect carries the noise of their mean."""

GUIDE_CURE = "Group them with --group-guides, or name a column of genes with --perturbation-column."


@dataclass(frozen=True, kw_only=True)
class LabelledCells:
    """The cells that are kept, in the order of their names.

    Attributes:
        rows: Row in the file of each cell, (n_cells,).
        labels: Sorted names of the perturbations, and `CONTROL`, (n_labels,).
        label_index: Label of each cell, (n_cells,).
        batches: Names of the matching groups, (n_batches,).
        batch_lines: Cell line of each matching group, (n_batches,).
        batch_index: Matching group of each cell, (n_cells,).
        dropped: Perturbations with too few cells.
        understood: Meaning of the labels of all cells.
    """

    rows: IntArray
    labels: StringArray
    label_index: IntArray
    batches: StringArray
    batch_lines: StringArray
    batch_index: IntArray
    dropped: tuple[str, ...]
    understood: Understood

    @property
    def perturbations(self) -> list[str]:
        """Sorted names of the perturbations, without the control."""
        return [label for label in self.labels.tolist() if label != CONTROL]

    def cells_of(self, label: str) -> IntArray:
        """Numbers of the cells that have a label, ascending."""
        return self._cells_by_label[label]

    @cached_property
    def _cells_by_label(self) -> dict[str, IntArray]:
        by_label = np.argsort(self.label_index, kind="stable")
        ends = np.cumsum(np.bincount(self.label_index, minlength=len(self.labels)))
        return dict(zip(self.labels.tolist(), np.split(by_label, ends[:-1]), strict=True))


def label_cells(
    obs: pd.DataFrame,
    columns: Mapping[str, str | None],
    choices: PrepareChoices,
    rule: LabelRule,
) -> LabelledCells:
    """Read each cell's perturbation and matching group from `obs`, and leave out what cannot be used.

    `columns` has the column by the choice that it stands for, ``None`` where there is none.

    Raises:
        InputError: No controls, no perturbation with enough cells, or wrong conditions.
    """
    column = str(columns["perturbation_column"])
    rows = np.flatnonzero(filter_rows(obs, choices.where))
    labels = texts(obs[column].iloc[rows])
    _check_labels(labels, column, rule)
    cure = None if choices.group_guides else GUIDE_CURE
    understood = understand_column(labels, rule, f"'{column}'", "cell", cure)
    _check_controls(understood, column)
    perturbation = understood.names_of(labels)
    dropped = _find_rare(pd.Series(perturbation), choices.min_cells)
    is_kept = ~np.isin(perturbation, [LEFT_OUT, *dropped])
    return _group_cells(obs, rows[is_kept], perturbation[is_kept], columns, dropped, understood)


def _check_labels(labels: "pd.Series[str]", column: str, rule: LabelRule) -> None:
    values = sorted({strip_blanks(label) for label in set(labels.dropna())})
    if len(values) + (rule.is_missing_control and labels.isna().any()) < 2:
        raise InputError(
            f"A perturbation column must tell perturbations from controls, but '{column}' has only "
            f"{name_some(values) or 'missing values'}. Name another with --perturbation-column."
        )


def _check_controls(understood: Understood, column: str) -> None:
    if understood.n_controls < 2:
        one = understood.n_controls
        found = "is only one control cell: no other" if one else "are no control cells: no"
        missing = ", or take cells without a label with --missing-is-control" if understood.n_missing else ""
        raise InputError(
            f"Effects are measured against controls, but there {found} label in '{column}' "
            f"({name_some(understood.names)}) is a usual control word. Name it with --control"
            f"{missing}, or use --kind responses for a table of perturbations by genes."
        )
    if understood.n_controls < FEW_CONTROLS:
        _LOGGER.warning(
            f"only {understood.n_controls} control cells: the noise of their mean is part of every effect; "
            "name more labels with --control"
        )


def _find_rare(perturbation: "pd.Series[str]", min_cells: int) -> tuple[str, ...]:
    counts = perturbation.value_counts().drop([CONTROL, LEFT_OUT], errors="ignore")
    rare = tuple(sorted(counts.index[counts < min_cells]))
    if len(rare) == len(counts):
        raise InputError(
            f"Perturbations must have at least {format_count(min_cells, 'cell')}, but none of "
            f"{len(counts)} has: the largest has {counts.max() if len(counts) else 0}. Lower --min-cells."
        )
    note_rare(rare, min_cells)
    return rare


def _group_cells(
    obs: pd.DataFrame,
    rows: IntArray,
    perturbation: StringArray,
    columns: Mapping[str, str | None],
    dropped: tuple[str, ...],
    understood: Understood,
) -> LabelledCells:
    """Form the matching groups: cell line by sequencing batch."""
    lines = _values(obs, columns["cell_line_column"], rows)
    groups = pd.MultiIndex.from_arrays([lines, _values(obs, columns["batch_column"], rows)])
    batch_index, distinct = groups.factorize(sort=True)
    names = np.unique(lines).tolist()
    if len(names) > 1:
        _LOGGER.info(
            f"cells of {len(names)} cell lines ({name_some(names)}): perturbations are averaged over "
            f"them; keep one with --where {columns['cell_line_column']}={names[0]}"
        )
    # By name, so that the order of cells in the file makes no difference to any sum.
    order = np.argsort(obs.index[rows].to_numpy(dtype=str), kind="stable")
    labels, label_index = np.unique(perturbation[order], return_inverse=True)
    return LabelledCells(
        rows=rows[order],
        labels=labels,
        label_index=label_index.astype(np.int32),
        batches=np.array([" / ".join(part for part in group if part) or "all" for group in distinct]),
        batch_lines=np.array([line for line, _ in distinct]),
        batch_index=batch_index[order].astype(np.int32),
        dropped=dropped,
        understood=understood,
    )


def _values(obs: pd.DataFrame, column: str | None, rows: IntArray) -> StringArray:
    return np.full(len(rows), "") if column is None else text_array(obs[column].iloc[rows])
