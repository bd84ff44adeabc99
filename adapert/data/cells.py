"""Single cells measured: labelled, split, normalised, compared with their controls."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse

from adapert.data.choices import PrepareChoices
from adapert.data.columns import (
    BATCH,
    CELL_LINE,
    PERTURBATION,
    filter_rows,
    find_column,
    require_column,
    text_array,
    texts,
)
from adapert.data.differential import DegAdjust, call_degs, mann_whitney_p_values, sort_controls
from adapert.data.effects import (
    Effect,
    MatchedControls,
    Measured,
    build_tables,
    match_controls,
    measure_effect,
)
from adapert.data.expression import (
    AnnotatedFile,
    check_layer,
    normalise_counts,
    read_annotations,
    read_matrix,
    recognise_counts,
)
from adapert.data.genes import GeneSymbols, read_symbols, select_cell_genes
from adapert.data.labels import LEFT_OUT, canonical_labels
from adapert.data.prepared import CellTable, PreparedSplit
from adapert.data.schema import CONTROL, IntArray, StringArray, genes_of
from adapert.data.splits import Split, choose_split
from adapert.errors import InputError, name_some, nearest

COUNTS_LAYER = "counts"
"""The layer that is taken for raw counts where none is named."""


@dataclass(frozen=True, kw_only=True)
class LabelledCells:
    """The cells that are kept, in the order of their names.

    Attributes:
        rows: Row in the file of each cell, (n_cells,).
        perturbation: Canonical label, `CONTROL` for controls, (n_cells,).
        batches: Names of the matching groups, (n_batches,).
        batch_lines: Cell line of each matching group, (n_batches,).
        batch_index: Matching group of each cell, (n_cells,).
        dropped: Perturbations with too few cells.
    """

    rows: IntArray
    perturbation: StringArray
    batches: StringArray
    batch_lines: StringArray
    batch_index: IntArray
    dropped: tuple[str, ...]

    @property
    def perturbations(self) -> list[str]:
        """Sorted names of the perturbations, without the control."""
        return sorted(set(self.perturbation.tolist()) - {CONTROL})

    def cells_of(self, labels: Collection[str]) -> IntArray:
        """Numbers of the cells that have one of the labels, ascending."""
        return np.flatnonzero(np.isin(self.perturbation, list(labels)))


def measure_cells(
    path: Path,
    choices: PrepareChoices,
    known_genes: Collection[str],
    split_file: Path | None,
    note: Callable[[str], None],
) -> Measured:
    """Read single cells and measure each perturbation's effect.

    Args:
        path: An .h5ad file of cells by genes.
        choices: What the user chose.
        known_genes: Symbols in the network or in the text, to read labels with.
        split_file: Saved split; ``None`` to draw one.
        note: Receives what was guessed or left out, a line each.

    Raises:
        FileNotFoundError: No such file.
        InputError: Cells, labels, genes or values that are not as described in the message.
    """
    file = read_annotations(path)
    layer = _find_counts_layer(file, choices)
    symbols = read_symbols(file.var, choices.gene_column)
    known = {*known_genes, *symbols.names.tolist()}
    columns = _find_columns(file.obs, choices)
    cells = _label_cells(file.obs, columns, choices, known, note)
    split = choose_split(
        cells.perturbations,
        known,
        split_file,
        choices.split_seed,
        choices.split_fractions,
        cells.dropped,
    )
    names, expression = _read_expression(file, layer, symbols, cells, split, choices, note)
    controls = cells.cells_of([CONTROL])
    matched = match_controls(
        expression[controls], cells.batch_index[controls], cells.batch_lines, choices.min_batch_controls
    )
    _note_controls(matched, len(cells.batches), choices, note)
    effects = _measure_effects(expression, cells, matched, choices.deg_adjust)
    tables = build_tables(split, effects, choices.effect_size_groups)
    return Measured(
        gene_names=names,
        splits={
            part: PreparedSplit(table=table, cells=_cell_table(expression, cells, split[part]))
            for part, table in tables.items()
        },
        control_cells=_cell_table(expression, cells, [CONTROL]),
        control_mean=matched.mean,
        batches=cells.batches,
        batch_control_mean=matched.batch_mean,
        guessed=choices.guessed({**columns, "counts_layer": layer, "gene_column": symbols.column}),
    )


def _find_counts_layer(file: AnnotatedFile, choices: PrepareChoices) -> str | None:
    check_layer(file, choices.counts_layer, "--counts-layer")
    if choices.counts_layer is None and COUNTS_LAYER in file.layers:
        return COUNTS_LAYER
    return choices.counts_layer


def _find_columns(obs: pd.DataFrame, choices: PrepareChoices) -> dict[str, str | None]:
    return {
        "perturbation_column": require_column(obs, PERTURBATION, choices.perturbation_column),
        "batch_column": find_column(obs, BATCH, choices.batch_column),
        "cell_line_column": find_column(obs, CELL_LINE, choices.cell_line_column),
    }


def _label_cells(
    obs: pd.DataFrame,
    columns: Mapping[str, str | None],
    choices: PrepareChoices,
    known_genes: Collection[str],
    note: Callable[[str], None],
) -> LabelledCells:
    column = str(columns["perturbation_column"])
    rows = np.flatnonzero(filter_rows(obs, choices.where))
    labels = texts(obs[column].iloc[rows])
    _check_labels(labels, column, choices.control)
    canonical = canonical_labels(labels.dropna().unique().tolist(), known_genes, choices.control)
    perturbation = labels.map(canonical).fillna(LEFT_OUT)
    n_left_out = int((perturbation == LEFT_OUT).sum())
    if n_left_out:
        note(f"{n_left_out:,} cells without a perturbation label, or under another control word, left out")
    _check_controls(perturbation, canonical, column)
    dropped = _find_rare(perturbation, choices.min_cells, note)
    is_kept = ~perturbation.isin([LEFT_OUT, *dropped]).to_numpy()
    return _group_cells(obs, rows[is_kept], perturbation.to_numpy(dtype=str)[is_kept], columns, dropped, note)


def _check_labels(labels: "pd.Series[str]", column: str, control: str | None) -> None:
    values = sorted(set(labels.dropna()))
    if len(values) < 2:
        raise InputError(
            f"A perturbation column must tell perturbations from controls, but '{column}' has only "
            f"{name_some(values) or 'missing values'}. Name another with --perturbation-column."
        )
    if control is not None and control not in values:
        raise InputError(
            f"--control must be a label in '{column}', but '{control}' is not.{nearest(control, values)} "
            f"Its labels are {name_some(values)}."
        )


def _check_controls(perturbation: "pd.Series[str]", canonical: Mapping[str, str], column: str) -> None:
    if not (perturbation == CONTROL).any():
        raise InputError(
            f"Effects are measured against controls, but there are no control cells: no label in '{column}' "
            f"({name_some(sorted(canonical))}) is a usual control word. Name it with --control, or use "
            "--kind responses for a table of perturbations by genes."
        )


def _find_rare(
    perturbation: "pd.Series[str]", min_cells: int, note: Callable[[str], None]
) -> tuple[str, ...]:
    counts = perturbation.value_counts().drop([CONTROL, LEFT_OUT], errors="ignore")
    rare = tuple(sorted(counts.index[counts < min_cells]))
    if len(rare) == len(counts):
        raise InputError(
            f"Perturbations must have at least {min_cells} cells, but none of {len(counts)} has: the largest "
            f"has {counts.max() if len(counts) else 0}. Lower --min-cells."
        )
    if rare:
        note(f"perturbations with fewer than {min_cells} cells, left out: {len(rare)} ({name_some(rare)})")
    return rare


def _group_cells(
    obs: pd.DataFrame,
    rows: IntArray,
    perturbation: StringArray,
    columns: Mapping[str, str | None],
    dropped: tuple[str, ...],
    note: Callable[[str], None],
) -> LabelledCells:
    """Form the matching groups: cell line by sequencing batch."""
    obs = obs.iloc[rows]
    lines = _values(obs, columns["cell_line_column"])
    groups = pd.MultiIndex.from_arrays([lines, _values(obs, columns["batch_column"])])
    batch_index, distinct = groups.factorize(sort=True)
    names = np.unique(lines).tolist()
    if len(names) > 1:
        note(
            f"cells of {len(names)} cell lines ({name_some(names)}): perturbations are averaged over "
            f"them; keep one with --where {columns['cell_line_column']}={names[0]}"
        )
    # By name, so that the order of cells in the file makes no difference to any sum.
    order = np.argsort(obs.index.to_numpy(dtype=str), kind="stable")
    return LabelledCells(
        rows=rows[order],
        perturbation=perturbation[order],
        batches=np.array([" / ".join(part for part in group if part) or "all" for group in distinct]),
        batch_lines=np.array([line for line, _ in distinct]),
        batch_index=batch_index[order].astype(np.int32),
        dropped=dropped,
    )


def _values(obs: pd.DataFrame, column: str | None) -> StringArray:
    return np.full(len(obs), "") if column is None else text_array(obs[column])


def _read_expression(
    file: AnnotatedFile,
    layer: str | None,
    symbols: GeneSymbols,
    cells: LabelledCells,
    split: Split,
    choices: PrepareChoices,
    note: Callable[[str], None],
) -> tuple[StringArray, scipy.sparse.csr_array]:
    """Read the kept cells, choose genes, normalise.

    Returns:
        Names of the genes, (n_genes,), and expression, log1p units, (n_cells, n_genes).
    """
    in_file = np.argsort(cells.rows)
    position = np.argsort(in_file)
    matrix = read_matrix(file, layer, cells.rows[in_file])
    is_counts = recognise_counts(matrix, symbols.names, file.layers)
    _note_values(is_counts, layer, choices, note)
    if symbols.n_left_out:
        note(f"{symbols.n_left_out:,} genes without a symbol, or that repeat one, left out")

    candidates = np.flatnonzero(symbols.is_first)
    reference = np.sort(position[cells.cells_of([CONTROL, *split["train"]])])
    perturbed = {gene for name in cells.perturbations for gene in genes_of(name)}
    chosen = select_cell_genes(
        matrix[reference][:, candidates], symbols.names[candidates], perturbed, choices.n_genes, is_counts
    )
    kept = candidates[chosen]
    expression = normalise_counts(matrix) if is_counts else matrix
    note(f"{len(kept):,} of {len(symbols.names):,} genes kept")
    return symbols.names[kept], expression[:, kept][position]


def _note_values(
    is_counts: bool, layer: str | None, choices: PrepareChoices, note: Callable[[str], None]
) -> None:
    where = "X" if layer is None else f"layer '{layer}'"
    if choices.counts_layer is not None and not is_counts:
        raise InputError(
            f"--counts-layer must hold raw counts, but '{choices.counts_layer}' holds fractions. Name "
            "another layer, or leave it out to use the log values in X."
        )
    note(f"{where} holds {'counts: normalised and logged' if is_counts else 'log values: taken as they are'}")


def _note_controls(
    matched: MatchedControls, n_batches: int, choices: PrepareChoices, note: Callable[[str], None]
) -> None:
    if matched.n_matched_outside:
        note(
            f"{matched.n_matched_outside} of {n_batches} matching groups have fewer than "
            f"{choices.min_batch_controls} controls: those of the cell line, or all, stand in"
        )


def _measure_effects(
    expression: scipy.sparse.csr_array,
    cells: LabelledCells,
    matched: MatchedControls,
    deg_adjust: DegAdjust,
) -> dict[str, Effect]:
    """Measure every perturbation against the controls of the cell lines it occurs in."""
    control_rows = cells.cells_of([CONTROL])
    control_lines = cells.batch_lines[cells.batch_index[control_rows]]
    by_lines = {}
    effects = {}
    for name in cells.perturbations:
        rows = cells.cells_of([name])
        batch_index = cells.batch_index[rows]
        lines = frozenset(cells.batch_lines[batch_index].tolist())
        if lines not in by_lines:
            own = np.isin(control_lines, sorted(lines))
            by_lines[lines] = sort_controls(expression[control_rows[own] if own.any() else control_rows])
        own_cells = expression[rows]
        degs = call_degs(mann_whitney_p_values(own_cells, by_lines[lines]), deg_adjust)
        effects[name] = measure_effect(own_cells, batch_index, matched.batch_mean, degs)
    return effects


def _cell_table(expression: scipy.sparse.csr_array, cells: LabelledCells, names: list[str]) -> CellTable:
    rows = cells.cells_of(names)
    # A split's names are sorted, so a label's place among them is its perturbation's number.
    perturbation_index = np.searchsorted(names, cells.perturbation[rows]).astype(np.int32)
    order = np.argsort(perturbation_index, kind="stable")
    chosen = expression[rows[order]]
    return CellTable(
        values=chosen.data,
        gene_index=chosen.indices.astype(np.int32),
        row_start=chosen.indptr.astype(np.int64),
        perturbation_index=perturbation_index[order],
        batch_index=cells.batch_index[rows[order]],
    )
